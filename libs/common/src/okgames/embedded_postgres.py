import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from okgames.postgres_layout import Layout, PostgresNotStarted, Running, try_lock

_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 70.0
_LOOK_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 1.0
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""What a client may say first; a server that is well answers with one letter."""

logger = structlog.get_logger()


@contextmanager
def embedded_postgres(data_dir: Path, *, durable: bool = True, grace: float = 10.0) -> Iterator[str]:
    """
    Give the URL of a Postgres that runs for as long as any process is in here, and start it if need be.

    Its data is in `data_dir`/postgres; it listens on a Unix socket only. When the last user leaves, it is stopped
    before this returns; when the last user is killed, `grace` seconds later. If Postgres or its supervisor is
    killed, it comes back under the same URL. Raises PostgresNotStarted.
    """
    layout = Layout(data_dir.absolute() / "postgres")
    user = _User(layout, durable=durable, grace=grace)
    user.enter()
    try:
        yield f"postgresql://okgames@/okgames?host={quote(str(layout.socket.readlink()))}"
    finally:
        user.leave()


class _User:
    """One who uses the database: it runs for as long as somebody holds the users' lock."""

    def __init__(self, layout: Layout, *, durable: bool, grace: float) -> None:
        self._layout = layout
        self._durable = durable
        self._grace = grace
        self._lock: int
        self._leaving = threading.Event()
        self._watch = threading.Thread(target=self._keep_running, name="embedded Postgres", daemon=True)

    def enter(self) -> None:
        self._layout.prepare()
        self._lock = self._layout.open(self._layout.users_lock)
        try:
            # Whoever stops Postgres holds it alone until it has stopped.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            self._wait_until_running()
        except BaseException:
            os.close(self._lock)
            raise
        self._watch.start()

    def leave(self) -> None:
        """Let go of the database; if nobody else uses it, stop it."""
        self._leaving.set()
        self._watch.join()
        try:
            if self._is_last() and self._stop_supervisor():
                self._layout.remove_socket_dir()
        finally:
            os.close(self._lock)

    def _stop_supervisor(self) -> bool:
        """Return True when it is gone, and Postgres with it."""
        deadline = time.monotonic() + _STOP_SECONDS
        is_asked = False
        while self._is_supervised() and time.monotonic() < deadline:
            running = Running.read(self._layout.supervisor_lock)
            if running is not None and not is_asked:
                try:
                    os.kill(running.pid, signal.SIGTERM)
                except PermissionError:
                    # Root started it on our data: it looks for users by itself.
                    return False
                is_asked = True
            time.sleep(0.01)
        return not self._is_supervised()

    def _is_last(self) -> bool:
        # The supervisor looks for users now and then by taking the lock for a moment.
        for _ in range(3):
            if try_lock(self._lock, fcntl.LOCK_EX):
                return True
            time.sleep(0.005)
        return False

    def _wait_until_running(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while (running := self._running()) is None:
            if time.monotonic() > deadline:
                raise PostgresNotStarted(f"Postgres did not start within {_START_SECONDS:.0f} s: {self._layout.log}")
            if self._is_supervised():
                time.sleep(0.02)
            else:
                self._start_supervisor()
        if self._durable and not running.durable:
            raise PostgresNotStarted(f"{self._layout.root} is in use by one who switched durability off")

    def _start_supervisor(self) -> None:
        supervisor = [sys.executable, "-P", "-m", "okgames.postgres_supervisor", str(self._layout.root)]
        known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
        done = subprocess.run(  # noqa: S603 - our own module
            [*supervisor, f"--grace={self._grace}", f"--durable={int(self._durable)}"],
            cwd="/",
            # Our secrets must not outlive us in another process.
            env=known,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal is for us: we end first.
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresNotStarted(done.stderr.strip())

    def _is_supervised(self) -> bool:
        try:
            with self._layout.supervisor_lock.open() as file:
                return not try_lock(file.fileno(), fcntl.LOCK_SH)
        except FileNotFoundError:
            return False

    def _running(self) -> Running | None:
        """Return what the supervisor tells, if there is one and its Postgres accepts connections."""
        if not self._is_supervised():
            return None
        running = Running.read(self._layout.supervisor_lock)
        if running is None or not running.is_ready:
            return None
        # A new supervisor needs a moment to take back what its killed predecessor told, and a Postgres that is being
        # killed still takes connections, but answers none.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_ANSWER_SECONDS)
            try:
                probe.connect(str(self._layout.socket.readlink() / ".s.PGSQL.5432"))
                probe.sendall(_SSL_REQUEST)
                return running if probe.recv(1) else None
            except OSError:
                return None

    def _keep_running(self) -> None:
        while not self._leaving.wait(_LOOK_SECONDS):
            try:
                if not self._is_supervised():
                    logger.warning("embedded_postgres_lost", folder=str(self._layout.root))
                    self._start_supervisor()
            except (PostgresNotStarted, OSError) as error:
                logger.error("embedded_postgres_not_restarted", reason=str(error))
                self._leaving.wait(_RETRY_SECONDS)
