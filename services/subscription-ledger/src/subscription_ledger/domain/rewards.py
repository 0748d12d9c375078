from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from okgames.events import (
    Event,
    PaymentReceived,
    RewardGranted,
    RewardReason,
    SubscriptionPaid,
    TrialStarted,
    derive_id,
)

_REASONS: Final[dict[type[Event], RewardReason]] = {
    PaymentReceived: RewardReason.PURCHASE,
    SubscriptionPaid: RewardReason.PAYMENT,
    TrialStarted: RewardReason.TRIAL,
}


@dataclass(frozen=True, slots=True)
class RewardTerms:
    """Say what a product gives: once per payment and trial, or `every` so often while it is paid for."""

    item: str
    quantity: int
    every: timedelta | None


@dataclass(frozen=True, slots=True)
class Reward:
    """Hold a reward that a player is to get, and the fact that it rests on."""

    fact_id: UUID
    granted: RewardGranted


def reward_for(event: PaymentReceived | SubscriptionPaid | TrialStarted, terms: RewardTerms) -> Reward:
    """Return the one reward that a payment or the start of a trial gives."""
    reward_id = derive_id("reward", event.id, 0)
    return Reward(
        event.id,
        RewardGranted(
            id=reward_id,
            occurred_at=event.occurred_at,
            application_key=event.application_key,
            uid=event.uid,
            reward_id=reward_id,
            product=event.product,
            item=terms.item,
            quantity=terms.quantity,
            reason=_REASONS[type(event)],
            transaction_id=None if isinstance(event, TrialStarted) else event.transaction_id,
        ),
    )


@dataclass(frozen=True, slots=True)
class Grant:
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
        at = self.starts_at + self.granted * self.every
        return at if at < self.ends_at else None

    def take_due(self, now: datetime, at_most: int) -> tuple["Grant", list[Reward]]:
        """Return the rewards that are due, the oldest ones first, and the grant without them."""
        rewards: list[Reward] = []
        grant = self
        while len(rewards) < at_most and (at := grant.next_at) is not None and at <= now:
            rewards.append(grant._reward(at))
            grant = replace(grant, granted=grant.granted + 1)
        return grant, rewards

    def _reward(self, at: datetime) -> Reward:
        reward_id = derive_id("reward", self.fact_id, self.granted)
        return Reward(
            self.fact_id,
            RewardGranted(
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
            ),
        )
