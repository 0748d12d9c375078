import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from aiohttp import web
from notifier_world import KEY, NOW, SECRET, Game, Killed, Notifier, notifying, playing, reward, statuses

from notifier.domain.delivery import delivery_id
from okgames.retry import SCHEDULE
from okgames.testing import wait_until
from okgames.webhooks import Webhook

OTHER_SECRET = "whsec_b3RoZXIgc2VjcmV0IG9mIDMyIGJ5dGVzIGxvbmcgISE="


async def test_a_reward_is_delivered_and_said_to_be(game: Game, at_work: Notifier) -> None:
    event = reward("1", 1)
    await at_work.tell(event)
    await at_work.until("delivered")
    delivery = await at_work.delivery()
    (attempt,) = delivery.attempts

    assert (event.id, "1", KEY) == (delivery.event_id, delivery.uid, delivery.application_key)
    assert str(delivery.id) == game.seen[0].id == str(delivery_id(event.id, at_work.endpoints[0].id))
    assert delivery.body.encode() == game.bodies[0]
    assert (200, "thanks", None) == (attempt.status, attempt.answer, attempt.error)
    assert NOW <= attempt.at < NOW + timedelta(minutes=1)
    assert ["WebhookDelivered"] == await at_work.events()
    assert "application/json" == game.headers[0]["Content-Type"]
    assert game.headers[0]["User-Agent"].startswith("okgames/")


async def test_an_event_that_comes_again_is_told_once(game: Game, at_work: Notifier) -> None:
    await at_work.tell(reward("1", 1), reward("1", 1))
    await at_work.until("delivered")
    await at_work.tell(reward("1", 1), reward("1", 2))
    await at_work.until("delivered", "delivered")

    assert ["1", "2"] == game.rewards_of("1")


async def test_each_endpoint_gets_what_it_wants(database_url: str, game: Game) -> None:
    endpoints = [
        game.endpoint(),
        game.endpoint(url=f"{game.url}/rewards", events=("reward.granted",)),
        game.endpoint(url=f"{game.url}/changes", events=("entitlement.changed",)),
    ]
    async with notifying(database_url, *endpoints) as at_work:
        await at_work.tell(reward("1", 1))
        await at_work.until("delivered", "delivered")

        assert {endpoint.id for endpoint in endpoints[:2]} == {
            delivery.endpoint_id for delivery in await at_work.deliveries()
        }
        await at_work.tell(reward("1", 2).model_copy(update={"application_key": "ANOTHERGAME"}))
        assert await at_work.are("delivered", "delivered")


async def test_while_secrets_rotate_both_sign(database_url: str) -> None:
    async with (
        playing(Game(secrets=(OTHER_SECRET,))) as game,
        notifying(database_url, game.endpoint(secrets=(SECRET, OTHER_SECRET))) as at_work,
    ):
        await at_work.tell(reward("1", 1))
        await at_work.until("delivered")

        assert 2 == len(game.headers[0]["webhook-signature"].split(" "))


async def test_each_attempt_is_signed_anew_under_the_same_id(game: Game, at_work: Notifier) -> None:
    game.answering = statuses(500, 500, 200)
    await at_work.tell(reward("1", 1))
    await at_work.pass_retries(2)
    await at_work.until("delivered")

    assert 1 == len({webhook.id for webhook in game.seen})
    assert 1 == len(set(game.bodies))
    assert [500, 500, 200] == [attempt.status for attempt in (await at_work.delivery()).attempts]
    for headers in game.headers:
        # The real time, whatever a simulation makes of ours: the game checks it by its own clock.
        signed_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        assert abs(signed_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_schedule_is_kept_to_its_end_and_the_next_one_goes_on(game: Game, at_work: Notifier) -> None:
    async def answering(webhook: Webhook) -> web.Response:
        return web.Response(status=500 if webhook.data["item"] == "1" else 200)

    game.answering = answering
    await at_work.tell(reward("1", 1), reward("1", 2))
    for number in range(12):
        # Somebody else's success, lest the endpoint be paused.
        await at_work.tell(reward("2", 100 + number))
        await at_work.pass_retries(1)
    first, second = (delivery for delivery in await at_work.deliveries() if delivery.uid == "1")

    assert ("exhausted", "delivered") == (first.state, second.state)
    attempts = first.attempts
    waits = [after.at - before.at for before, after in pairwise(attempts)]
    assert 13 == len(attempts)
    for wait, scheduled in zip(waits, SCHEDULE[1:], strict=True):
        assert scheduled <= wait <= scheduled * 1.2 + timedelta(seconds=2)
    assert 1 == (await at_work.events()).count("WebhookExhausted")


async def test_one_player_waits_for_the_one_before_and_the_others_do_not(game: Game, at_work: Notifier) -> None:
    game.answering = statuses(500, 200)
    await at_work.tell(*(reward("1", number) for number in range(25)))
    await wait_until(lambda: game.seen)
    game.answering = None
    await at_work.tell(*(reward("2", number) for number in range(25)))
    await wait_until(lambda: len(game.rewards_of("2")) == 25)

    assert ["0"] == game.rewards_of("1")
    await at_work.pass_retries(1)
    await wait_until(lambda: len(game.rewards_of("1")) == 26)
    assert ["0", *map(str, range(25))] == game.rewards_of("1")


async def test_a_player_whose_webhooks_pile_up_is_told_them_without_a_stop(game: Game, at_work: Notifier) -> None:
    await at_work.tell(*(reward("1", number) for number in range(300)))
    # A lane that was mislaid for the time of one lease, 6 s here, would make this fail.
    await wait_until(lambda: len(game.seen) == 300, timeout=6)

    assert [str(number) for number in range(300)] == game.rewards_of("1")


async def test_what_is_waiting_longest_is_tried_again_without_anybody_moving_the_clock(
    game: Game, at_work: Notifier
) -> None:
    game.answering = statuses(500, 200)
    await at_work.tell(reward("1", 1))
    await at_work.until("delivered")
    first, second = (await at_work.delivery()).attempts

    assert timedelta(seconds=1) <= second.at - first.at <= timedelta(seconds=1.5)


@pytest.mark.parametrize(
    ("status", "wait"), [(429, timedelta(minutes=7)), (503, timedelta(minutes=7)), (500, timedelta(seconds=1))]
)
async def test_the_game_may_ask_for_a_wait_with_429_and_503(
    game: Game, at_work: Notifier, status: int, wait: timedelta
) -> None:
    game.answering = statuses(status, 200, headers={"Retry-After": "420"})
    await at_work.tell(reward("1", 1))
    await wait_until(lambda: _has_attempts(at_work, 1))
    delivery = await at_work.delivery()

    assert delivery.next_attempt_at is not None
    assert wait <= delivery.next_attempt_at - delivery.attempts[0].at <= wait * 1.2


async def _has_attempts(at_work: Notifier, count: int) -> bool:
    return await at_work.attempts_made() == count


async def test_an_endpoint_that_is_gone_is_paused_and_nothing_is_dropped(game: Game, at_work: Notifier) -> None:
    game.answering = statuses(410)
    await at_work.tell(reward("1", 1), reward("1", 2))
    await wait_until(lambda: _is_paused(at_work, "gone"))
    await at_work.tell(reward("1", 3), reward("2", 1))
    await at_work.move(timedelta(days=30))

    assert ["1"] == game.rewards_of("1")
    assert await at_work.are(*["pending"] * 4)
    assert ["EndpointPaused"] == await at_work.events()
    assert (await at_work.deliveries())[0].next_attempt_at is None


async def test_once_an_endpoint_is_gone_no_further_attempt_begins(game: Game, at_work: Notifier) -> None:
    game.answering = statuses(410)
    await at_work.tell(*(reward(str(uid), 1) for uid in range(500)))
    await wait_until(at_work.rests)

    # 64 were on their way at once, and as many stood in line.
    assert len(game.seen) <= 64
    assert 500 == (await at_work.endpoint()).pending


async def _is_paused(at_work: Notifier, reason: str) -> bool:
    return (await at_work.endpoint()).paused_reason == reason


async def test_an_endpoint_that_keeps_failing_is_paused(game: Game, at_work: Notifier) -> None:
    game.answering = statuses(500)
    await at_work.tell(reward("1", 1))
    await at_work.pass_retries(9)
    await wait_until(lambda: _is_paused(at_work, "failing"))
    endpoint = await at_work.endpoint()
    attempts = (await at_work.delivery()).attempts

    assert (attempts[0].at, 10) == (endpoint.failing_since, endpoint.consecutive_failures)
    assert attempts[-1].at == endpoint.paused_at
    assert attempts[-1].at - attempts[0].at >= timedelta(hours=12)
    assert await at_work.are("pending")
    assert ["EndpointPaused"] == await at_work.events()


async def test_an_endpoint_that_hangs_takes_nothing_from_the_others(database_url: str, game: Game) -> None:
    at_once, most = 0, 0

    async def hanging(_webhook: Webhook) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await asyncio.Event().wait()
        finally:
            at_once -= 1
        return web.Response()

    async with playing(Game(answering=hanging)) as stuck:
        endpoints = [stuck.endpoint(url=f"{stuck.url}/{number}") for number in range(5)]
        async with notifying(database_url, *endpoints, game.endpoint()) as at_work:
            await at_work.tell(*(reward(str(uid), 1) for uid in range(300)))
            await wait_until(lambda: len(game.seen) == 300 and at_once == 5 * (256 // 6))

        assert 5 * (256 // 6) == most


async def test_a_process_that_is_killed_leaves_its_lanes_to_the_next(database_url: str, game: Game) -> None:
    game.answering = _never
    short = timedelta(seconds=0.5)
    async with notifying(database_url, game.endpoint(), answer_within=short) as at_work:
        await at_work.tell(reward("1", 1), reward("1", 2))
        await wait_until(lambda: game.seen)
        raise Killed
    game.answering = None
    async with notifying(database_url, game.endpoint(), answer_within=short) as at_work:
        await at_work.until("delivered", "delivered")

        assert ["1", "2"] == list(dict.fromkeys(game.rewards_of("1")))
        assert 2 == len({webhook.id for webhook in game.seen})


async def _never(_webhook: Webhook) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def test_a_process_that_is_stopped_gives_its_lanes_back_at_once(database_url: str, game: Game) -> None:
    answered = asyncio.Event()

    async def answering(webhook: Webhook) -> web.Response:
        if webhook.data["item"] == "1":
            return web.Response()
        answered.set()
        return await _never(webhook)

    game.answering = answering
    long = timedelta(minutes=10)
    async with notifying(database_url, game.endpoint(), answer_within=long) as at_work:
        await at_work.tell(reward("1", 1), reward("1", 2))
        await answered.wait()
    game.answering = None
    async with notifying(database_url, game.endpoint(), answer_within=long) as at_work:
        await at_work.until("delivered", "delivered")

        assert ["1", "2", "2"] == game.rewards_of("1")


async def test_what_waits_for_a_removed_endpoint_goes_on_when_it_is_back(database_url: str, game: Game) -> None:
    game.answering = statuses(500)
    async with notifying(database_url, game.endpoint()) as at_work:
        await at_work.tell(reward("1", 1))
        await wait_until(lambda: game.seen)
    game.answering = None
    async with notifying(database_url) as at_work:
        await wait_until(lambda: _is_configured(at_work, False))
        await at_work.move(timedelta(minutes=1))
        assert await at_work.are("pending")
    async with notifying(database_url, game.endpoint()) as at_work:
        await at_work.until("delivered")
        assert (await at_work.endpoint()).configured


async def _is_configured(at_work: Notifier, configured: bool) -> bool:
    return (await at_work.endpoint()).configured is configured
