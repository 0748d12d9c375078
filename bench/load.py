"""
A load generator in a process of its own, below any HTTP library, so that it takes little from what it measures.

`closed`: each connection sends its next callback when the last one was answered. `open`, with --rate: callbacks leave
at a fixed rate whatever the answers do, and latency counts from when a callback was due, so that a stall is not
hidden; one that finds no idle connection waits for one. All callbacks are distinct, and signed before the clock starts.
"""

import argparse
import asyncio
import gc
import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

import uvloop
from studio import callback_target

_FASTEST = 60_000
_PATIENCE_SECONDS = 15
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, on_answer: "Callable[[Connection, bytes], None]", on_lost: Callable[[], None]) -> None:
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._buffer = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(self._buffer, 0, head) if head >= 0 else None
        if length is not None and len(self._buffer) >= head + 4 + int(length[1]):
            answer, self._buffer = self._buffer, b""
            self._on_answer(self, answer)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._on_lost()


class Load:
    """Send callbacks over some connections and take down how long each answer took."""

    def __init__(self, requests: Iterator[bytes], good: bytes) -> None:
        self._requests = requests
        self._good = good
        self._idle: deque[Connection] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._under_way = 0
        self._send_again_until = 0.0
        self._lost = 0
        self._rests = asyncio.Event()
        self.latencies: list[float] = []
        self.sent = 0
        self.bad = 0
        self.began = 0.0

    async def connect(self, address: str, count: int) -> None:
        host, port = address.split(":")
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(
                lambda: Connection(self._on_answer, self._on_lost), host, int(port)
            )
            self._idle.append(connection)

    async def run_closed(self, seconds: float) -> None:
        self.began = time.perf_counter()
        self._send_again_until = self.began + seconds
        while self._idle:
            self._send(self.began)
        await self._wait_for_answers()

    async def run_open(self, seconds: float, rate: float) -> None:
        self.began = time.perf_counter()
        total = int(seconds * rate)
        while self.sent < total:
            now = time.perf_counter()
            while self.sent < total and (due := self.began + self.sent / rate) <= now:
                self._send(due)
            await asyncio.sleep(0.001)
        await self._wait_for_answers()

    async def _wait_for_answers(self) -> None:
        while self._under_way:
            self._rests.clear()
            await self._rests.wait()
            if self._lost:
                raise ConnectionError(f"the server closed {self._lost} connections")

    def _send(self, due: float) -> None:
        request = next(self._requests)
        self.sent += 1
        self._under_way += 1
        if self._idle:
            self._idle.popleft().ask(request, due)
        else:
            self._waiting.append((request, due))

    def _on_answer(self, connection: Connection, answer: bytes) -> None:
        now = time.perf_counter()
        self.latencies.append(now - connection.due)
        self.bad += self._good not in answer
        self._under_way -= 1
        if self._waiting:
            connection.ask(*self._waiting.popleft())
            return
        self._idle.append(connection)
        if now < self._send_again_until:
            self._send(now)
        elif not self._under_way:
            self._rests.set()

    def _on_lost(self) -> None:
        self._lost += 1
        self._rests.set()


async def generate(options: argparse.Namespace) -> dict[str, float]:
    head = f" HTTP/1.1\r\nHost: {options.address}\r\n\r\n"
    count = int(options.seconds * (options.rate or _FASTEST)) + options.connections
    requests = [f"GET {callback_target(options.first + i)}{head}".encode() for i in range(count)]
    # What is collected here is waited for by everything that is measured.
    gc.disable()
    load = Load(iter(requests), options.good.encode())
    await load.connect(options.address, options.connections)
    async with asyncio.timeout(options.seconds + _PATIENCE_SECONDS):
        if options.rate is None:
            await load.run_closed(options.seconds)
        else:
            await load.run_open(options.seconds, options.rate)
    took = time.perf_counter() - load.began
    latencies = sorted(load.latencies)
    return {
        "began": load.began,
        "took": took,
        "answers": len(latencies),
        "bad": load.bad,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[int(len(latencies) * 0.99)],
        "longest": latencies[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="host:port, on this machine")
    parser.add_argument("--first", type=int, required=True, help="number of the first callback")
    parser.add_argument("--good", default="", help="what every right answer contains")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rate", type=float, help="callbacks a second; without it as fast as answers come")
    json.dump(uvloop.run(generate(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
