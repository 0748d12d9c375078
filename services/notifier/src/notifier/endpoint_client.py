import asyncio
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from notifier.domain.address import is_loopback_literal, is_public
from notifier.domain.delivery import Answer
from notifier.domain.endpoint import Endpoint
from okgames.clock import SystemClock
from okgames.retry import parse_retry_after
from okgames.webhooks import sign, signing_key

ANSWER_WITHIN: Final = timedelta(seconds=15)

_KEPT_BYTES: Final = 512
# Shorter than the 5 s after which common servers hang up, so that no request meets a closing connection.
_KEEP_ALIVE: Final = 4
_USER_AGENT: Final = f"okgames/{version('okgames')}"

_AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class AddressRefused(OSError):
    """The endpoint's address is private, and the configuration does not say allow_private."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What is the same for all webhooks to one endpoint."""

    url: URL
    session: aiohttp.ClientSession
    keys: Sequence[bytes]


class EndpointClient:
    """
    Post signed webhooks to the game's servers.

    No redirect is followed, and at most 512 bytes of an answer's body are taken. Addresses are checked at the
    moment of connecting, so that a name cannot turn to a private address after a check.
    """

    def __init__(self, *, answer_within: timedelta = ANSWER_WITHIN, resolver: AbstractResolver | None = None) -> None:
        self._answer_within = answer_within
        self._resolver = resolver
        # Webhooks are signed by the real time also where a simulation moves ours: it is checked by the game's clock.
        self._clock = SystemClock()

    async def __aenter__(self) -> Self:
        self._anywhere = self._session(None)
        self._in_public = self._session(_public_socket)
        self._routes: dict[UUID, _Route] = {}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._anywhere.close()
        await self._in_public.close()

    async def post(self, endpoint: Endpoint, webhook_id: UUID, body: bytes) -> Answer:
        """Send a webhook once and return what came of it, whatever that is."""
        route = self._routes.get(endpoint.id) or self._new_route(endpoint)
        now = await self._clock.now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "webhook-id": str(webhook_id),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(route.keys, str(webhook_id), now, body),
        }
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with route.session.post(route.url, data=body, headers=headers, allow_redirects=False) as response:
                latency = loop.time() - start
                beginning = await _beginning(response)
        except TimeoutError:
            return _failure(
                loop.time() - start, f"TimeoutError: no answer within {self._answer_within.total_seconds():g} s"
            )
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return _failure(loop.time() - start, _text_of(error))
        asked = response.headers.get("Retry-After")
        return Answer(
            status=response.status,
            latency_ms=round(latency * 1000),
            beginning=_printable(beginning.decode(errors="replace")),
            asked_wait=None if asked is None else parse_retry_after(asked, now),
        )

    def _new_route(self, endpoint: Endpoint) -> "_Route":
        url = URL(endpoint.url)
        is_trusted = endpoint.allow_private or is_loopback_literal(url.host or "")
        route = _Route(
            url, self._anywhere if is_trusted else self._in_public, [signing_key(each) for each in endpoint.secrets]
        )
        self._routes[endpoint.id] = route
        return route

    def _session(self, socket_factory: "aiohttp.SocketFactoryType | None") -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=_KEEP_ALIVE,
                socket_factory=socket_factory,
                resolver=self._resolver,
            ),
            timeout=aiohttp.ClientTimeout(total=self._answer_within.total_seconds(), ceil_threshold=float("inf")),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["Accept", "Accept-Encoding"],
        )


def _public_socket(info: _AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    host = str(address[0]).partition("%")[0]
    if not is_public(host):
        raise AddressRefused(errno.EACCES, f"{host} is not a public address, and allow_private is not set")
    return socket.socket(family, kind, protocol)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read the start of the body; the status counts, even where the rest does not come."""
    taken = b""
    try:
        while len(taken) < _KEPT_BYTES and (chunk := await response.content.read(_KEPT_BYTES - len(taken))):
            taken += chunk
    except (aiohttp.ClientError, OSError, TimeoutError):
        return taken
    if not response.content.at_eof():
        response.close()
    return taken


def _failure(seconds: float, error: str) -> Answer:
    return Answer(status=None, latency_ms=round(seconds * 1000), error=_printable(error))


def _text_of(error: Exception) -> str:
    # The others' text holds the whole URL, where a studio may have put a password.
    match error:
        case aiohttp.ClientResponseError():
            text = error.message
        case aiohttp.InvalidURL():
            text = error.description or "invalid address"
        case _:
            text = str(error)
    return f"{type(error).__name__}: {text}"[:_KEPT_BYTES]


def _printable(text: str) -> str:
    """Return the text without what the database cannot hold."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
