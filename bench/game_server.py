"""
The game's server: verifies each webhook and takes down when it came.

`GET /arrivals` hands over the (number of the purchase, time) of each reward since it was last asked.
"""

import argparse
import asyncio
import json
import time

import uvloop
from studio import WEBHOOK_SECRET, number_of

from okgames.webhooks import Webhook, verify


class Arrivals:
    """Times are of the clock that all processes of a machine share."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._arrivals: list[tuple[int, float]] = []

    def enter(self, webhook: Webhook) -> None:
        if webhook.id not in self._seen:
            self._seen.add(webhook.id)
            transaction_id = webhook.data.get("transaction_id")
            if isinstance(transaction_id, str):
                self._arrivals.append((number_of(transaction_id), time.perf_counter()))

    def take(self) -> list[tuple[int, float]]:
        taken, self._arrivals = self._arrivals, []
        self._seen.clear()
        return taken


class Connection(asyncio.Protocol):
    """Below any HTTP library, so that it takes little from what it measures."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(lines[0], headers, body)

    def _answer(self, request: str, headers: dict[str, str], body: bytes) -> None:
        answer = b""
        if request.startswith("GET /arrivals"):
            answer = json.dumps(self._arrivals.take()).encode()
        elif request.startswith("POST"):
            self._arrivals.enter(verify(WEBHOOK_SECRET, headers, body))
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


async def serve(port: int) -> None:
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(arrivals), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))
