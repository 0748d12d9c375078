from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subscription_lives import DAY, HOUR, START, cancellation, facts, lives, payment, terms, trial

from okgames.events import Entitlement, EntitlementState
from subscription_ledger.domain.coverage import coverages
from subscription_ledger.domain.entitlement import entitlement
from subscription_ledger.domain.rewards import Grant
from subscription_ledger.domain.subscription import Fact, FactKind, Terms, fold

STOP = Terms(tolerance=2 * HOUR, runs_to_end=False)
TO_END = Terms(tolerance=2 * HOUR, runs_to_end=True)
MINUTE = timedelta(minutes=1)


def at_time(known: Sequence[Fact], terms: Terms, at: datetime) -> Entitlement:
    subscription = fold(known, terms)
    assert subscription is not None
    return entitlement("apples", subscription, at)


@given(st.data(), terms)
def test_facts_in_any_order_and_any_number_of_times_sum_up_to_the_same(data: st.DataObject, terms: Terms) -> None:
    known = data.draw(facts())
    shuffled = data.draw(st.permutations(known + data.draw(st.lists(st.sampled_from(known)))))

    assert fold(known, terms) == fold(shuffled, terms)
    assert coverages(known, terms) == coverages(shuffled, terms)


@given(facts(), terms, st.integers(0, 2000).map(lambda hours: START + hours * HOUR))
def test_access_is_what_the_rule_says(known: list[Fact], terms: Terms, at: datetime) -> None:
    known = [fact for fact in known if fact.occurred_at <= at]
    cancelled = max((fact.place for fact in known if fact.kind is FactKind.CANCELLATION), default=None)
    ends = [
        fact.ends_at
        for fact in known
        if fact.kind is not FactKind.CANCELLATION and (cancelled is None or terms.runs_to_end or fact.place > cancelled)
    ]
    is_cancelled = bool(known) and cancelled == max(fact.place for fact in known)
    tolerance = timedelta() if is_cancelled else terms.tolerance
    expected = any(at < end + tolerance for end in ends)

    subscription = fold(known, terms)
    assert expected == (subscription is not None and subscription.has_access(at))


@given(facts(), terms)
def test_no_time_is_covered_twice(known: list[Fact], terms: Terms) -> None:
    covered = sorted(
        (each.starts_at, each.ends_at) for each in coverages(known, terms).values() if each.starts_at < each.ends_at
    )
    for (_, ends_at), (starts_at, _) in pairwise(covered):
        assert ends_at <= starts_at


@given(facts(), terms)
def test_what_is_covered_is_time_with_access(known: list[Fact], terms: Terms) -> None:
    for each in coverages(known, terms).values():
        if each.starts_at < each.ends_at:
            known_then = [fact for fact in known if fact.occurred_at <= each.starts_at]
            assert at_time(known_then, terms, each.starts_at).entitled


@pytest.mark.parametrize(
    ("known", "terms", "at", "expected"),
    [
        ([trial(1, 0 * DAY)], STOP, 1 * DAY, ("trial", True, 0 * DAY, 3 * DAY)),
        ([trial(1, 0 * DAY)], STOP, 3 * DAY + HOUR, ("trial", True, 0 * DAY, 3 * DAY)),
        ([trial(1, 0 * DAY)], STOP, 3 * DAY + 2 * HOUR, ("lapsed", False, 3 * DAY + 2 * HOUR, 3 * DAY)),
        ([trial(1, 0 * DAY), payment(2, 3 * DAY)], STOP, 4 * DAY, ("active", True, 3 * DAY, 10 * DAY)),
        ([payment(1, 0 * DAY), payment(2, 7 * DAY)], STOP, 8 * DAY, ("active", True, 0 * DAY, 14 * DAY)),
        ([payment(1, 0 * DAY), payment(2, 9 * DAY)], STOP, 9 * DAY, ("active", True, 9 * DAY, 16 * DAY)),
        ([payment(1, 0 * DAY), trial(2, 1 * DAY)], STOP, 2 * DAY, ("active", True, 0 * DAY, 7 * DAY)),
        ([payment(1, 0 * DAY), cancellation(2, 2 * DAY)], STOP, 2 * DAY, ("cancelled", False, 2 * DAY, 2 * DAY)),
        ([payment(1, 0 * DAY), cancellation(2, 2 * DAY)], TO_END, 2 * DAY, ("cancelled", True, 2 * DAY, 7 * DAY)),
        ([payment(1, 0 * DAY), cancellation(2, 2 * DAY)], TO_END, 7 * DAY, ("cancelled", False, 2 * DAY, 7 * DAY)),
        ([payment(1, 0 * DAY), cancellation(2, 8 * DAY)], TO_END, 8 * DAY, ("cancelled", False, 8 * DAY, 7 * DAY)),
        (
            [payment(1, 0 * DAY), cancellation(2, 2 * DAY), payment(3, 3 * DAY, 1 * DAY)],
            STOP,
            3 * DAY,
            ("active", True, 3 * DAY, 4 * DAY),
        ),
        (
            [payment(1, 0 * DAY), cancellation(2, 2 * DAY), payment(3, 3 * DAY, 1 * DAY)],
            TO_END,
            3 * DAY,
            ("active", True, 3 * DAY, 7 * DAY),
        ),
        (
            [payment(1, 0 * DAY), cancellation(2, 2 * DAY), cancellation(3, 4 * DAY)],
            TO_END,
            4 * DAY,
            ("cancelled", True, 2 * DAY, 7 * DAY),
        ),
        ([cancellation(1, 2 * DAY)], TO_END, 2 * DAY, ("cancelled", False, 2 * DAY, 2 * DAY)),
        # OK's clock is ahead of ours: what it has told counts at once.
        ([payment(1, 1 * DAY)], STOP, 1 * DAY - MINUTE, ("active", True, 1 * DAY, 8 * DAY)),
    ],
)
def test_a_life_gives_this_entitlement(
    known: list[Fact], terms: Terms, at: timedelta, expected: tuple[str, bool, timedelta, timedelta]
) -> None:
    found = at_time(known, terms, START + at)

    state, entitled, since, until = expected
    assert (EntitlementState(state), entitled, START + since, START + until) == (
        found.state,
        found.entitled,
        found.since,
        found.until,
    )


@pytest.mark.parametrize(
    ("known", "at", "reason"),
    [
        ([trial(1, 0 * DAY)], 1 * DAY, "On trial until 2026-03-04 15:00:00 MSK."),
        (
            [payment(1, 0 * DAY)],
            7 * DAY,
            "Paid until 2026-03-08 15:00:00 MSK; the next payment may come until 2026-03-08 17:00:00 MSK.",
        ),
        ([payment(1, 0 * DAY)], 8 * DAY, "Paid until 2026-03-08 15:00:00 MSK; no payment came after that."),
        (
            [payment(1, 0 * DAY), cancellation(2, 1 * DAY)],
            1 * DAY,
            "Cancelled on 2026-03-02 15:00:00 MSK; what was paid for runs until 2026-03-08 15:00:00 MSK.",
        ),
        (
            [payment(1, 0 * DAY), cancellation(2, 1 * DAY)],
            7 * DAY,
            "Cancelled on 2026-03-02 15:00:00 MSK; what was paid for ended on 2026-03-08 15:00:00 MSK.",
        ),
        ([cancellation(1, 1 * DAY)], 7 * DAY, "Cancelled on 2026-03-02 15:00:00 MSK; access has ended."),
    ],
)
def test_the_reason_is_a_plain_sentence(known: list[Fact], at: timedelta, reason: str) -> None:
    assert reason == at_time(known, TO_END, START + at).reason


def slots(known: Sequence[Fact], terms: Terms = STOP) -> list[int]:
    """How many daily rewards each trial and payment gives in all, in the order in which they happened."""
    counts = []
    for fact_id, covered in coverages(known, terms).items():
        grant = Grant(fact_id, "KEY", "1", "apples", "apple", 3, None, covered.starts_at, covered.ends_at, DAY, 0)
        counts.append(len(grant.take_due(START + 1000 * DAY, at_most=1000)[1]))
    return counts


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([trial(1, 0 * DAY), payment(2, 3 * DAY), payment(3, 10 * DAY)], [3, 7, 7]),
        # Charged some minutes early or late, and the end counted from the charge or from the end before it.
        ([trial(1, 0 * DAY), payment(2, 3 * DAY - 5 * MINUTE), payment(3, 10 * DAY + 7 * MINUTE)], [3, 7, 7]),
        (
            [
                trial(1, 0 * DAY),
                payment(2, 3 * DAY - 5 * MINUTE, 7 * DAY + 5 * MINUTE),
                payment(3, 10 * DAY + 7 * MINUTE, 7 * DAY - 7 * MINUTE),
            ],
            [3, 7, 7],
        ),
        # OK stamps a payment a second before the start of what it pays for.
        ([payment(1, 0 * DAY, 7 * DAY + timedelta(seconds=1))], [7]),
        ([payment(1, 0 * DAY, 7 * DAY - timedelta(seconds=1))], [7]),
        # The tolerance is no paid time.
        ([trial(1, 0 * DAY), payment(2, 3 * DAY + HOUR)], [3, 7]),
        ([payment(1, 0 * DAY), cancellation(2, 2 * DAY + HOUR)], [3]),
        ([payment(1, 0 * DAY), cancellation(2, 2 * DAY)], [2]),
        ([payment(1, 0 * DAY), payment(2, 0 * DAY)], [7, 0]),
    ],
)
def test_paid_time_gives_a_reward_for_each_day(known: list[Fact], expected: list[int]) -> None:
    assert expected == slots(known)


@given(lives(), terms)
def test_a_coverage_gives_no_more_days_than_it_has(known: list[Fact], terms: Terms) -> None:
    lasts = {fact.id: fact.ends_at - fact.occurred_at for fact in known}
    for fact_id, count in zip(coverages(known, terms), slots(known, terms), strict=True):
        assert count <= lasts[fact_id] / DAY
