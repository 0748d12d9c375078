import asyncio
from collections.abc import Callable, Mapping

import hypothesis
import pytest
import uvloop

# Folders of these names stand beside this file, and pytest would take them for the packages.
import cli  # noqa: F401 - see above
import simulator  # noqa: F401 - see above

# A machine that is busy with Postgres says nothing about the code by being slow.
hypothesis.settings.register_profile("test", deadline=None)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=3_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="Run fault and property tests at their full counts.")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.load_profile("soak" if config.getoption("soak") else "test")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is marked on the loop that services run on, where its own kind of transports makes a difference."""
    if item.get_closest_marker("uvloop"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def soak(pytestconfig: pytest.Config) -> bool:
    """Whether tests should run at their full counts."""
    return bool(pytestconfig.getoption("soak"))
