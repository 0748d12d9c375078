from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger import APP, Ledger, StoppedClock, event_of, events_of, purchase
from subscription_lives import DAY, HOUR, START, arrivals, cancellation, facts, lives, payment, trial

from okgames.database import Database
from okgames.events import Event, Topic, WebhookDelivered, WebhookExhausted, derive_id
from okgames.service import Poisoned
from subscription_ledger.domain.coverage import coverages
from subscription_ledger.domain.entry import Payment
from subscription_ledger.domain.player import Player
from subscription_ledger.domain.subscription import Fact, Terms, fold, in_order
from subscription_ledger.handlers import on_deliveries
from subscription_ledger.store.players import find_player

STOP = Terms(2 * HOUR, runs_to_end=False)
TO_END = Terms(2 * HOUR, runs_to_end=True)
TERMS = {"apples": STOP, "pears": TO_END}
FOREVER = START + 5000 * DAY
MINUTE = timedelta(minutes=1)

UIDS = map(str, count())

# Each example has a player of its own, so that one database does for all.
on_database = settings(
    max_examples=settings.default.max_examples // 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def standing_of(ledger: Ledger, uid: str) -> Player:
    async with ledger.database.connection() as connection:
        player = await find_player(connection, (APP, uid))
    assert player is not None
    return player


async def reward_ids(ledger: Ledger, uid: str) -> set[object]:
    return {row["reward_id"] for row in await ledger.rows("select reward_id from slots where uid = $1", uid)}


def expected_reward_ids(known: Sequence[Fact], uid: str, product: str) -> set[object]:
    own = [
        Fact(event.id, fact.kind, fact.occurred_at, fact.ends_at, None)
        for fact, event in with_events(known, uid, product)
    ]
    return {
        derive_id("reward", fact_id, number)
        for fact_id, covered in coverages(own, TERMS[product]).items()
        for number in range(1000)
        if covered.starts_at + number * DAY < covered.ends_at
    }


def with_events(known: Sequence[Fact], uid: str, product: str) -> list[tuple[Fact, Payment]]:
    return [(fact, event_of(fact, uid, product)) for fact in known]


def batches(data: st.DataObject, events: Sequence[Payment]) -> list[list[Payment]]:
    ends = sorted(data.draw(st.sets(st.integers(1, len(events)))) | {len(events)})
    return [list(events[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


@on_database
@given(data=st.data(), apples=facts(), pears=facts())
async def test_any_order_batches_and_repetition_leave_the_same_books(
    ledger: Ledger, data: st.DataObject, apples: list[Fact], pears: list[Fact]
) -> None:
    uid = next(UIDS)
    events = events_of(data.draw(arrivals(apples)), uid) + events_of(data.draw(arrivals(pears)), uid, "pears")
    ledger.clock.time = START - DAY
    for batch in batches(data, events):
        await ledger.learn(*batch)
        await ledger.learn(
            *data.draw(st.lists(st.sampled_from(events[:1] + batch), min_size=1, unique_by=lambda event: event.id))
        )
    await ledger.run_jobs(FOREVER)

    assert len(events) == await ledger.value("select count(*) from entries where uid = $1", uid)
    player = await standing_of(ledger, uid)
    for product, known in (("apples", apples), ("pears", pears)):
        own = [
            Fact(event.id, fact.kind, fact.occurred_at, fact.ends_at, fact.transaction_id)
            for fact, event in with_events(known, uid, product)
        ]
        assert fold(own, TERMS[product]) == player.standings[product].subscription
    expected = expected_reward_ids(apples, uid, "apples") | expected_reward_ids(pears, uid, "pears")
    assert expected == await reward_ids(ledger, uid)
    versions = [
        row["version"] for row in await ledger.rows("select version from changes where uid = $1 order by 1", uid)
    ]
    assert list(range(1, player.version + 1)) == versions


@on_database
@given(data=st.data(), known=facts())
async def test_rewards_given_before_a_fact_was_learned_stay_given_and_none_is_lost(
    ledger: Ledger, data: st.DataObject, known: list[Fact]
) -> None:
    uid = next(UIDS)
    ledger.clock.time = START
    for event in events_of(data.draw(arrivals(known)), uid):
        await ledger.learn(event)
        await ledger.run_jobs(ledger.clock.time + data.draw(st.integers(0, 20)) * DAY)
    await ledger.run_jobs(FOREVER)

    given_ids = await reward_ids(ledger, uid)
    assert expected_reward_ids(known, uid, "apples") <= given_ids
    told = await ledger.value(
        "select count(distinct id) from event_log.events where key = $1 and type = 'RewardGranted'", f"{APP}:{uid}"
    )
    assert len(given_ids) == told
    assert 0 == await ledger.value("select count(*) from grants where uid = $1 and next_at is not null", uid)


@on_database
@given(known=lives())
async def test_a_life_learned_as_it_happens_gives_what_the_same_life_gives_afterwards(
    ledger: Ledger, known: list[Fact]
) -> None:
    prompt, late = next(UIDS), next(UIDS)
    for fact in in_order(known):
        await ledger.run_jobs(fact.occurred_at)
        await ledger.learn(event_of(fact, prompt, "pears"))
    await ledger.run_jobs(FOREVER)
    await ledger.learn(*events_of(in_order(known), late, "pears"))
    await ledger.run_jobs()

    assert await ledger.told(prompt) == await ledger.told(late)
    assert await ledger.rewards(prompt) == await ledger.rewards(late)


@pytest.mark.parametrize("down", [range(0), range(5, 7), range(2, 4), range(16, 18)])
async def test_a_trial_of_three_days_and_two_paid_weeks_give_seventeen_times_three_apples(
    ledger: Ledger, down: range
) -> None:
    life = [trial(1, 0 * DAY), payment(2, 3 * DAY - 4 * MINUTE), payment(3, 10 * DAY + 9 * MINUTE)]
    waiting: list[Payment] = events_of(life, "1")
    for hour in range(24 * 20):
        ledger.clock.time = START + hour * HOUR
        if hour // 24 in down:
            continue
        due = [event for event in waiting if event.occurred_at <= ledger.clock.time]
        waiting = [event for event in waiting if event not in due]
        if due:
            await ledger.learn(*due)
        await ledger.run_jobs()

    rewards = await ledger.rewards("1")
    assert [("daily", 3)] * 17 == [(reason, quantity) for reason, quantity, _ in rewards]
    assert [number * DAY for number in range(10)] == [at for _, _, at in rewards[:10]]
    assert [
        ("EntitlementGranted", "trial_started"),
        ("EntitlementExtended", "first_payment"),
        ("EntitlementExtended", "renewed"),
        ("EntitlementLapsed", "period_ended"),
    ] == await ledger.told("1")


@pytest.mark.parametrize(("product", "days"), [("apples", 3), ("pears", 7)])
async def test_after_a_cancellation_the_plan_says_whether_rewards_go_on(
    ledger: Ledger, product: str, days: int
) -> None:
    ledger.clock.time = START + 2 * DAY + HOUR
    await ledger.learn(*events_of([payment(1, 0 * DAY)], "1", product))
    await ledger.learn(*events_of([cancellation(2, 2 * DAY + HOUR)], "1", product))
    await ledger.run_jobs(FOREVER)

    assert days == len(await ledger.rewards("1"))


async def test_a_payment_learned_late_brings_the_rewards_of_its_past(ledger: Ledger) -> None:
    ledger.clock.time = START + 12 * DAY
    await ledger.learn(*events_of([payment(2, 7 * DAY)], "1"))
    await ledger.learn(*events_of([payment(1, 0 * DAY)], "1"))
    await ledger.run_jobs()

    assert [number * DAY for number in range(13)] == [at for _, _, at in await ledger.rewards("1")]


async def test_a_cancellation_learned_late_takes_back_no_reward_and_stops_the_next(ledger: Ledger) -> None:
    await ledger.learn(*events_of([payment(1, 0 * DAY)], "1"))
    await ledger.run_jobs(START + 4 * DAY)
    await ledger.learn(*events_of([cancellation(2, 2 * DAY + HOUR)], "1"))
    await ledger.run_jobs(FOREVER)

    assert 5 == len(await ledger.rewards("1"))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([purchase("1", 1)], [("purchase", 100)]),
        ([purchase("1", 1), purchase("1", 2)], [("purchase", 100), ("purchase", 100)]),
        ([purchase("1", 1, product="map")], []),
        (events_of([trial(1, 0 * DAY), payment(2, 3 * DAY)], "1", "chest"), [("trial", 1), ("payment", 1)]),
        (events_of([payment(1, 0 * DAY), cancellation(2, HOUR)], "1", "chest"), [("payment", 1)]),
    ],
)
async def test_what_is_bought_once_gives_its_reward_at_once(
    ledger: Ledger, events: list[Event], expected: list[tuple[str, int]]
) -> None:
    await ledger.learn(*events)

    assert expected == [(reason, quantity) for reason, quantity, _ in await ledger.rewards("1")]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (purchase("1", 1, product="silver"), "has no product silver"),
        (purchase("1", 1, app="CBNOBODY"), "CBNOBODY has no product"),
        (event_of(trial(1, 0 * DAY), "1", "gold_100"), "has no subscription"),
    ],
)
async def test_what_the_configuration_does_not_know_is_parked_whole(ledger: Ledger, event: Event, message: str) -> None:
    with pytest.raises(Poisoned, match=message):
        await ledger.learn(purchase("1", 2), event)

    assert 0 == await ledger.value("select count(*) from entries")


@pytest.mark.parametrize("table", ["entries", "changes", "slots"])
@pytest.mark.parametrize("statement", ["update {} set uid = '2'", "delete from {}", "truncate {}"])
async def test_what_is_entered_is_never_changed(ledger: Ledger, table: str, statement: str) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))

    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await ledger.rows(statement.format(table))


async def test_a_product_that_left_the_configuration_still_lapses_and_rewards(
    ledger: Ledger, database: Database
) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))
    emptied = ledger.config.model_copy(update={"apps": ()})
    await Ledger(emptied, database, StoppedClock()).run_jobs(FOREVER)

    assert 3 == len(await ledger.rewards("1"))
    assert ("EntitlementLapsed", "trial_ended") == (await ledger.told("1"))[-1]


async def test_an_event_tells_every_entitlement_of_the_player(ledger: Ledger) -> None:
    await ledger.learn(
        event_of(payment(1, 0 * DAY), "1"),
        event_of(payment(1, 0 * DAY), "2"),
        event_of(trial(2, HOUR), "1", "pears"),
    )
    snapshots = await ledger.rows(
        """
        select data::json ->> 'version' as version, json_array_length(data::json -> 'entitlements') as length
        from event_log.events where topic = $1 and key = $2 and type <> 'RewardGranted' order by position
        """,
        Topic.ENTITLEMENTS,
        f"{APP}:1",
    )
    assert [("1", 1), ("2", 2)] == [tuple(row) for row in snapshots]


async def test_deliveries_are_kept(ledger: Ledger) -> None:
    common = {
        "occurred_at": START,
        "application_key": APP,
        "uid": "1",
        "endpoint_id": derive_id("endpoint"),
        "event_id": derive_id("event"),
        "webhook_type": "reward.granted",
    }
    outcomes = [
        WebhookDelivered(**common, id=derive_id(1), delivery_id=derive_id("a"), attempts=2, status=200),
        WebhookExhausted(**common, id=derive_id(2), delivery_id=derive_id("b"), attempts=13, status=None),
    ]
    async with ledger.database.transaction() as tx:
        await on_deliveries(ledger.clock, tx, outcomes)

    rows = await ledger.rows("select was_delivered, attempts, status from deliveries order by attempts")
    assert [(True, 2, 200), (False, 13, None)] == [tuple(row) for row in rows]
