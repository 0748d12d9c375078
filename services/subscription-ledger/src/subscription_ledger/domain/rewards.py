from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from okgames.events import PaymentReceived, RewardGranted, RewardReason, SubscriptionPaid, TrialStarted, derive_id

from subscription_ledger.domain.coverage import Coverage


@dataclass(frozen=True, slots=True)
class RewardTerms:
    """Say what a product gives: once per payment and trial, or `every` so often while it is paid for."""

    item: str
    quantity: int
    every: timedelta | None


def reward_for(event: PaymentReceived | SubscriptionPaid | TrialStarted, terms: RewardTerms) -> RewardGranted:
    """Return the one reward that a payment or the start of a trial gives."""
    match event:
        case PaymentReceived():
            reason, transaction_id = RewardReason.PURCHASE, event.transaction_id
        case SubscriptionPaid():
            reason, transaction_id = RewardReason.PAYMENT, event.transaction_id
        case TrialStarted():
            reason, transaction_id = RewardReason.TRIAL, None
    reward_id = derive_id("reward", event.id, 0)
    return RewardGranted(
        id=reward_id,
        occurred_at=event.occurred_at,
        application_key=event.application_key,
        uid=event.uid,
        reward_id=reward_id,
        product=event.product,
        item=terms.item,
        quantity=terms.quantity,
        reason=reason,
        transaction_id=transaction_id,
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

    def moved_to(self, coverage: Coverage) -> "Grant":
        return replace(self, starts_at=coverage.starts_at, ends_at=coverage.ends_at)

    def take_due(self, now: datetime, at_most: int) -> tuple["Grant", list[RewardGranted]]:
        """Return the rewards that are due, the oldest ones first, and the grant without them."""
        rewards: list[RewardGranted] = []
        grant = self
        while len(rewards) < at_most and (at := grant.next_at) is not None and at <= now:
            rewards.append(grant._reward(at))
            grant = replace(grant, granted=grant.granted + 1)
        return grant, rewards

    def _reward(self, at: datetime) -> RewardGranted:
        reward_id = derive_id("reward", self.fact_id, self.granted)
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
