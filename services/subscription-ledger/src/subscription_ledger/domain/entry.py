from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from okgames.events import PaymentReceived, SubscriptionCancelled, SubscriptionPaid, TrialStarted
from subscription_ledger.domain.subscription import Fact, FactKind

Payment: TypeAlias = PaymentReceived | SubscriptionPaid | TrialStarted | SubscriptionCancelled


class EntryKind(StrEnum):
    PURCHASE = "purchase"
    TRIAL = "trial"
    PAYMENT = "payment"
    CANCELLATION = "cancellation"


_KINDS: Final[dict[type[Payment], EntryKind]] = {
    PaymentReceived: EntryKind.PURCHASE,
    TrialStarted: EntryKind.TRIAL,
    SubscriptionPaid: EntryKind.PAYMENT,
    SubscriptionCancelled: EntryKind.CANCELLATION,
}
_FACTS: Final = {
    EntryKind.TRIAL: FactKind.TRIAL,
    EntryKind.PAYMENT: FactKind.PAYMENT,
    EntryKind.CANCELLATION: FactKind.CANCELLATION,
}


class Entry(NamedTuple):
    """Keep what one callback said: `occurred_at` by OK's clock, `learned_at` by ours."""

    id: UUID
    application_key: str
    uid: str
    product: str
    kind: EntryKind
    occurred_at: datetime
    learned_at: datetime
    ends_at: datetime | None
    amount_oks: int | None
    transaction_id: str | None

    @property
    def fact(self) -> Fact | None:
        """What it says of a subscription; None for a one-time purchase."""
        if self.ends_at is None:
            return None
        return Fact(self.id, _FACTS[self.kind], self.occurred_at, self.ends_at, self.transaction_id)


def entry_of(event: Payment, learned_at: datetime) -> Entry:
    ends_at: datetime | None = None
    amount_oks: int | None = None
    transaction_id: str | None = None
    match event:
        case PaymentReceived():
            amount_oks, transaction_id = event.amount_oks, event.transaction_id
        case SubscriptionPaid():
            ends_at, amount_oks, transaction_id = event.ends_at, event.amount_oks, event.transaction_id
        case TrialStarted() | SubscriptionCancelled():
            ends_at = event.ends_at
    return Entry(
        id=event.id,
        application_key=event.application_key,
        uid=event.uid,
        product=event.product,
        kind=_KINDS[type(event)],
        # Comparing times of two time zones, even of two kinds of UTC, costs ten times as much as of one.
        occurred_at=event.occurred_at.astimezone(UTC),
        learned_at=learned_at,
        ends_at=None if ends_at is None else ends_at.astimezone(UTC),
        amount_oks=amount_oks,
        transaction_id=transaction_id,
    )
