import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from okgames.postgres_layout import Layout, Running

LONG_GRACE: Final = 60.0
SHORT_GRACE: Final = 0.5
IS_ROOT: Final = os.geteuid() == 0
READS_PAST: Final = (
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--securebits=+no_setuid_fixup",
)

USER_PROGRAM: Final = """
import sys
from pathlib import Path
from okgames.embedded_postgres import embedded_postgres

with embedded_postgres(Path(sys.argv[1]), grace=float(sys.argv[2])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


@dataclass
class User:
    """An okgames process that uses the database."""

    process: subprocess.Popen[str]

    def url(self) -> str:
        """Return the URL that it got, or fail with what it said."""
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip()
        if not url:
            raise AssertionError(self.process.communicate()[1])
        return url

    def failure(self) -> str:
        """Return its last words."""
        said = self.process.communicate(timeout=30)[1]
        assert self.process.returncode != 0
        return said.strip().splitlines()[-1]

    def leave(self) -> None:
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Users = Callable[..., User]


def layout_of(data_dir: Path) -> Layout:
    return Layout(data_dir / "postgres")


def postmaster(data_dir: Path) -> int:
    return int((layout_of(data_dir).data / "postmaster.pid").read_text().splitlines()[0])


def supervisor(data_dir: Path) -> int:
    running = Running.read(layout_of(data_dir).supervisor_lock)
    assert running is not None
    return running.pid


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def answers(url: str) -> bool:
    try:
        query(url, "select 1")
    except psycopg.OperationalError:
        return False
    return True


def unprivileged() -> tuple[str, ...]:
    """Return what starts a command as a normal user, who can run this Python wherever it is installed."""
    nobody = pwd.getpwnam("nobody")
    prefix = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    # Through a shell: until its first exec, setpriv itself still has root's rights to pass.
    probe = [*prefix, "/bin/sh", "-c", 'exec "$0" -c "import okgames"', sys.executable]
    if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return prefix
    return (*prefix, *READS_PAST)
