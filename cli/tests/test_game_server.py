import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from game import WEBHOOK_SECRET

from cli.game_server import GameServer, serving
from okgames.kafka_brokers import free_ports
from okgames.settings import HttpAddress
from okgames.webhooks import sign
from simulator.chance import Chance


class Sender:
    """Post webhooks as the notifier does."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(
        self, webhook_id: str, kind: str, data: dict[str, Any], *, secret: str = WEBHOOK_SECRET
    ) -> int | None:
        """Return the status, None where the connection was closed without an answer."""
        body = json.dumps({"type": kind, "timestamp": "2026-03-02T10:00:00+03:00", "data": data}).encode()
        now = datetime.now(UTC)
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign(secret, webhook_id, now, body),
        }
        try:
            async with self._session.post("/okgames", data=body, headers=headers) as response:
                return response.status
        except aiohttp.ServerDisconnectedError:
            return None

    async def reward(self, webhook_id: str, reward_id: str, quantity: int = 100) -> int | None:
        data = {"reward_id": reward_id, "uid": "1", "product": "gold_100", "item": "gold", "quantity": quantity}
        return await self.post(webhook_id, "reward.granted", data)

    async def change(self, webhook_id: str, version: int) -> int | None:
        return await self.post(webhook_id, "entitlement.changed", {"uid": "1", "version": version, "entitlements": []})


@pytest.fixture
def game() -> GameServer:
    return GameServer(WEBHOOK_SECRET, Chance("test"), failing=0)


@pytest.fixture
async def sender(game: GameServer) -> AsyncIterator[Sender]:
    address = HttpAddress("127.0.0.1", *free_ports(1))
    async with (
        serving(game, address),
        aiohttp.ClientSession(f"http://{address}", connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        yield Sender(session)


async def test_a_webhook_counts_once_however_often_it_comes(game: GameServer, sender: Sender) -> None:
    assert [200, 200, 200] == [await sender.reward("w1", "r1") for _ in range(3)]
    assert (["r1"], []) == (list(game.books.rewards), game.books.wrong)


async def test_what_must_never_happen_is_noticed(game: GameServer, sender: Sender) -> None:
    await sender.reward("w1", "r1")
    await sender.reward("w1", "r1", quantity=500)
    await sender.reward("w2", "r1")
    await sender.change("w3", 2)
    await sender.change("w4", 1)

    assert [
        "webhook w1 has two contents",
        "reward r1 came under two webhook ids",
        "player 1: version 1 came after 2",
    ] == game.books.wrong


async def test_a_webhook_with_a_wrong_signature_is_refused(game: GameServer, sender: Sender) -> None:
    other = "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q="

    assert 400 == await sender.post("w1", "reward.granted", {}, secret=other)
    assert (1, {}) == (game.rejected, game.books.webhooks)


async def test_a_game_that_is_out_answers_500_and_enters_nothing(game: GameServer, sender: Sender) -> None:
    game.is_out = True

    assert 500 == await sender.reward("w1", "r1")
    assert (1, {}) == (game.failed, game.books.rewards)


async def test_a_failing_game_fails_in_every_way(game: GameServer, sender: Sender) -> None:
    game.failing = 1
    answers = [await sender.reward(f"w{number}", f"r{number}") for number in range(25)]

    assert {500, None} == set(answers)
    assert 25 == game.failed
    assert 0 < len(game.books.rewards) < 25
    game.failing = 0
    assert {200} == {await sender.reward(f"w{number}", f"r{number}") for number in range(25)}
    assert (25, []) == (len(game.books.rewards), game.books.wrong)
