import uuid
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from okgames.events.base import PlayerEvent, Topic


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
