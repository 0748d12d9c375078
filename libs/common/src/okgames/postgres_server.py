import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from okgames.postgres_layout import Layout, PostgresNotStarted, programs, try_lock

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0

_SETTINGS: Final = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=200",
    "shared_buffers=256MB",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
)
# Files of the write-ahead log are used again: making a new one, each 16 MB, keeps all callbacks waiting for 20 ms.
_DURABLE: Final = ("min_wal_size=512MB",)
# A crash of the machine may destroy the data; a crash of Postgres does not.
_NOT_DURABLE: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Server:
    """Run Postgres as a child of this process, never as root; on Linux it ends with its parent."""

    def __init__(self, layout: Layout, *, durable: bool) -> None:
        self._layout = layout
        self._durable = durable
        self._programs = programs()
        self._prefix = self._unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_dir: Path | None = None

    def start(self) -> None:
        """Start on the data that is there, or on new data, and return when connections are accepted."""
        lock = self._layout.open(self._layout.server_lock)
        try:
            self._end_orphans(lock)
            if not self._layout.data.exists():
                self._create_data(lock)
            self._process = self._spawn(lock)
        finally:
            os.close(lock)
        self._wait_until_ready(self._process)

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """Cut all connections, write everything to disk, and return when Postgres is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # As in a crash: the next start recovers from the write-ahead log.
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()

    def remove_socket_dir(self) -> None:
        """Leave nothing outside the data's folder, even if that folder is gone."""
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        self._socket_dir = socket_dir = self._layout.socket_dir()
        # The processes that wrote these are gone, or the lock would be taken; the numbers in them may be anybody's.
        for stale in (self._layout.data / "postmaster.pid", *socket_dir.glob(".s.PGSQL.*.lock")):
            stale.unlink(missing_ok=True)
        settings = [*_SETTINGS, *(_DURABLE if self._durable else _NOT_DURABLE), f"unix_socket_directories={socket_dir}"]
        return subprocess.Popen(  # noqa: S603 - the wheel's program
            self._command("postgres", "-D", self._seen(self._layout.data), *(f"--{setting}" for setting in settings)),
            cwd=self._layout.data,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=[lock],
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None:
            status = _postmaster_file(self._layout.data)
            if len(status) > 7 and int(status[0]) == process.pid and status[7].strip() == "ready":
                return
            if time.monotonic() > deadline:
                self.stop()
                raise PostgresNotStarted(f"Postgres was not ready after {_START_SECONDS:.0f} s: {self._layout.log}")
            time.sleep(0.01)
        raise PostgresNotStarted(f"Postgres ended at its start: {_last_line(self._layout.log)}")

    def _create_data(self, lock: int) -> None:
        unfinished = self._layout.unfinished_data
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        os.chown(unfinished, self._layout.owner, -1)
        folder = ["-D", self._seen(unfinished)]
        initdb = ["-U", "okgames", "--encoding=UTF8", "--no-locale", "--no-instructions"]
        initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject"]
        initdb += [] if self._durable else ["--no-sync"]
        self._run(lock, "", "initdb", *folder, *initdb)
        single = ["-c", "exit_on_error=on", "-c", "log_checkpoints=off"]
        self._run(lock, "create database okgames", "postgres", "--single", *folder, *single, "template1")
        unfinished.rename(self._layout.data)
        parent = os.open(self._layout.root, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)

    def _run(self, lock: int, statements: str, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603 - the wheel's programs
            self._command(program, *arguments),
            cwd=self._layout.unfinished_data,
            input=statements,
            capture_output=True,
            text=True,
            env=_environment(),
            pass_fds=[lock],
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            errors = [line for line in said if "error:" in line or "FATAL" in line or "PANIC" in line]
            raise PostgresNotStarted(f"{program} failed in {self._layout.root}: {(errors or said[-1:])[0]}")

    def _end_orphans(self, lock: int) -> None:
        # A supervisor that was killed leaves Postgres shutting down, and for good where the kernel does not tell it.
        deadline = time.monotonic() + _STOP_SECONDS
        is_asked = False
        while not try_lock(lock, fcntl.LOCK_EX):
            status = _postmaster_file(self._layout.data)
            if status and not is_asked:
                try:
                    os.kill(int(status[0]), signal.SIGINT)
                except ProcessLookupError:
                    pass  # only its children are left, which end by themselves
                is_asked = True
            if time.monotonic() > deadline:
                raise PostgresNotStarted(f"an earlier Postgres on {self._layout.data} does not end")
            time.sleep(0.02)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self._prefix, str(self._programs / program), *arguments]

    def _unprivileged(self) -> list[str]:
        is_root = os.geteuid() == 0
        if sys.platform != "linux":
            if is_root:
                raise PostgresNotStarted("Postgres refuses to run as root: run okgames as another user")
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise PostgresNotStarted("the command setpriv is missing: install util-linux, or set OKGAMES_DATABASE_URL")
        prefix = [setpriv, "--pdeathsig", "INT"]
        if not is_root:
            return prefix
        try:
            owner = pwd.getpwuid(self._layout.owner)
        except KeyError as error:
            raise PostgresNotStarted(
                f"{self._layout.root} belongs to the user {self._layout.owner}, who has no name on this machine:"
                " give the folder to one who has"
            ) from error
        prefix += [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        # Where a folder above the programs is closed to others, Postgres may read past it: better than to open it.
        may_pass = [*prefix, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        # Otherwise access(2), by which Postgres looks for its programs, leaves that right out.
        may_pass.append("--securebits=+no_setuid_fixup")
        for candidate in (prefix, may_pass):
            if self._reaches_programs(candidate):
                return candidate
        raise PostgresNotStarted(
            f"the user {owner.pw_name}, whom Postgres runs as, cannot enter {_closed_above(self._programs)}: install"
            " okgames below folders that others may enter, run it as another user than root, or set"
            " OKGAMES_DATABASE_URL"
        )

    def _reaches_programs(self, prefix: list[str]) -> bool:
        # Through a shell: until its first exec, setpriv itself still has root's rights to pass.
        probe = [*prefix, "/bin/sh", "-c", 'exec "$0" --version', str(self._programs / "postgres")]
        done = subprocess.run(probe, env=_environment(), capture_output=True, check=False)  # noqa: S603 - as above
        return done.returncode == 0

    def _seen(self, folder: Path) -> str:
        """Return how Postgres names a folder that it is started in: as root, one above it may be closed to its user."""
        return "/proc/self/cwd" if os.geteuid() == 0 else str(folder)


def _closed_above(programs: Path) -> Path:
    return next((folder for folder in reversed(programs.parents) if not folder.stat().st_mode & stat.S_IXOTH), programs)


def _environment() -> dict[str, str]:
    # The secrets in ours are none of Postgres's business, whose environment its user can read.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _postmaster_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["it wrote no reason"]
    return next((line for line in reversed(lines[-50:]) if "FATAL" in line or "PANIC" in line), lines[-1])
