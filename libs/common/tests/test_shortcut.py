"""OK's requests on bare sockets: a shortcut says what aiohttp would, to the byte but for the order of header fields."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pytest
import uvloop
from aiohttp import hdrs, web
from hypothesis import given
from hypothesis import strategies as st

from okgames import management, shortcut
from okgames.kafka_brokers import free_ports
from okgames.management import http_server
from okgames.settings import HttpAddress
from okgames.shortcut import Answer, Asked
from okgames.testing import wait_until

pytestmark = pytest.mark.uvloop

HOST = b"Host: game.example\r\n"

WHOLE = {
    "a plain one": b"GET /ok/callback?uid=1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "escapes and marks": b"GET /ok/callback?a=%D0%A2+%26&b=?/:@!$'()*,;=~ HTTP/1.1\r\n" + HOST + b"\r\n",
    "fields": b"GET /ok/callback?uid=2 HTTP/1.1\r\n" + HOST + b"Accept: */*\r\nUser-Agent: OK\r\n\r\n",
    "through proxies": b"GET /ok/callback?uid=3 HTTP/1.1\r\n"
    + HOST
    + b"X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8, 9.9.9.9\r\n\r\n",
    "keep-alive": b"GET /ok/callback?uid=4 HTTP/1.1\r\n" + HOST + b"Connection: keep-alive\r\n\r\n",
    "no query": b"GET /ok/callback HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty query": b"GET /ok/callback? HTTP/1.1\r\n" + HOST + b"\r\n",
    "another spelling": b"GET /ok/%63allback?uid=5 HTTP/1.1\r\n" + HOST + b"\r\n",
    "another path": b"GET /elsewhere?uid=6 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a longer path": b"GET /ok/callback/?uid=7 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute address": b"GET http://game.example/ok/callback?uid=8 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /ok/callback?uid=9#part HTTP/1.1\r\n" + HOST + b"\r\n",
    "a body": b"GET /ok/callback?uid=10 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    "a body in chunks": b"GET /ok/callback?uid=11 HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a body of which it waits to be told": b"GET /ok/callback?uid=12 HTTP/1.1\r\n"
    + HOST
    + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    "POST": b"POST /ok/callback?uid=13 HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
    "HEAD": b"HEAD /ok/callback?uid=14 HTTP/1.1\r\n" + HOST + b"\r\n",
}

LAST = {
    "bytes that are no text": b"GET /ok/callback?uid=\xd0\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "to be closed": b"GET /ok/callback?uid=20 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "HTTP/1.0": b"GET /ok/callback?uid=21 HTTP/1.0\r\n" + HOST + b"\r\n",
    "no host": b"GET /ok/callback?uid=22 HTTP/1.1\r\n\r\n",
    "a broken field": b"GET /ok/callback?uid=23 HTTP/1.1\r\n" + HOST + b"Brok en: 1\r\n\r\n",
    "a field's end without a return": b"GET /ok/callback?uid=24 HTTP/1.1\r\n" + HOST + b"A: 1\n\r\n",
    "a blank in the address": b"GET /ok/callback?uid=2 5 HTTP/1.1\r\n" + HOST + b"\r\n",
    "two lengths": b"GET /ok/callback?uid=26 HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\nContent-Length: 1\r\n\r\n",
    "a length and chunks": b"GET /ok/callback?uid=27 HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a line that is too long": b"GET /ok/callback?" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a field that is too long": b"GET /ok/callback?uid=28 HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 9000 + b"\r\n\r\n",
}


ONE = WHOLE["a plain one"]
CLOSING = LAST["to be closed"]


@dataclass
class Server:
    """What answers with what it was asked; while it `holds`, the test says when."""

    port: int
    held: list[tuple[Asked, Callable[[], None]]] = field(default_factory=list)
    holds: bool = False

    def take(self, asked: Asked, say: Callable[[Answer], None]) -> None:
        body = f"{asked.query} from {asked.peer} through {list(asked.forwarded)}".encode(errors="surrogateescape")
        answer = Answer({"Content-Type": "text/plain", "Invocation-error": "1"}, body)
        if self.holds:
            self.held.append((asked, lambda: say(answer)))
        else:
            say(answer)


@asynccontextmanager
async def serving(port: int, *, with_shortcut: bool = True) -> AsyncIterator[Server]:
    server = Server(port)

    async def handler(request: web.Request) -> web.Response:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        query = request.raw_path.partition("?")[2]
        server.take(Asked(query, request.remote, forwarded, lambda: False), answered.set_result)
        answer = await answered
        return web.Response(body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_get("/ok/callback", handler)
    shortcuts = {"/ok/callback": server.take} if with_shortcut else {}
    async with http_server(app, HttpAddress(host="127.0.0.1", port=port), shortcuts):
        yield server


@pytest.fixture
async def server(unused_tcp_port: int) -> AsyncIterator[Server]:
    async with serving(unused_tcp_port) as running:
        yield running


async def asking(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose first request has come and waits for its answer."""
    server.holds = True
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(ONE)
    await wait_until(lambda: len(server.held) == 1, 5, "the request does not come")
    return reader, writer


class Said(NamedTuple):
    """An answer without its date, its fields in no order."""

    status: bytes
    fields: frozenset[bytes]
    body: bytes


def read_answers(received: bytes) -> list[Said]:
    answers = []
    for answer in re.split(rb"HTTP/1\.[01] ", received)[1:]:
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        answers.append(Said(status, frozenset(each for each in fields if not each.startswith(b"Date:")), body))
    return answers


async def said_to(port: int, pieces: Sequence[bytes], *, each_is_answered: bool = False) -> list[Said]:
    """All that a server answers to these pieces until it closes the connection."""
    loop = asyncio.get_running_loop()
    received = b""
    with closing(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.setblocking(False)
        for piece in pieces:
            if each_is_answered and piece is not pieces[0]:
                received += await asyncio.wait_for(loop.sock_recv(connection, 65536), 5)
            await loop.sock_sendall(connection, piece)
            # Whether the server finds each piece alone is left to chance: its answers are the same.
            await asyncio.sleep(0)
        # Who hangs up before everything was read resets the connection, but what it said can be read.
        with suppress(ConnectionError):
            while more := await asyncio.wait_for(loop.sock_recv(connection, 65536), 5):
                received += more
    return read_answers(received)


@pytest.mark.parametrize("request_", WHOLE.values(), ids=WHOLE)
async def test_a_request_is_answered_as_aiohttp_does(
    server: Server, request_: bytes, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with serving(unused_tcp_port_factory(), with_shortcut=False) as other:
        for requests in ([request_], [ONE, request_], [request_, ONE]):
            expected = await said_to(other.port, [*requests, CLOSING])

            assert len(requests) < len(expected)
            assert expected == await said_to(server.port, [*requests, CLOSING])


@pytest.mark.parametrize("request_", LAST.values(), ids=LAST)
async def test_after_a_request_that_is_wrong_or_the_last_the_connection_is_closed_as_by_aiohttp(
    server: Server, request_: bytes, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with serving(unused_tcp_port_factory(), with_shortcut=False) as other:
        for requests in ([request_], [ONE, request_]):
            expected = await said_to(other.port, requests, each_is_answered=True)

            assert len(requests) == len(expected)
            assert expected == await said_to(server.port, requests, each_is_answered=True)


@given(
    requests=st.lists(st.sampled_from(list(WHOLE.values())), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 500), max_size=8),
)
def test_however_requests_are_cut_and_joined_the_answers_are_those_of_aiohttp(
    requests: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(requests)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places) if end > start]

    async def answers(*, with_shortcut: bool) -> list[Said]:
        (port,) = free_ports(1)
        async with serving(port, with_shortcut=with_shortcut):
            return await said_to(port, [*pieces, CLOSING])

    expected = uvloop.run(answers(with_shortcut=False))
    assert len(requests) < len(expected)
    assert expected == uvloop.run(answers(with_shortcut=True))


async def test_requests_that_come_before_the_last_was_answered_are_answered_after_it(server: Server) -> None:
    reader, writer = await asking(server)
    for number in range(3):
        writer.write(ONE.replace(b"uid=1", b"uid=later%d" % number))
    writer.write(CLOSING)
    server.holds = False
    server.held[0][1]()

    async with asyncio.timeout(5):
        answers = read_answers(await reader.read())

    assert [b"uid=1", b"uid=later0", b"uid=later1", b"uid=later2", b"uid=20"] == [
        answer.body.partition(b" ")[0] for answer in answers
    ]
    writer.close()


async def test_one_that_has_left_is_told_nothing_and_disturbs_nobody(server: Server) -> None:
    _, writer = await asking(server)
    asked, say = server.held[0]
    assert not asked.has_left()

    writer.transport.abort()
    await wait_until(asked.has_left, 5, "that it has left is not noticed")
    say()

    server.holds = False
    assert 2 == len(await said_to(server.port, [ONE, CLOSING]))


async def test_one_that_never_reads_is_not_read_from_for_ever(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**10)
    request = b"GET /ok/callback?" + b"a" * 4000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"

    async def send() -> None:
        while True:
            writer.write(request)
            await writer.drain()

    # Its own socket fills when the server stops to read.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await send()
    writer.transport.abort()
    assert 2 == len(await said_to(server.port, [ONE, CLOSING]))


async def test_when_it_ends_requests_under_way_are_answered_and_idle_connections_closed(unused_tcp_port: int) -> None:
    async with serving(unused_tcp_port) as server:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = await asking(server)
        asyncio.get_running_loop().call_later(0.2, server.held[0][1])

    assert b"" == await idle.read()
    assert 1 == len(read_answers(await reader.read()))
    idle_writer.close()
    writer.close()


async def test_when_it_ends_nobody_is_waited_for_longer_than_its_grace(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "_GRACE_SECONDS", 0.2)
    async with serving(unused_tcp_port) as server:
        reader, writer = await asking(server)

    assert b"" == await reader.read()
    server.held[0][1]()
    writer.close()


async def test_a_connection_on_which_nothing_comes_is_closed(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "_IDLE_SECONDS", 0.3)
    async with serving(unused_tcp_port) as server:
        reader, writer = await asking(server)
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(5):
            assert b"" == await idle.read()
        assert not server.held[0][0].has_left()
        server.held[0][1]()

        async with asyncio.timeout(5):
            assert 1 == len(read_answers(await reader.read()))
    idle_writer.close()
    writer.close()


def test_an_answer_has_the_date_of_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer({"Content-Type": "text/plain"}, b"yes")
    dates = []
    for date in ("Thu, 26 Nov 2026 15:20:02 GMT", "Thu, 26 Nov 2026 15:20:03 GMT"):
        monkeypatch.setattr(shortcut, "rfc822_formatted_time", lambda date=date: date)
        for _ in range(2):
            dates += re.findall(rb"Date: (.*)\r\n", answer.message())

    assert [b"Thu, 26 Nov 2026 15:20:02 GMT"] * 2 + [b"Thu, 26 Nov 2026 15:20:03 GMT"] * 2 == dates
