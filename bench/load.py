"""
A load generator in a process of its own, on bare sockets, so that it takes little from what it measures.

`closed`: each connection sends its next callback when the last one was answered. `open`, with --rate: callbacks leave
at a fixed rate whatever the answers do, and latency counts from when a callback was due, so that a stall is not
hidden; one that finds no idle connection waits for one. All callbacks are distinct, and signed before the clock starts.
"""

import argparse
import gc
import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator

from studio import callback_target

_FASTEST = 60_000
_PATIENCE_SECONDS = 15
_END_OF_HEAD = b"\r\n\r\n"
_CONTENT_LENGTH = b"content-length:"


class Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._last_head = b""
        self._body_length = 0
        self.fileno = self._socket.fileno()
        self.due = 0.0

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self._socket.send(request)

    def receive(self) -> bytes | None:
        """Return the answer, or None while there is more to come."""
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("the server closed a connection")
        self._answer += received
        if not self._is_whole():
            return None
        answer, self._answer = self._answer, b""
        return answer

    def _is_whole(self) -> bool:
        head, found, body = self._answer.partition(_END_OF_HEAD)
        if found and head != self._last_head:
            # The answers of one second have the same.
            length = head[head.lower().index(_CONTENT_LENGTH) + len(_CONTENT_LENGTH) :].partition(b"\r")[0]
            self._last_head, self._body_length = head, int(length)
        return bool(found) and len(body) >= self._body_length


class Load:
    """Send callbacks over some connections and take down how long each answer took."""

    def __init__(self, address: str, connections: int, requests: Iterator[bytes], good: bytes) -> None:
        self._requests = requests
        self._good = good
        self._idle = deque(Connection(address) for _ in range(connections))
        self._by_fileno = {connection.fileno: connection for connection in self._idle}
        self._poll = select.epoll()
        for fileno in self._by_fileno:
            self._poll.register(fileno, select.EPOLLIN)
        self.latencies: list[float] = []
        self.sent = 0
        self.bad = 0
        self.began = 0.0

    def run_closed(self, seconds: float) -> None:
        """Send the next callback when one was answered."""
        self.began = time.perf_counter()
        stop = self.began + seconds
        while self._idle:
            self._send(self.began)
        while self.sent > len(self.latencies):
            self._take_answers(_PATIENCE_SECONDS)
            while self._idle and (now := time.perf_counter()) < stop:
                self._send(now)

    def run_open(self, seconds: float, rate: float) -> None:
        """Send callbacks when they are due, over whichever connection is idle."""
        self.began = time.perf_counter()
        total = int(seconds * rate)
        while self.sent < total or self.sent > len(self.latencies):
            while self._idle and self.sent < total and (due := self._due(rate)) <= time.perf_counter():
                self._send(due)
            is_waiting_for_time = self._idle and self.sent < total
            self._take_answers(
                max(0.0, self._due(rate) - time.perf_counter()) if is_waiting_for_time else _PATIENCE_SECONDS
            )

    def _due(self, rate: float) -> float:
        return self.began + self.sent / rate

    def _send(self, due: float) -> None:
        self._idle.popleft().ask(next(self._requests), due)
        self.sent += 1

    def _take_answers(self, seconds: float) -> None:
        """Wait at most so long for answers."""
        readable = self._poll.poll(seconds)
        if not readable and seconds == _PATIENCE_SECONDS:
            raise TimeoutError(f"no answer within {_PATIENCE_SECONDS} s")
        for fileno, _ in readable:
            connection = self._by_fileno[fileno]
            answer = connection.receive()
            if answer is not None:
                self.latencies.append(time.perf_counter() - connection.due)
                self.bad += self._good not in answer
                self._idle.append(connection)


def generate(options: argparse.Namespace) -> dict[str, float]:
    head = f" HTTP/1.1\r\nHost: {options.address}\r\n\r\n"
    count = int(options.seconds * (options.rate or _FASTEST)) + options.connections
    requests = [f"GET {callback_target(options.first + i)}{head}".encode() for i in range(count)]
    # What is collected here is waited for by everything that is measured.
    gc.disable()
    if options.connections > 1:
        # Each answer wakes this process: where Linux likes, on the server's core, which it would take from the server.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    load = Load(options.address, options.connections, iter(requests), options.good.encode())
    if options.rate is None:
        load.run_closed(options.seconds)
    else:
        load.run_open(options.seconds, options.rate)
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
    json.dump(generate(parser.parse_args()), sys.stdout)


if __name__ == "__main__":
    main()
