from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from gateway_world import CONFIG, Gateway, gateway_at

import callback_gateway
from okgames.testing import Migrations


@pytest.fixture(scope="session")
def service_migrations() -> Migrations:
    return [("callback_gateway", Path(callback_gateway.__file__).parent / "migrations")]


@pytest.fixture
async def gateway(database_url: str, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Gateway]:
    async with gateway_at(database_url, CONFIG, unused_tcp_port_factory) as running:
        yield running
