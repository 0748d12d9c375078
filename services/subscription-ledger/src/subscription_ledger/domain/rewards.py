from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from okgames.events import RewardGranted, RewardReason, derive_id
from subscription_ledger.domain.coverage import Coverage
from subscription_ledger.domain.entry import Entry, EntryKind

SLOTS_AT_ONCE: Final = 5
"""Rewards that one grant gives in one transaction; more that are due follow in the next."""

_REASONS: Final = {
    EntryKind.PURCHASE: RewardReason.PURCHASE,
    EntryKind.PAYMENT: RewardReason.PAYMENT,
    EntryKind.TRIAL: RewardReason.TRIAL,
}


@dataclass(frozen=True, slots=True)
class RewardTerms:
    """Say what a product gives: once per payment and trial, or `every` so often while it is paid for."""

    item: str
    quantity: int
    every: timedelta | None


def reward_for(entry: Entry, terms: RewardTerms) -> RewardGranted:
    """Return the one reward that a payment or the start of a trial gives."""
    reward_id = derive_id("reward", entry.id, 0)
    return RewardGranted(
        id=reward_id,
        occurred_at=entry.occurred_at,
        application_key=entry.application_key,
        uid=entry.uid,
        reward_id=reward_id,
        product=entry.product,
        item=terms.item,
        quantity=terms.quantity,
        reason=_REASONS[entry.kind],
        transaction_id=entry.transaction_id,
    )


class Slot(NamedTuple):
    """Hold one of the rewards of a grant: the first has number 0."""

    fact_id: UUID
    number: int
    reward: RewardGranted


class Grant(NamedTuple):
    """
    Owe a player a reward `every` so often over what one trial or payment covers.

    The rewards fall due at `starts_at`, one `every` later, and so on before `ends_at`; the first `granted` of them
    were given. What is given was fixed when the payment was handled, whatever the catalogue says later.
    """

    fact_id: UUID
    application_key: str
    uid: str
    product: str
    item: str
    quantity: int
    transaction_id: str | None
    starts_at: datetime
    ends_at: datetime
    every: timedelta
    granted: int

    @property
    def next_at(self) -> datetime | None:
        """When the next reward falls due; None if all were given."""
        at = self._next_slot_at
        return at if at < self.ends_at else None

    def take_due(self, now: datetime, at_most: int) -> tuple["Grant", list[Slot]]:
        """Return the rewards that are due, the oldest ones first, and the grant without them."""
        slots: list[Slot] = []
        number, at = self.granted, self._next_slot_at
        while len(slots) < at_most and at < self.ends_at and at <= now:
            slots.append(Slot(self.fact_id, number, self._reward(number, at)))
            number, at = number + 1, at + self.every
        return self._replace(granted=number), slots

    @property
    def _next_slot_at(self) -> datetime:
        return self.starts_at + self.granted * self.every

    def _reward(self, number: int, at: datetime) -> RewardGranted:
        reward_id = derive_id("reward", self.fact_id, number)
        return RewardGranted(
            id=reward_id,
            occurred_at=at,
            application_key=self.application_key,
            uid=self.uid,
            reward_id=reward_id,
            product=self.product,
            item=self.item,
            quantity=self.quantity,
            reason=RewardReason.DAILY,
            transaction_id=self.transaction_id,
        )


def grant_over(covered: Coverage, entry: Entry, terms: RewardTerms, every: timedelta) -> Grant:
    """Owe the rewards of the time that a trial or payment covers."""
    return Grant(
        fact_id=entry.id,
        application_key=entry.application_key,
        uid=entry.uid,
        product=entry.product,
        item=terms.item,
        quantity=terms.quantity,
        transaction_id=entry.transaction_id,
        starts_at=covered.starts_at,
        ends_at=covered.ends_at,
        every=every,
        granted=0,
    )
