import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from notifier_world import Game, playing

from notifier.domain.delivery import Answer
from notifier.domain.endpoint import Endpoint
from notifier.domain.webhook import ping_body
from notifier.endpoint_client import EndpointClient
from okgames.events import derive_id
from okgames.testing import wait_until
from okgames.webhooks import Webhook

CERTIFICATE = Path(__file__).parent / "self_signed.pem"


class Names(AbstractResolver):
    """Resolve every name to the next of these addresses, and to the last for good."""

    def __init__(self, *addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def post(
    endpoint: Endpoint, *, answer_within: timedelta = timedelta(seconds=5), resolver: Names | None = None
) -> Answer:
    async with EndpointClient(answer_within=answer_within, resolver=resolver) as client:
        return await client.post(endpoint, derive_id("a webhook"), ping_body(NOW))
