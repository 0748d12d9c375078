from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID


class FactKind(StrEnum):
    TRIAL = "trial"
    PAYMENT = "payment"
    CANCELLATION = "cancellation"


Place: TypeAlias = tuple[datetime, int, UUID]
"""Where a fact stands among those of its subscription, whenever it was learned."""

# Of two facts in one second, which is all that OK's times tell, the cancellation came last.
_RANKS: Final = {FactKind.TRIAL: 0, FactKind.PAYMENT: 1, FactKind.CANCELLATION: 2}


class Fact(NamedTuple):
    """State what OK said of one subscription; `occurred_at` is OK's transaction_time."""

    id: UUID
    kind: FactKind
    occurred_at: datetime
    ends_at: datetime
    transaction_id: str | None

    @property
    def place(self) -> Place:
        return (self.occurred_at, _RANKS[self.kind], self.id)


@dataclass(frozen=True, slots=True)
class Terms:
    """
    Say how access to a product ends.

    `tolerance` is how long a payment may be late before access lapses; with `runs_to_end` a cancellation leaves
    the time that was paid for, without tolerance, and otherwise it ends access at once.
    """

    tolerance: timedelta
    runs_to_end: bool


class Phase(StrEnum):
    TRIAL = "trial"
    ACTIVE = "active"
    CANCELLED = "cancelled"


class Subscription(NamedTuple):
    """
    Sum up the facts of one player's subscription.

    `since` is when the phase began, `until` the end of what was paid for or given on trial, and `lapses_at` when
    access ends unless another fact comes: None once a cancellation has ended it. `last` is the place of the
    latest fact summed up; a fact that stands before it needs the whole fold again.
    """

    phase: Phase
    since: datetime
    until: datetime
    lapses_at: datetime | None
    last: Place

    def has_access(self, at: datetime) -> bool:
        return self.lapses_at is not None and at < self.lapses_at


def step(before: Subscription | None, fact: Fact, terms: Terms) -> Subscription:
    """Add a fact that stands after all those summed up."""
    if fact.kind is FactKind.CANCELLATION:
        return _cancel(before, fact, terms)
    if before is None:
        return _extend(fact, terms, fact.ends_at, None)
    # What was paid for is never taken away, so an earlier end than the one known counts for nothing.
    until = max(before.until, fact.ends_at)
    unbroken = before.phase is not Phase.CANCELLED and before.has_access(fact.occurred_at)
    return _extend(fact, terms, until, before if unbroken else None)


def _extend(fact: Fact, terms: Terms, until: datetime, run: Subscription | None) -> Subscription:
    was_paid = run is not None and run.phase is Phase.ACTIVE
    phase = Phase.ACTIVE if was_paid or fact.kind is FactKind.PAYMENT else Phase.TRIAL
    since = run.since if run is not None and run.phase is phase else fact.occurred_at
    return Subscription(phase, since, until, until + terms.tolerance, fact.place)


def _cancel(before: Subscription | None, fact: Fact, terms: Terms) -> Subscription:
    until = fact.occurred_at if before is None else before.until
    since = before.since if before is not None and before.phase is Phase.CANCELLED else fact.occurred_at
    if terms.runs_to_end and until > fact.occurred_at:
        return Subscription(Phase.CANCELLED, since, until, until, fact.place)
    return Subscription(Phase.CANCELLED, since, min(until, fact.occurred_at), None, fact.place)


def fold(facts: Iterable[Fact], terms: Terms) -> Subscription | None:
    """Sum up facts in whatever order they came; None if there are none."""
    subscription = None
    for fact in in_order(facts):
        subscription = step(subscription, fact, terms)
    return subscription


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Return each fact once, sorted by its place."""
    return sorted({fact.id: fact for fact in facts}.values(), key=lambda fact: fact.place)
