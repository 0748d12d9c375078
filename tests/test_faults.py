"""What must hold when processes and servers die at any moment."""

import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from world import APPLICATION_KEY, SECRET_KEY, World, world

from okgames.embedded_postgres import embedded_postgres
from okgames.testing import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICES = {"gold_100": 50, "gold_500": 200}
GOLD = {"gold_100": 100, "gold_500": 500}


def purchase(number: int, *, product: str, uid: str) -> str:
    """Return the query of one purchase's callback, signed as OK does."""
    parameters = {
        "uid": uid,
        "amount": str(PRICES[product]),
        "application_key": APPLICATION_KEY,
        "transaction_time": "2026-03-02 10:15:30",
        "product_code": product,
        "method": "callbacks.payment",
        "call_id": str(1772435730000 + number),
        "transaction_id": f"{number}_1772435730000",
    }
    glued = "".join(f"{key}={value}" for key, value in sorted(parameters.items()))
    return urlencode(parameters | {"sig": hashlib.md5((glued + SECRET_KEY).encode()).hexdigest()})


class Stream:
    """OK's callbacks as they keep coming: each is tried three times, and the next one follows."""

    def __init__(self, studio: World, seed: int) -> None:
        self.studio = studio
        self.chance = random.Random(seed)
        self.numbers = iter(range(1, 1_000_000))
        self.answered: dict[int, tuple[str, str]] = {}
        """The product and the player of each callback that was answered `true`, by number."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._send_one_by_one())

    async def goes_on(self) -> None:
        """Return when one more callback was answered."""
        before = len(self.answered)
        await wait_until(lambda: len(self.answered) > before, timeout=30)

    async def _send_one_by_one(self) -> None:
        while True:
            number = next(self.numbers)
            product, uid = self.chance.choice(list(PRICES)), str(self.chance.randrange(2000, 2040))
            for _ in range(3):
                if await self._is_accepted(purchase(number, product=product, uid=uid)):
                    self.answered[number] = (product, uid)
                    break
            await asyncio.sleep(0.01)

    async def _is_accepted(self, query: str) -> bool:
        try:
            error, body = await self.studio.callback(query)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, asyncio.IncompleteReadError):
            return False
        assert error in (None, "2"), (error, body)
        return error is None


@pytest.mark.timeout(3600)
async def test_what_was_answered_true_survives_any_kill(one_process: World, soak: bool) -> None:
    studio = one_process
    stream = Stream(studio, seed=20260302)
    sending = asyncio.create_task(stream.run())
    for _ in range(200 if soak else 25):
        await stream.goes_on()
        await asyncio.sleep(stream.chance.random() * 0.5)
        await studio.kill()
        await studio.start()
    sending.cancel()
    await asyncio.wait([sending])

    await everything_answered_is_kept(studio, stream)


async def everything_answered_is_kept(studio: World, stream: Stream) -> None:
    """Each callback answered `true` is journaled, entered and rewarded, once."""
    assert stream.answered
    for number, (product, uid) in stream.answered.items():
        repeated = purchase(number, product=product, uid=uid)
        assert (None, True) == await accepts(studio, repeated)
        other = next(each for each in PRICES if each != product)
        assert "1001" == (await studio.callback(purchase(number, product=other, uid=uid)))[0]
    gold = {
        uid: sum(GOLD[product] for product, whose in stream.answered.values() if whose == uid)
        for uid in {uid for _, uid in stream.answered.values()}
    }
    # Retries of webhooks wait for the schedule, not for us.
    await studio.advance("2h")
    transactions = {f"{number}_1772435730000" for number in stream.answered}
    await wait_until(lambda: transactions <= rewarded(studio), timeout=60, message="rewards are missing")
    for uid, at_least in gold.items():
        # A callback that was accepted while its answer was lost three times is rewarded too.
        assert at_least <= studio.game.items(uid)["gold"]
        rewards = [reward["transaction_id"] for reward in studio.game.rewards(uid)]
        assert len(set(rewards)) == len(rewards), "one payment has one reward"
        timeline = [item async for item in pages(studio, f"/v1/apps/{APPLICATION_KEY}/users/{uid}/timeline")]
        entered = [item["transaction_id"] for item in timeline if item["what"] == "callback"]
        assert sorted(entered) == sorted(rewards)


async def accepts(studio: World, query: str) -> tuple[str | None, bool]:
    error, body = await studio.callback(query)
    return error, ">true<" in body


def rewarded(studio: World) -> set[str]:
    return {reward["transaction_id"] for reward in studio.game.of_type("reward.granted")}


async def pages(studio: World, path: str) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while True:
        page = await studio.get(path, **({"after": after} if after else {}))
        for item in page["items"]:
            yield item
        if page["next"] is None:
            return
        after = page["next"]


async def test_without_a_database_callbacks_are_answered_with_2_until_it_is_back(tmp_path: Path) -> None:
    before = purchase(1, product="gold_100", uid="1")
    after = purchase(2, product="gold_100", uid="1")
    # Not below tmp_path, whose length a socket's address does not hold.
    with tempfile.TemporaryDirectory(prefix="okg") as directory, ExitStack() as database:
        start_database = partial(embedded_postgres, Path(directory))
        database.enter_context(start_database())
        url = f"postgresql://okgames@/okgames?host={directory}/postgres/socket"
        async with world(tmp_path, environment={"OKGAMES_DATABASE_URL": url}) as studio:
            assert (None, True) == await accepts(studio, before)
            database.close()
            began = time.monotonic()
            assert "2" == (await studio.callback(after))[0]
            assert "2" == (await studio.callback(before))[0]
            assert time.monotonic() - began < 2, "each within a second"
            database.enter_context(start_database())

            await wait_until(lambda: is_accepted(studio, after), timeout=20)
            await wait_until(lambda: studio.game.items("1") == {"gold": 200}, timeout=30)


async def is_accepted(studio: World, query: str) -> bool:
    return (None, True) == await accepts(studio, query)
