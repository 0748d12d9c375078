from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subscription_lives import DAY, HOUR, START, arrivals, cancellation, facts, lives, payment, terms, trial

from subscription_ledger.domain.coverage import coverages
from subscription_ledger.domain.player import Player, needs_history
from subscription_ledger.domain.subscription import Fact, Terms, fold, in_order

STOP = Terms(tolerance=2 * HOUR, runs_to_end=False)
TO_END = Terms(tolerance=2 * HOUR, runs_to_end=True)
FOREVER = START + 5000 * DAY

Told = tuple[str, str, bool, str, timedelta, timedelta]


def learn_batch(player: Player, known: list[Fact], batch: Sequence[Fact], terms: Terms, now: datetime) -> None:
    """What the handler does with one batch, with `known` in the place of the database."""
    player.histories = {}
    if needs_history(player.standings.get("apples"), batch, terms):
        player.histories["apples"] = list(known)
    for fact in batch:
        player.learn("apples", fact, terms)
        known.append(fact)
    player.pass_time(now)


def told(player: Player) -> list[Told]:
    return [
        (each.type, each.cause, each.entitled, each.state, each.until - START, each.occurred_at - START)
        for each in player.changes
    ]


@given(st.data(), facts(), terms)
def test_any_order_and_any_batches_lead_to_the_same_subscription(
    data: st.DataObject, known: list[Fact], terms: Terms
) -> None:
    player = Player("KEY", "1")
    left = data.draw(arrivals(known))
    learned: list[Fact] = []
    while left:
        size = data.draw(st.integers(1, len(left)))
        batch, left = left[:size], left[size:]
        learn_batch(player, learned, batch, terms, START)

    assert fold(known, terms) == player.standings["apples"].subscription
    expected = {key: each for key, each in coverages(known, terms).items() if each.starts_at < each.ends_at}
    assert expected == {key: each for key, each in player.covered.items() if each.starts_at < each.ends_at}


@given(st.data(), facts(), terms)
def test_what_the_game_was_told_adds_up_to_what_is(data: st.DataObject, known: list[Fact], terms: Terms) -> None:
    player = Player("KEY", "1")
    learned: list[Fact] = []
    for fact in data.draw(arrivals(known)):
        now = START + data.draw(st.integers(0, 2000)) * HOUR
        learn_batch(player, learned, [fact], terms, now)

        snapshot = player.snapshot()[0]
        last = player.changes[-1]
        assert (snapshot.state, snapshot.entitled, snapshot.until) == (last.state, last.entitled, last.until)
        assert last.entitlements[0] == last.entitlements[0].model_copy(
            update={"state": last.state, "entitled": last.entitled, "until": last.until}
        )
    player.pass_time(FOREVER)

    assert not player.snapshot()[0].entitled
    assert player.lapses_due_at is None
    assert list(range(1, player.version + 1)) == [each.version for each in player.changes]
    assert len(player.changes) == len({each.id for each in player.changes})


@given(st.data(), lives(), terms)
def test_facts_in_their_order_are_told_the_same_however_late_they_are_learned(
    data: st.DataObject, known: list[Fact], terms: Terms
) -> None:
    prompt, late = Player("KEY", "1"), Player("KEY", "1")
    learned: list[Fact] = []
    for fact in in_order(known):
        prompt.pass_time(fact.occurred_at)
        learn_batch(prompt, learned, [fact], terms, fact.occurred_at)
    prompt.pass_time(FOREVER)

    learn_batch(late, [], in_order(known), terms, FOREVER)

    assert prompt.changes == late.changes


@pytest.mark.parametrize(
    ("known", "terms", "expected"),
    [
        (
            [trial(1, 0 * DAY), payment(2, 3 * DAY), payment(3, 10 * DAY), cancellation(4, 12 * DAY)],
            STOP,
            [
                ("EntitlementGranted", "trial_started", True, "trial", 3 * DAY, 0 * DAY),
                ("EntitlementExtended", "first_payment", True, "active", 10 * DAY, 3 * DAY),
                ("EntitlementExtended", "renewed", True, "active", 17 * DAY, 10 * DAY),
                ("EntitlementRevoked", "cancelled", False, "cancelled", 12 * DAY, 12 * DAY),
            ],
        ),
        (
            [payment(1, 0 * DAY), cancellation(2, 1 * DAY), payment(3, 9 * DAY)],
            TO_END,
            [
                ("EntitlementGranted", "first_payment", True, "active", 7 * DAY, 0 * DAY),
                ("EntitlementRevoked", "cancelled", True, "cancelled", 7 * DAY, 1 * DAY),
                ("EntitlementLapsed", "period_ended", False, "cancelled", 7 * DAY, 7 * DAY),
                ("EntitlementGranted", "resubscribed", True, "active", 16 * DAY, 9 * DAY),
                ("EntitlementLapsed", "period_ended", False, "lapsed", 16 * DAY, 16 * DAY + 2 * HOUR),
            ],
        ),
        (
            [trial(1, 0 * DAY), payment(2, 4 * DAY), payment(3, 11 * DAY + HOUR), trial(4, 30 * DAY)],
            STOP,
            [
                ("EntitlementGranted", "trial_started", True, "trial", 3 * DAY, 0 * DAY),
                ("EntitlementLapsed", "trial_ended", False, "lapsed", 3 * DAY, 3 * DAY + 2 * HOUR),
                ("EntitlementRecovered", "recovered", True, "active", 11 * DAY, 4 * DAY),
                ("EntitlementExtended", "renewed", True, "active", 18 * DAY + HOUR, 11 * DAY + HOUR),
                ("EntitlementLapsed", "period_ended", False, "lapsed", 18 * DAY + HOUR, 18 * DAY + 3 * HOUR),
                ("EntitlementRecovered", "recovered", True, "trial", 33 * DAY, 30 * DAY),
                ("EntitlementLapsed", "trial_ended", False, "lapsed", 33 * DAY, 33 * DAY + 2 * HOUR),
            ],
        ),
        (
            [payment(1, 0 * DAY), cancellation(2, 1 * DAY), payment(3, 2 * DAY), cancellation(4, 3 * DAY)],
            STOP,
            [
                ("EntitlementGranted", "first_payment", True, "active", 7 * DAY, 0 * DAY),
                ("EntitlementRevoked", "cancelled", False, "cancelled", 1 * DAY, 1 * DAY),
                ("EntitlementGranted", "resubscribed", True, "active", 9 * DAY, 2 * DAY),
                ("EntitlementRevoked", "cancelled", False, "cancelled", 3 * DAY, 3 * DAY),
            ],
        ),
        (
            [trial(1, 0 * DAY), trial(2, 1 * DAY), cancellation(3, 2 * DAY)],
            STOP,
            [
                ("EntitlementGranted", "trial_started", True, "trial", 3 * DAY, 0 * DAY),
                ("EntitlementExtended", "trial_extended", True, "trial", 4 * DAY, 1 * DAY),
                ("EntitlementRevoked", "cancelled", False, "cancelled", 2 * DAY, 2 * DAY),
            ],
        ),
        (
            [cancellation(1, 0 * DAY)],
            STOP,
            [("EntitlementRevoked", "cancelled", False, "cancelled", 0 * DAY, 0 * DAY)],
        ),
    ],
)
def test_a_life_is_told_like_this(known: list[Fact], terms: Terms, expected: list[Told]) -> None:
    player = Player("KEY", "1")
    learn_batch(player, [], known, terms, FOREVER)

    assert expected == told(player)


@pytest.mark.parametrize(
    ("earlier", "now", "late", "expected"),
    [
        # Nothing visible changes: the payment before was learned after the one that followed it.
        ([payment(2, 7 * DAY)], 8 * DAY, payment(1, 0 * DAY), []),
        ([payment(1, 0 * DAY), payment(3, 7 * DAY)], 8 * DAY, cancellation(2, 5 * DAY), []),
        # A renewal that was delayed until after the lapse.
        (
            [payment(1, 0 * DAY)],
            8 * DAY,
            payment(2, 7 * DAY),
            [("EntitlementRecovered", "recovered", True, "active", 14 * DAY, 7 * DAY)],
        ),
        # What the late trial gave is over as well.
        (
            [payment(1, 0 * DAY)],
            20 * DAY,
            payment(2, 7 * DAY),
            [
                ("EntitlementRecovered", "recovered", True, "active", 14 * DAY, 7 * DAY),
                ("EntitlementLapsed", "period_ended", False, "lapsed", 14 * DAY, 14 * DAY + 2 * HOUR),
            ],
        ),
        # A cancellation of a longer time, before the payment for a shorter one.
        (
            [payment(1, 0 * DAY, 30 * DAY), payment(3, 3 * DAY)],
            4 * DAY,
            cancellation(2, 2 * DAY),
            [("EntitlementRevoked", "cancelled", True, "active", 10 * DAY, 2 * DAY)],
        ),
        (
            [payment(1, 0 * DAY), trial(3, 5 * DAY)],
            6 * DAY,
            cancellation(2, 2 * DAY),
            [("EntitlementRevoked", "cancelled", True, "trial", 8 * DAY, 2 * DAY)],
        ),
    ],
)
def test_a_late_fact_tells_only_what_it_changes(
    earlier: list[Fact], now: timedelta, late: Fact, expected: list[Told]
) -> None:
    player = Player("KEY", "1")
    known: list[Fact] = []
    learn_batch(player, known, earlier, STOP, START + now)
    player.changes = []
    learn_batch(player, known, [late], STOP, START + now)

    assert expected == told(player)


def test_every_change_carries_all_products_and_one_row_of_versions() -> None:
    player = Player("KEY", "1")
    player.learn("apples", trial(1, 0 * DAY), STOP)
    player.learn("pears", payment(2, 0 * DAY), STOP)
    player.pass_time(START + 4 * DAY)

    assert [(1, ["apples"]), (2, ["apples", "pears"]), (3, ["apples", "pears"])] == [
        (each.version, [entitlement.product for entitlement in each.entitlements]) for each in player.changes
    ]
    assert START + 7 * DAY + 2 * HOUR == player.lapses_due_at


def test_lapses_come_in_the_order_of_their_times() -> None:
    player = Player("KEY", "1")
    player.learn("pears", payment(1, 0 * DAY), STOP)
    player.learn("apples", payment(2, 1 * DAY), STOP)
    player.pass_time(FOREVER)

    assert ["pears", "apples"] == [each.product for each in player.changes[2:]]
