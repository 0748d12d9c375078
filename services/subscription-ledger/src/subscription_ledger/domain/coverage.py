from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from subscription_ledger.domain.subscription import Fact, FactKind, Subscription, Terms, in_order, step

_STAMPING: Final = timedelta(seconds=30)
"""
How far apart OK may stamp a payment and the end that it pays for.

A week that is one second too long on paper must not hold an eighth day's reward.
"""


class Coverage(NamedTuple):
    """Say which time one trial or payment covers; the coverages of a subscription never overlap."""

    fact_id: UUID
    starts_at: datetime
    ends_at: datetime


def coverage(before: Subscription | None, fact: Fact) -> Coverage:
    """Return what a trial or payment adds to the time covered by the facts before it."""
    starts_at = fact.occurred_at if before is None else max(fact.occurred_at, before.until)
    return Coverage(fact.id, starts_at, fact.ends_at - _STAMPING)


def coverages(facts: Iterable[Fact], terms: Terms) -> dict[UUID, Coverage]:
    """Return what each trial and payment covers, by fact; one that adds nothing ends no later than it starts."""
    covered: dict[UUID, Coverage] = {}
    subscription = None
    for fact in in_order(facts):
        if fact.kind is not FactKind.CANCELLATION:
            covered[fact.id] = coverage(subscription, fact)
        elif not terms.runs_to_end:
            covered |= _cut(covered.values(), fact.occurred_at)
        subscription = step(subscription, fact, terms)
    return covered


def _cut(covered: Iterable[Coverage], at: datetime) -> dict[UUID, Coverage]:
    return {each.fact_id: each._replace(ends_at=at) for each in covered if each.ends_at > at}
