import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict

from okgames.settings import HttpAddress
from okgames.webhooks import Webhook, WebhookRejected, verify
from simulator.chance import Chance

_HANGS_SECONDS: Final = 0.2


class RewardBody(BaseModel):
    """Read the data of a webhook of type reward.granted."""

    model_config = ConfigDict(frozen=True)

    reward_id: str
    uid: str
    product: str
    item: str
    quantity: int


class StateBody(BaseModel):
    """Read what a snapshot says of one product."""

    model_config = ConfigDict(frozen=True)

    product: str
    state: str
    entitled: bool
    until: AwareDatetime


class ChangeBody(BaseModel):
    """Read the data of a webhook of type entitlement.changed."""

    model_config = ConfigDict(frozen=True)

    uid: str
    version: int
    entitlements: tuple[StateBody, ...]


class WinnerBody(BaseModel):
    """Read the data of a webhook of type promotion.winner_drawn."""

    model_config = ConfigDict(frozen=True)

    uid: str
    prize_oks: int


@dataclass
class GameBooks:
    """
    Keep what the game's server was told, each webhook once, under its webhook-id; `kinds` counts them by type.

    `wrong` lists what must never happen: a webhook that says something else the second time, a reward under two
    ids, a player's news in the wrong order.
    """

    webhooks: dict[str, Mapping[str, object]] = field(default_factory=dict)
    rewards: dict[str, RewardBody] = field(default_factory=dict)
    players: dict[str, ChangeBody] = field(default_factory=dict)
    winners: list[WinnerBody] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def enter(self, webhook: Webhook) -> None:
        known = self.webhooks.setdefault(webhook.id, webhook.data)
        if known is not webhook.data:
            if known != webhook.data:
                self.wrong.append(f"webhook {webhook.id} has two contents")
            return
        self.kinds[webhook.type] += 1
        match webhook.type:
            case "reward.granted":
                self._enter_reward(RewardBody.model_validate(webhook.data))
            case "entitlement.changed":
                self._enter_change(ChangeBody.model_validate(webhook.data))
            case "promotion.winner_drawn":
                self.winners.append(WinnerBody.model_validate(webhook.data))

    def _enter_reward(self, reward: RewardBody) -> None:
        if reward.reward_id in self.rewards:
            self.wrong.append(f"reward {reward.reward_id} came under two webhook ids")
        self.rewards[reward.reward_id] = reward

    def _enter_change(self, change: ChangeBody) -> None:
        before = self.players.get(change.uid)
        if before is not None and change.version <= before.version:
            self.wrong.append(f"player {change.uid}: version {change.version} came after {before.version}")
            return
        self.players[change.uid] = change


class Mood(StrEnum):
    """Say how the game's server takes one request."""

    WELL = "well"
    FAILS = "fails"
    FORGETS_TO_SAY_SO = "forgets to say so"
    HANGS = "hangs"
    HANGS_UP = "hangs up"


@dataclass
class GameServer:
    """
    Receive webhooks as a game does: verify, enter, answer.

    It fails now and then, and altogether while `is_out`; with `failing` 0 it does no more.
    """

    secret: str
    chance: Chance
    failing: float
    is_out: bool = False
    books: GameBooks = field(default_factory=GameBooks)
    requests: int = 0
    failed: int = 0
    rejected: int = 0
    _attempts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def on_webhook(self, request: web.Request) -> web.Response:
        """Answer 200 once the webhook is in the books, and 400 to what was not signed for this game."""
        self.requests += 1
        try:
            webhook = verify(self.secret, request.headers, await request.read())
        except WebhookRejected:
            self.rejected += 1
            return web.Response(status=400)
        mood = self._mood(webhook.id)
        if mood in {Mood.WELL, Mood.FORGETS_TO_SAY_SO}:
            self.books.enter(webhook)
        if mood is Mood.WELL:
            return web.Response()
        self.failed += 1
        if mood is Mood.HANGS:
            await asyncio.sleep(_HANGS_SECONDS)
        if mood is not Mood.FAILS and request.transport is not None:
            request.transport.close()
        return web.Response(status=500)

    def _mood(self, webhook_id: str) -> Mood:
        if self.is_out:
            return Mood.FAILS
        self._attempts[webhook_id] += 1
        chance = self.chance.of(webhook_id, self._attempts[webhook_id])
        if not chance.happens(self.failing):
            return Mood.WELL
        return chance.one_of((Mood.FAILS, Mood.FAILS, Mood.FORGETS_TO_SAY_SO, Mood.HANGS, Mood.HANGS_UP))


@asynccontextmanager
async def serving(server: GameServer, address: HttpAddress) -> AsyncIterator[None]:
    """Let the game's server listen at /okgames for as long as the context lasts."""
    app = web.Application()
    app.router.add_post("/okgames", server.on_webhook)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
        yield
    finally:
        await runner.cleanup()
