from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command, command_in

from okgames.testing import DatabaseTemplates


@pytest.fixture
def command(tmp_path: Path, database_templates: DatabaseTemplates) -> Iterator[Command]:
    """The command in a folder of its own, with a database to which nothing was applied."""
    with database_templates.empty() as url:
        yield command_in(tmp_path, url)
