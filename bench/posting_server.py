"""
The ceiling of a process that tells the game of each callback: aiohttp on uvloop that answers a constant and posts one
signed webhook for each request, with aiohttp's client, 64 at once; it checks nothing and keeps nothing.

`GET /left` tells how many webhooks are still to be posted.
"""

import argparse
import asyncio
import itertools
from datetime import UTC, datetime

import aiohttp
import orjson
import uvloop
from aiohttp import web
from studio import APPLICATION_KEY, WEBHOOK_SECRET

from okgames.events import derive_id
from okgames.ok_protocol import reply
from okgames.webhooks import sign, signing_key

_AT_ONCE = 64


class Posting:
    """Post webhooks like those of purchases."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._key = signing_key(WEBHOOK_SECRET)
        self._numbers = itertools.count()
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._under_way = 0

    @property
    def left(self) -> int:
        return self._waiting.qsize() + self._under_way

    def add(self) -> None:
        self._waiting.put_nowait(next(self._numbers))

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(_AT_ONCE):
                group.create_task(self._work(session))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            number = await self._waiting.get()
            self._under_way += 1
            now = datetime.now(UTC)
            id_, body = str(derive_id("posting", number)), _body(number, now)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": id_,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": sign([self._key], id_, now, body),
            }
            async with session.post(self._url, data=body, headers=headers) as response:
                response.raise_for_status()
                await response.read()
            self._under_way -= 1


def _body(number: int, now: datetime) -> bytes:
    reward = {
        "reward_id": derive_id("reward", number),
        "application_key": APPLICATION_KEY,
        "uid": str(500_000_000_000 + number),
        "product": "gold_100",
        "item": "gold",
        "quantity": 100,
        "reason": "purchase",
        "transaction_id": f"{number}_1772435730123",
        "occurred_at": now,
    }
    return orjson.dumps({"type": "reward.granted", "timestamp": now, "data": reward})


async def serve(port: int, url: str) -> None:
    body = reply("xml").body
    posting = Posting(url)

    async def answer(_request: web.Request) -> web.Response:
        posting.add()
        return web.Response(body=body, content_type="application/xml")

    async def left(_request: web.Request) -> web.Response:
        return web.Response(text=str(posting.left))

    app = web.Application()
    app.router.add_get("/ok/callback", answer)
    app.router.add_get("/left", left)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await posting.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("url", help="the game's server")
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.url))
