import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from notifier_world import NOW, Game

from notifier.domain.delivery import Answer
from notifier.domain.endpoint import Endpoint
from notifier.domain.webhook import ping_body
from notifier.endpoint_client import EndpointClient
from okgames.events import derive_id
from okgames.webhooks import Webhook

MEGABYTE = b"x" * 1024 * 1024


class Names(AbstractResolver):
    """Every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


async def post(endpoint: Endpoint, *, seconds: float = 5, resolver: Names | None = None) -> Answer:
    async with EndpointClient(answer_within=timedelta(seconds=seconds), resolver=resolver) as client:
        return await client.post(endpoint, derive_id("a webhook"), ping_body(NOW))


@asynccontextmanager
async def talking(answer: bytes) -> AsyncIterator[str]:
    """A server that says this, whatever it hears, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path"


async def test_an_answer_is_known_by_its_status_its_time_and_its_beginning(game: Game) -> None:
    async def answering(_webhook: Webhook) -> web.Response:
        return web.Response(status=418, text="tea " * 200, headers={"Retry-After": "7"})

    game.answering = answering
    answer = await post(game.endpoint())

    assert Answer(418, answer.latency_ms, ("tea " * 200)[:512], None, timedelta(seconds=7)) == answer
    assert 0 <= answer.latency_ms < 5_000


async def test_no_redirect_is_followed(game: Game) -> None:
    async def answering(_webhook: Webhook) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{game.url}/elsewhere"})

    game.answering = answering
    answer = await post(game.endpoint())

    assert 307 == answer.status
    assert 1 == len(game.seen)


async def test_a_game_that_hangs_is_given_up(game: Game) -> None:
    game.answering = _never
    answer = await post(game.endpoint(), seconds=0.2)

    assert (None, "TimeoutError: no answer within 0.2 s") == (answer.status, answer.error)
    assert 200 <= answer.latency_ms < 5_000


async def _never(_webhook: Webhook) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def test_a_status_counts_even_where_the_rest_of_the_answer_does_not_come() -> None:
    async with talking(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthan") as url:
        answer = await post(Game().endpoint(url=url))

    assert (200, "than", None) == (answer.status, answer.beginning, answer.error)


async def test_of_a_huge_answer_only_the_beginning_is_read() -> None:
    written = 0
    cut_off = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (10 * len(MEGABYTE)))
        try:
            for _ in range(10):
                writer.write(MEGABYTE)
                await writer.drain()
                written += 1
        except ConnectionError:
            cut_off.set()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        answer = await post(Game().endpoint(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
        await cut_off.wait()

    assert (200, "x" * 512) == (answer.status, answer.beginning)
    assert written < 10


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "ServerDisconnectedError"),
        (b"hello\r\n\r\n", "ClientResponseError"),
        (b"HTTP/1.1 200 OK\r\nX: " + MEGABYTE + b"\r\n\r\n", "ClientResponseError"),
    ],
)
async def test_what_is_no_answer_is_an_error_that_does_not_tell_the_path(said: bytes, error: str) -> None:
    async with talking(said) as url:
        answer = await post(Game().endpoint(url=url))

    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith(error)
    assert "secret-path" not in answer.error
    assert len(answer.error) <= 512


async def test_a_closed_port_is_an_error() -> None:
    async with talking(b"") as url:
        pass
    answer = await post(Game().endpoint(url=url))

    assert answer.error is not None
    assert answer.error.startswith("ClientConnectorError")


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        (b"\0\xff text", "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} text"),
        ("спасибо".encode(), "спасибо"),
    ],
)
async def test_an_answer_is_kept_as_text_that_the_database_takes(game: Game, body: bytes, beginning: str) -> None:
    async def answering(_webhook: Webhook) -> web.Response:
        return web.Response(body=body)

    game.answering = answering

    assert beginning == (await post(game.endpoint())).beginning


async def test_nothing_is_unpacked(game: Game) -> None:
    async def answering(_webhook: Webhook) -> web.Response:
        return web.Response(body=gzip.compress(MEGABYTE), headers={"Content-Encoding": "gzip"})

    game.answering = answering
    answer = await post(game.endpoint())

    assert 200 == answer.status
    assert "xxxx" not in answer.beginning


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "[::ffff:127.0.0.1]", "[fd00::1]"],
)
async def test_private_addresses_are_refused(game: Game, host: str) -> None:
    answer = await post(game.endpoint(url=f"http://{host}:{game.port}/"))

    assert answer.status is None
    assert answer.error is not None
    assert "is not a public address" in answer.error
    assert [] == game.seen


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["::1"]])
async def test_a_name_that_has_become_a_private_address_is_refused(game: Game, addresses: Sequence[str]) -> None:
    answer = await post(game.endpoint(url=f"http://game.example:{game.port}/"), resolver=Names(*addresses))

    assert answer.error is not None
    assert "is not a public address" in answer.error
    assert [] == game.seen


async def test_private_addresses_are_reached_where_the_configuration_allows_it(game: Game) -> None:
    endpoint = game.endpoint(url=f"http://game.example:{game.port}/", allow_private=True)

    assert (await post(endpoint, resolver=Names("127.0.0.1"))).is_success


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_reached_when_it_is_named_so(game: Game, host: str) -> None:
    assert (await post(game.endpoint(url=f"http://{host}:{game.port}/"))).is_success


async def test_a_name_that_cannot_be_is_an_error_of_the_attempt(game: Game) -> None:
    for host in ("a" * 64 + ".example", "game..example", "nowhere.invalid", "2130706433"):
        answer = await post(game.endpoint(url=f"http://{host}/secret-path"))

        assert answer.status is None
        assert answer.error
        assert "secret-path" not in answer.error


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "self_signed.pem")
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer = await post(Game().endpoint(url=f"https://127.0.0.1:{port}/"))

    assert answer.error is not None
    assert answer.error.startswith("ClientConnectorCertificateError")
