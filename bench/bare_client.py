"""The ceiling of a notifier: a loop that posts bodies, signed before, with aiohttp's client and keeps nothing."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import aiohttp
import uvloop

Request: TypeAlias = tuple[dict[str, str], bytes]


async def post_all(url: str, requests: list[Request], concurrency: int) -> float:
    """Return the seconds it took."""
    left = iter(requests)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(_post(session, url, left))
        return time.perf_counter() - began


async def _post(session: aiohttp.ClientSession, url: str, left: Iterator[Request]) -> None:
    for headers, body in left:
        async with session.post(url, data=body, headers=headers) as response:
            response.raise_for_status()
            await response.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path, help="one [headers, body] a line")
    parser.add_argument("--concurrency", type=int, default=64)
    options = parser.parse_args()
    loaded = [(headers, body.encode()) for headers, body in map(json.loads, options.file.read_text().splitlines())]
    json.dump({"seconds": uvloop.run(post_all(options.url, loaded, options.concurrency))}, sys.stdout)
