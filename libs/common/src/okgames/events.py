import hashlib
import uuid
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

_NAMESPACE_BYTES: Final = uuid.UUID("6c1f0a52-4f0b-5f0e-9d3e-0b6f6b1a3f6d").bytes


def derive_id(*parts: object) -> uuid.UUID:
    """Return the id that these parts always give, in every process and on every machine."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + "\x1f".join(map(str, parts)).encode(), usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest[:16], version=5)


def derive_id_text(*parts: str) -> str:
    """Return the text of `derive_id`, which takes half of its time."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + "\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


class Topic(StrEnum):
    """Name a stream of events; each has one writing service."""

    PAYMENTS = "okgames.payments.v1"
    ENTITLEMENTS = "okgames.entitlements.v1"
    PROMOTIONS = "okgames.promotions.v1"
    DELIVERIES = "okgames.deliveries.v1"
    JIRA = "okgames.jira.v1"


class Event(BaseModel):
    """
    State a fact in the past tense, under an id that the same fact always gets.

    `occurred_at` is when it happened, which may be long before it was appended.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[Topic]

    id: uuid.UUID
    occurred_at: AwareDatetime
    application_key: str

    @property
    def type(self) -> str:
        """The name under which the event travels."""
        return type(self).__name__

    @property
    def key(self) -> str:
        """Events of one key reach a reader in the order of their commits."""
        return self.application_key


class PlayerEvent(Event):
    uid: str

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.uid}"


class PaymentReceived(PlayerEvent):
    """OK took a one-time payment; `occurred_at` is OK's transaction_time."""

    topic = Topic.PAYMENTS

    product: str
    transaction_id: str
    amount_oks: int


class SubscriptionPaid(PlayerEvent):
    """OK charged a subscription, the first time or again: OK's callback does not tell which."""

    topic = Topic.PAYMENTS

    product: str
    transaction_id: str | None
    amount_oks: int
    ends_at: AwareDatetime


class TrialStarted(PlayerEvent):
    """A player began a free trial, which OK sends without a transaction_id."""

    topic = Topic.PAYMENTS

    product: str
    ends_at: AwareDatetime


class SubscriptionCancelled(PlayerEvent):
    """A player cancelled; whether `ends_at` is the end of the paid time is not documented by OK."""

    topic = Topic.PAYMENTS

    product: str
    ends_at: AwareDatetime


class EntitlementState(StrEnum):
    TRIAL = "trial"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


class Entitlement(BaseModel):
    """Say what a player may have of one product, until when, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product: str
    state: EntitlementState
    entitled: bool
    until: AwareDatetime
    since: AwareDatetime
    reason: str


class EntitlementChanged(PlayerEvent):
    """
    Carry one change of a player's entitlements and the whole snapshot after it.

    `version` grows by one with every change of the player, over all products.
    """

    topic = Topic.ENTITLEMENTS

    product: str
    state: EntitlementState
    entitled: bool
    until: AwareDatetime
    version: int
    cause: str
    entitlements: tuple[Entitlement, ...]


class EntitlementGranted(EntitlementChanged):
    """Access began: a trial, a first payment, or a payment after a cancellation."""


class EntitlementExtended(EntitlementChanged):
    """Access goes on for longer: a renewal, or the first charge after a trial."""


class EntitlementRevoked(EntitlementChanged):
    """The player cancelled; access ends now, or at `until` where the product runs on to its end."""


class EntitlementLapsed(EntitlementChanged):
    """The time that was paid for is over and no payment followed."""


class EntitlementRecovered(EntitlementChanged):
    """A payment came after the entitlement had lapsed."""


class RewardReason(StrEnum):
    PURCHASE = "purchase"
    TRIAL = "trial"
    PAYMENT = "payment"
    DAILY = "daily"


class RewardGranted(PlayerEvent):
    """A player is owed a reward; `reward_id` is the same however often this is told."""

    topic = Topic.ENTITLEMENTS

    reward_id: uuid.UUID
    product: str
    item: str
    quantity: int
    reason: RewardReason
    transaction_id: str | None


class WebhookDelivered(PlayerEvent):
    """An endpoint of the game accepted a webhook; `event_id` is the event that it carried."""

    topic = Topic.DELIVERIES

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: uuid.UUID
    webhook_type: str
    attempts: int
    status: int


class WebhookExhausted(PlayerEvent):
    """The last attempt of the schedule failed; `status` is null where no answer came."""

    topic = Topic.DELIVERIES

    delivery_id: uuid.UUID
    endpoint_id: uuid.UUID
    event_id: uuid.UUID
    webhook_type: str
    attempts: int
    status: int | None


class EndpointPaused(Event):
    """An endpoint gets no more attempts until a person resumes it; its deliveries wait."""

    topic = Topic.DELIVERIES

    endpoint_id: uuid.UUID
    url: str
    reason: str

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.endpoint_id}"


_EVENTS: Final = (
    PaymentReceived,
    SubscriptionPaid,
    TrialStarted,
    SubscriptionCancelled,
    EntitlementGranted,
    EntitlementExtended,
    EntitlementRevoked,
    EntitlementLapsed,
    EntitlementRecovered,
    RewardGranted,
    WebhookDelivered,
    WebhookExhausted,
    EndpointPaused,
)

EVENT_TYPES: Final[dict[str, type[Event]]] = {event.__name__: event for event in _EVENTS}
