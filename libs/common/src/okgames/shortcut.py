import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias, cast

from aiohttp import hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE, HttpProcessingError, HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.tcp_helpers import tcp_keepalive

LONGEST_LINE: Final = 65536
"""Bytes: OK's callbacks carry a text of the game's own in the URL, where each Cyrillic letter takes six."""

_REQUEST_LINE: Final = re.compile(rb"GET (/[!$->@-~]*)\?([!$-~]*) HTTP/1\.1\r\n").match
_LONGEST_FIELDS: Final = 4096
_IDLE_SECONDS: Final = 3630.0
"""Longer than common proxies keep their connections to a server."""


class Asked(NamedTuple):
    """
    Hold a request for a shortcut: its query as it came, and who asks.

    `forwarded` are its X-Forwarded-For headers. `has_left` tells whether the connection has been lost meanwhile.
    """

    query: str
    peer: str | None
    forwarded: Sequence[str]
    has_left: Callable[[], bool]


class Answer:
    """Hold an answer of status 200 that is put together once and sent any number of times."""

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body
        fields = {**headers, "Content-Length": str(len(body)), "Server": SERVER_SOFTWARE}
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        self._before = f"HTTP/1.1 200 OK\r\n{lines}Date: ".encode()
        self._after = b"\r\n\r\n" + body
        self._date = ""
        self._message = b""

    def message(self) -> bytes:
        """Return the whole of it, as of the present second."""
        date = rfc822_formatted_time()
        if date is not self._date:
            self._date, self._message = date, b"%b%b%b" % (self._before, date.encode(), self._after)
        return self._message


Shortcut: TypeAlias = Callable[[Asked, Callable[[Answer], None]], None]
"""Answer a request by calling what is given, once, now or later: so no request needs a task."""


class Connections:
    """
    Accept connections on which GET requests to some paths are answered without aiohttp.

    Only what has come whole, alone and in its plainest form is answered so. The first request that is anything else
    makes the connection aiohttp's for the rest of its life, so that one HTTP server has to be right about all others.
    """

    def __init__(self, shortcuts: Mapping[str, Shortcut], others: web.Server) -> None:
        self.shortcuts = {path.encode(): shortcut for path, shortcut in shortcuts.items()}
        self.others = others
        self._open: set[_Connection] = set()
        self._one_has_ended = asyncio.Event()

    def __call__(self) -> asyncio.Protocol:
        return _Connection(self)

    def add(self, connection: "_Connection") -> None:
        self._open.add(connection)

    def discard(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self._one_has_ended.set()

    async def close(self, seconds: float) -> None:
        """Close the connections, those that wait for an answer when they have it or that time is over."""
        for connection in list(self._open):
            connection.close_when_idle()
        try:
            async with asyncio.timeout(seconds):
                while self._open:
                    self._one_has_ended.clear()
                    await self._one_has_ended.wait()
        except TimeoutError:
            for connection in list(self._open):
                connection.abort()


class _Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _peer: str | None
    _idle_since: float
    _reaper: asyncio.TimerHandle

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._early = b""
        self._is_answering = False
        self._can_write = True
        self._is_closing = False
        self._has_left = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass.
        self._transport = cast("asyncio.Transport", transport)
        tcp_keepalive(self._transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else None
        self._idle_since = self._loop.time()
        self._reaper = self._loop.call_later(_IDLE_SECONDS, self._reap)
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._has_left = True
        self._forget()

    def data_received(self, data: bytes) -> None:
        if self._is_answering or not self._can_write:
            # Answers go out in the order of the requests.
            self._early += data
            self._transport.pause_reading()
        else:
            self._take(data)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._go_on()

    def close_when_idle(self) -> None:
        self._is_closing = True
        if not self._is_answering:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _take(self, data: bytes) -> None:
        line = _REQUEST_LINE(data) if len(data) <= LONGEST_LINE else None
        shortcut = self._connections.shortcuts.get(line[1]) if line else None
        if line is None or shortcut is None or (forwarded := _forwarded_in(data[line.end() :])) is None:
            self._hand_over(data)
            return
        self._is_answering = True
        shortcut(Asked(line[2].decode(), self._peer, forwarded, self._is_gone), self._say)

    def _say(self, answer: Answer) -> None:
        self._is_answering = False
        if self._has_left:
            return
        self._transport.write(answer.message())
        self._idle_since = self._loop.time()
        if self._is_closing:
            self._transport.close()
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._early and self._can_write and not self._is_answering:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self._take(early)

    def _hand_over(self, data: bytes) -> None:
        self._forget()
        other = self._connections.others()
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        other.data_received(data)

    def _is_gone(self) -> bool:
        return self._has_left

    def _forget(self) -> None:
        self._reaper.cancel()
        self._connections.discard(self)

    def _reap(self) -> None:
        idle = 0.0 if self._is_answering else self._loop.time() - self._idle_since
        if idle >= _IDLE_SECONDS:
            self._transport.close()
        else:
            self._reaper = self._loop.call_later(_IDLE_SECONDS - idle, self._reap)


# A caller sends the same fields with each request, so they are read once.
@lru_cache(maxsize=1024)
def _forwarded_in(fields: bytes) -> Sequence[str] | None:
    """Return the X-Forwarded-For headers of a request that ends here and asks for nothing but its answer, or None."""
    if len(fields) > _LONGEST_FIELDS or fields.find(b"\r\n\r\n") != len(fields) - 4:
        return None
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    try:
        messages, is_upgrade, _ = parser.feed_data(b"GET / HTTP/1.1\r\n" + fields)
    except HttpProcessingError:
        return None
    ((message, payload),) = messages
    if is_upgrade or message.should_close or payload is not EMPTY_PAYLOAD or hdrs.EXPECT in message.headers:
        return None
    return message.headers.getall(hdrs.X_FORWARDED_FOR, ())
