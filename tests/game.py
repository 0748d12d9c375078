"""The game's server."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from standardwebhooks import Webhook

WEBHOOK_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass
class Game:
    """The game's server: checks each webhook with an independent library and keeps the first body of each id."""

    port: int
    answers: list[int] = field(default_factory=list)
    """Statuses for the next webhooks; 200 after that."""
    received: dict[str, dict[str, Any]] = field(default_factory=dict)
    times_received: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def on_webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        message = Webhook(WEBHOOK_SECRET).verify(body, dict(request.headers))
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.Response(status=status)
        webhook_id = request.headers["webhook-id"]
        self.times_received[webhook_id] += 1
        known = self.received.setdefault(webhook_id, message)
        assert known == message, "one id has one body"
        return web.Response()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.received.values() if message["type"] == kind]

    def items(self, uid: str) -> dict[str, int]:
        """Return how many of each item a player was given."""
        given: dict[str, int] = defaultdict(int)
        for reward in self.rewards(uid):
            given[reward["item"]] += reward["quantity"]
        return dict(given)

    def rewards(self, uid: str) -> list[dict[str, Any]]:
        return [reward for reward in self.of_type("reward.granted") if reward["uid"] == uid]

    def states(self, uid: str) -> list[str]:
        return [change["state"] for change in self.of_type("entitlement.changed") if change["uid"] == uid]


@asynccontextmanager
async def game_server(game: Game) -> AsyncIterator[None]:
    """Let the game's server listen."""
    app = web.Application()
    app.router.add_post("/okgames", game.on_webhook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", game.port).start()
        yield
    finally:
        await runner.cleanup()
