import argparse
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from okgames.postgres_layout import Layout, PostgresNotStarted, Running, try_lock
from okgames.postgres_server import Server

_READY: Final = "ready"
_LOOK_SECONDS: Final = 0.1
_LOG_BYTES: Final = 10_000_000


def main() -> None:
    """Leave a supervisor behind and end when its Postgres is ready; exit with what went wrong if it is not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--durable", type=int, required=True)
    arguments = parser.parse_args()
    problems, report = os.pipe()
    if os.fork():
        os.close(report)
        with os.fdopen(problems) as text:
            said = text.read()
        sys.exit(0 if said == _READY else said or f"the supervisor of Postgres ended: {arguments.root / 'log'}")
    os.close(problems)
    with os.fdopen(report, "w") as text:
        try:
            supervisor = Supervisor(Layout(arguments.root), durable=bool(arguments.durable))
            is_mine = supervisor.start()
            text.write(_READY)
        except (PostgresNotStarted, OSError) as error:
            text.write(str(error))
            sys.exit(1)
    if is_mine:
        supervisor.watch(arguments.grace)


class Supervisor:
    """Be the parent of one Postgres: start it again when it crashes, stop it when nobody uses it."""

    def __init__(self, layout: Layout, *, durable: bool) -> None:
        self._layout = layout
        self._durable = durable
        self._server = Server(layout, durable=durable)
        self._lock = layout.open(layout.supervisor_lock)
        self._users = layout.open(layout.users_lock)
        self._asked_to_stop = False

    def start(self) -> bool:
        """Start Postgres and return True, or False if another supervisor is there."""
        if not try_lock(self._lock, fcntl.LOCK_EX):
            return False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        self._tell(is_ready=False)
        self._write_to_log()
        self._start_server()
        return True

    def watch(self, grace: float) -> None:
        """Return when Postgres is stopped: asked to, or after `grace` seconds without a user."""
        unused_since: float | None = None
        try:
            while not self._asked_to_stop:
                time.sleep(_LOOK_SECONDS)
                if not self._is_in_place():
                    self._stop_server()
                    self._server.remove_socket_dir()
                    return
                if self._server.has_ended():
                    self._start_server()
                if not try_lock(self._users, fcntl.LOCK_EX):
                    unused_since = None
                    continue
                unused_since = unused_since or time.monotonic()
                if time.monotonic() - unused_since >= grace:
                    # The lock is kept: who comes now waits until Postgres is gone and starts it anew.
                    self._stop_server()
                    self._server.remove_socket_dir()
                    return
                fcntl.flock(self._users, fcntl.LOCK_UN)
        finally:
            self._stop_server()

    def _ask_to_stop(self, *_: object) -> None:
        # Not an Event: its lock may be held by the very code that the signal interrupts.
        self._asked_to_stop = True

    def _stop_server(self) -> None:
        self._tell(is_ready=False)
        self._server.stop()

    def _start_server(self) -> None:
        self._tell(is_ready=False)
        try:
            self._server.start()
        except BaseException:
            self._server.stop()
            raise
        self._tell(is_ready=True)

    def _tell(self, *, is_ready: bool) -> None:
        Running(os.getpid(), durable=self._durable, is_ready=is_ready).write(self._lock)

    def _is_in_place(self) -> bool:
        """Tell whether the folder is still there: who deletes it under a running Postgres wants no Postgres."""
        try:
            return os.path.samestat(self._layout.supervisor_lock.stat(), os.fstat(self._lock))
        except FileNotFoundError:
            return False

    def _write_to_log(self) -> None:
        log = self._layout.log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name("log.old"))
        file = self._layout.open(log)
        for standard in (1, 2):
            os.dup2(file, standard)
        os.close(file)


if __name__ == "__main__":
    main()
