"""What hypothesis makes up about players: facts on a coarse grid, so that ties and overlaps are common."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from okgames.events import derive_id
from subscription_ledger.domain.subscription import Fact, FactKind, Terms, in_order

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

terms = st.builds(Terms, tolerance=st.sampled_from([timedelta(), 2 * HOUR, DAY]), runs_to_end=st.booleans())


def fact(number: int, kind: FactKind, at: datetime, ends_at: datetime) -> Fact:
    transaction_id = f"t{number}" if kind is FactKind.PAYMENT else None
    return Fact(derive_id("fact", number), kind, at, ends_at, transaction_id)


def trial(number: int, at: timedelta, lasts: timedelta = 3 * DAY) -> Fact:
    return fact(number, FactKind.TRIAL, START + at, START + at + lasts)


def payment(number: int, at: timedelta, lasts: timedelta = 7 * DAY) -> Fact:
    return fact(number, FactKind.PAYMENT, START + at, START + at + lasts)


def cancellation(number: int, at: timedelta) -> Fact:
    return fact(number, FactKind.CANCELLATION, START + at, START + at)


@st.composite
def facts(draw: st.DrawFn, *, at_most: int = 9) -> list[Fact]:
    """Any facts at all, sensible or not, of one subscription."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(FactKind),
                st.integers(0, 60).map(lambda steps: steps * 12 * HOUR),
                st.sampled_from([HOUR, DAY, 3 * DAY, 7 * DAY, 20 * DAY]),
            ),
            min_size=1,
            max_size=at_most,
        )
    )
    return [fact(number, kind, START + at, START + at + lasts) for number, (kind, at, lasts) in enumerate(drawn)]


def arrivals(known: Sequence[Fact]) -> st.SearchStrategy[list[Fact]]:
    """Orders in which facts may come: as they happened, which is the usual one, and any other."""
    return st.one_of(st.just(in_order(known)), st.permutations(known))


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """A life as OK would tell it: trials, charges some minutes early or late, gaps, cancellations, new starts."""
    at = timedelta()
    life: list[Fact] = []
    for number in range(draw(st.integers(1, 12))):
        move = draw(st.sampled_from(["trial", "charge", "charge", "charge", "cancel", "gap"]))
        minutes = timedelta(minutes=draw(st.integers(-50, 50)))
        if move == "trial":
            life.append(trial(number, at))
            at += 3 * DAY
        elif move == "charge":
            life.append(payment(number, max(at + minutes, timedelta())))
            at += 7 * DAY
        elif move == "cancel":
            at += draw(st.integers(-40, 30)) * HOUR
            life.append(cancellation(number, max(at, timedelta())))
        else:
            at += draw(st.integers(1, 72)) * HOUR
    return life or [trial(0, timedelta())]
