from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest
from ledger import CONFIG, Ledger

from okgames.catalogue import Config
from okgames.config import load_config
from okgames.database import Database


@pytest.fixture(scope="session")
def service_migrations() -> list[tuple[str, Path]]:
    return [("subscription_ledger", Path(str(files("subscription_ledger") / "migrations")))]


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("config") / "okgames.toml"
    path.write_text(CONFIG)
    return load_config(path)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "subscription_ledger")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def ledger(config: Config, database: Database) -> Ledger:
    return Ledger(config, database)
