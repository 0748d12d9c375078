import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_world import LONG_GRACE, USER_PROGRAM, User, Users

from okgames.embedded_postgres import embedded_postgres


@pytest.fixture
def users() -> Iterator[Users]:
    """Start okgames processes, and end those that are left."""
    started = []

    def start(data_dir: Path, grace: float = LONG_GRACE, prefix: tuple[str, ...] = (), **options: object) -> User:
        user = User(
            subprocess.Popen(
                [*prefix, sys.executable, "-c", USER_PROGRAM, str(data_dir), str(grace)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
        )
        started.append(user.process)
        return user

    yield start
    for process in started:
        if process.poll() is None:
            process.communicate("\n", timeout=30)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder whose Postgres is gone when the test is over, whatever the test did to it."""
    directory = tmp_path / "var"
    yield directory
    if (directory / "postgres").exists():
        with embedded_postgres(directory):
            pass
