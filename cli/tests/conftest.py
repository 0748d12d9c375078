from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command import Command, command_in, installed

from okgames.testing import DatabaseTemplates


@pytest.fixture
def command(tmp_path: Path, database_templates: DatabaseTemplates) -> Iterator[Command]:
    """The command in a folder of its own, with a database to which nothing was applied."""
    with database_templates.empty() as url:
        yield command_in(tmp_path, url)


@pytest.fixture
def program(command: Command) -> Command:
    """As `command`, by the program that pip has installed."""
    return replace(command, start=installed)
