"""
A load generator in a process of its own, below any HTTP library, so that it takes little from what it measures.

`closed`: each connection sends its next request when the last one was answered. `open`: requests leave at a fixed
rate whatever the answers do, and latency counts from when a request was due, so that a stall is not hidden.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import uvloop


class Connection(asyncio.Protocol):
    """One keep-alive connection; answers are told by their Content-Length."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float], good: bytes, *, closed: bool) -> None:
        self.requests = requests
        self.latencies = latencies
        self.good = good
        self.closed = closed
        self.bad = 0
        self.buffer = b""
        self.due: deque[float] = deque()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, due: float) -> None:
        request = next(self.requests, None)
        if request is None:
            if not self.due and not self.ended.done():
                self.ended.set_result(None)
            return
        self.due.append(due)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (head := self.buffer.find(b"\r\n\r\n")) >= 0:
            start = self.buffer.find(b"Content-Length: ") + 16
            length = int(self.buffer[start : self.buffer.find(b"\r", start)])
            if len(self.buffer) < head + 4 + length:
                return
            answer, self.buffer = self.buffer[: head + 4 + length], self.buffer[head + 4 + length :]
            self.latencies.append(time.perf_counter() - self.due.popleft())
            self.bad += self.good not in answer
            if self.closed:
                self.send(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server closed the connection"))


async def generate(options: argparse.Namespace, targets: list[bytes]) -> dict[str, float]:
    latencies: list[float] = []
    host, port = options.address.split(":")
    head = f" HTTP/1.1\r\nHost: {options.address}\r\n\r\n".encode()
    deadline = float("inf")

    def requests() -> Iterator[bytes]:
        for target in targets:
            if time.perf_counter() > deadline:
                return
            yield b"GET " + target + head
        raise RuntimeError("there were too few requests for the time")

    one = requests()
    loop = asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda: Connection(one, latencies, options.good.encode(), closed=options.rate is None),
                host,
                int(port),
            )
        )[1]
        for _ in range(options.connections)
    ]
    began = time.perf_counter()
    deadline = began + options.seconds
    if options.rate is None:
        for connection in connections:
            connection.send(time.perf_counter())
        await asyncio.gather(*(connection.ended for connection in connections))
    else:
        sent = 0
        while (now := time.perf_counter()) < deadline:
            while sent < (now - began) * options.rate:
                connections[sent % len(connections)].send(began + sent / options.rate)
                sent += 1
            await asyncio.sleep(0.0005)
        async with asyncio.timeout(10):
            while any(connection.due for connection in connections):
                await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    latencies.sort()
    return {
        "rate": len(latencies) / took,
        "answers": len(latencies),
        "bad": sum(connection.bad for connection in connections),
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "seconds": took,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True, help="host:port, on this machine")
    parser.add_argument("--targets", required=True, type=Path, help="a file of request targets, one a line")
    parser.add_argument("--good", default="", help="what every right answer contains")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rate", type=float, help="requests a second; without it as fast as answers come")
    options = parser.parse_args()
    targets = options.targets.read_bytes().split(b"\n")
    json.dump(uvloop.run(generate(options, targets)), sys.stdout)


if __name__ == "__main__":
    main()
