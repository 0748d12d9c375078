"""Players who keep buying on OK, and the comparison of all books in the end."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
from game import Game
from world import APPLICATION_KEY, AUTHORIZATION, World

from cli.books import AccountBook, Difference, differences, game_accounts, our_accounts
from cli.clients import Okgames, Simulator, some_at_once
from cli.ok_books import ok_accounts
from okgames.config import load_config
from okgames.testing import wait_until

_BUYERS = 6
_PLAYERS = 40


@dataclass
class Load:
    """What players did since the load began."""

    studio: World
    chance: random.Random
    concluded: list[dict[str, Any]] = field(default_factory=list)
    """OK's conclusions, in the order in which they came."""

    async def goes_on(self, count: int = 20) -> None:
        """Return when so many more purchases were concluded."""
        before = len(self.concluded)
        await wait_until(lambda: len(self.concluded) >= before + count, timeout=60, message="no callback is answered")

    async def reaches_the_game(self, count: int = 20) -> None:
        """Return when the game got so many more webhooks."""
        before = len(self.studio.game.received)
        await wait_until(
            lambda: len(self.studio.game.received) >= before + count, timeout=60, message="nothing reaches the game"
        )

    @property
    def failed_attempts(self) -> list[dict[str, Any]]:
        attempts = [attempt for each in self.concluded for attempt in each["attempts"]]
        return [attempt for attempt in attempts if attempt["outcome"] != "accepted"]

    async def buy_one_by_one(self) -> None:
        while True:
            uid = str(self.chance.randrange(7000, 7000 + _PLAYERS))
            product = self.chance.choice(["gold_100", "gold_500"])
            self.concluded.append(await self.studio.player("purchase", uid, product))
            await asyncio.sleep(0.02)

    async def subscribe_now_and_then(self) -> None:
        while True:
            uid = str(self.chance.randrange(7000, 7000 + _PLAYERS))
            # Who has a subscription cannot begin another, nor end what is not there: OK's own rules.
            await self.studio.try_player(self.chance.choice(["subscribe", "unsubscribe"]), uid, "apples")
            await asyncio.sleep(0.2)


@asynccontextmanager
async def load(studio: World) -> AsyncIterator[Load]:
    """Let players buy for as long as the context lasts; then wait until the books of OK, ours and the game's agree."""
    one = Load(studio, random.Random(20260302))
    async with asyncio.TaskGroup() as group:
        buying = [group.create_task(one.buy_one_by_one()) for _ in range(_BUYERS)]
        buying.append(group.create_task(one.subscribe_now_and_then()))
        await one.goes_on()
        yield one
        await one.goes_on()
        for task in buying:
            task.cancel()
    await books_agree(studio)


async def books_agree(studio: World, timeout: float = 90) -> None:
    # Retries of webhooks wait for the schedule, not for us; the hour also brings what lapses or is due by then.
    await studio.advance("1h")
    told: list[Difference] = []

    async def agree() -> bool:
        told[:] = await _differences(studio)
        return not told

    try:
        await wait_until(agree, timeout)
    except AssertionError as error:
        raise AssertionError(f"{len(told)} differences, such as {told[:3]}") from error


async def _differences(studio: World) -> list[Difference]:
    app = load_config(studio.directory / "okgames.toml").app(APPLICATION_KEY)
    assert app is not None
    uids = [str(uid) for uid in range(7000, 7000 + _PLAYERS)]
    ledger = (studio.copies.get("subscription-ledger") or studio.copies["up"])[0].url
    async with (
        aiohttp.ClientSession(base_url=studio.simulator_url) as to_ok,
        aiohttp.ClientSession(base_url=ledger, headers=AUTHORIZATION) as to_okgames,
    ):
        ok, okgames = Simulator(to_ok, APPLICATION_KEY), Okgames(to_okgames, APPLICATION_KEY)
        theirs = ok_accounts(await ok.books(), app, await ok.now())
        ours = our_accounts(
            dict(zip(uids, await some_at_once(okgames.callbacks, uids), strict=True)),
            dict(zip(uids, await some_at_once(okgames.entitlements, uids), strict=True)),
            await okgames.rewards(),
        )
    return differences(theirs, ours, _game_book(studio.game))


def _game_book(game: Game) -> AccountBook:
    newest: dict[str, dict[str, Any]] = {}
    for change in game.of_type("entitlement.changed"):
        if change["version"] > newest.get(change["uid"], {"version": 0})["version"]:
            newest[change["uid"]] = change
    return game_accounts(
        [
            ((uid, each["product"]), each["state"], datetime.fromisoformat(each["until"]))
            for uid, change in newest.items()
            for each in change["entitlements"]
        ],
        [
            (reward["reward_id"], (reward["uid"], reward["product"]), reward["quantity"])
            for reward in game.of_type("reward.granted")
        ],
    )
