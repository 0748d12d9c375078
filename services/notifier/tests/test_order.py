import json
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from notifier_world import Game, Notifier, fresh_database, notifying, playing, reward

from notifier.domain.report import DeliveryReport
from notifier.store.endpoints import load_endpoints, resume_endpoint
from okgames.testing import DatabaseTemplates, Migrations, wait_until
from okgames.webhooks import Webhook


class Whims:
    """Answer with drawn statuses, and note what was accepted and when each player's turn went on."""

    def __init__(self, statuses: list[int]) -> None:
        self._statuses = iter(statuses)
        self.tried: dict[str, list[int]] = defaultdict(list)
        self.accepted: dict[str, list[int]] = defaultdict(list)

    async def answer(self, webhook: Webhook) -> web.Response:
        uid, number = str(webhook.data["uid"]), int(str(webhook.data["item"]))
        status = next(self._statuses, 200)
        self.tried[uid].append(number)
        if status == 200:
            self.accepted[uid].append(number)
        return web.Response(status=status)


@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=settings.default.max_examples // 4)
@given(
    batches=st.lists(st.lists(st.sampled_from("123"), min_size=1, max_size=15), min_size=1, max_size=4),
    statuses=st.lists(st.sampled_from([200, 200, 500, 429, 404, 302, 410]), max_size=60),
    processes=st.integers(1, 2),
)
async def test_whatever_the_game_answers_each_player_is_told_everything_in_order(
    database_templates: DatabaseTemplates,
    service_migrations: Migrations,
    batches: list[list[str]],
    statuses: list[int],
    processes: int,
) -> None:
    whims = Whims(statuses)
    told: dict[str, list[int]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        url = stack.enter_context(fresh_database(database_templates, service_migrations))
        game = await stack.enter_async_context(playing(Game(answering=whims.answer)))
        at_work = [await stack.enter_async_context(notifying(url, game.endpoint())) for _ in range(processes)]
        for batch in batches:
            events = []
            for uid in batch:
                told[uid].append(len(told[uid]))
                events.append(reward(uid, told[uid][-1]))
            await at_work[0].tell(*events)
        await bring_to_an_end(at_work)
        deliveries = await at_work[0].deliveries()

    delivered: dict[str, list[int]] = defaultdict(list)
    for delivery in deliveries:
        assert delivery.state in {"delivered", "exhausted"}
        if delivery.state == "delivered":
            delivered[delivery.uid].append(number_of(delivery))
    assert delivered == whims.accepted
    assert told == {uid: sorted(set(tried)) for uid, tried in whims.tried.items()}
    # A repeat is of the one that failed just before, never of an earlier or a later one.
    for tried in whims.tried.values():
        assert sorted(tried) == tried


def number_of(delivery: DeliveryReport) -> int:
    return int(json.loads(delivery.body)["data"]["item"])


async def bring_to_an_end(at_work: list[Notifier]) -> None:
    """Move the clock past each wait, and resume the endpoint whenever it is paused, until nothing is pending."""
    one = at_work[0]
    while True:
        await wait_until(one.rests)
        async with one.database.transaction() as tx:
            due_at = await tx.fetchval("select min(due_at) from lanes")
            if due_at is None:
                return
            await one.clock.move_to(due_at)
            for endpoint in await load_endpoints(tx):
                if endpoint.paused_at is not None:
                    await resume_endpoint(tx, endpoint.id, await one.clock.now())
        for each in at_work:
            each.courier.wake()
