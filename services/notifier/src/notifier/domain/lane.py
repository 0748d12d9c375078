from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from notifier.domain.delivery import Answer, Delivered, Outcome
from okgames.events import WebhookDelivered, WebhookExhausted, derive_id


class LaneKey(NamedTuple):
    """Name one player's webhooks to one endpoint, which go in order; lanes are locked in the order of their keys."""

    endpoint_id: UUID
    uid: str


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """Hold what an attempt needs to know; `step` counts the failed attempts of its schedule."""

    id: UUID
    event_id: UUID
    type: str
    body: bytes
    step: int


@dataclass(frozen=True, slots=True)
class Lane:
    """
    Hold a lane that this process may work on, with its first pending deliveries.

    `leased_until`, of the database's time, tells this lease from a later one.
    """

    key: LaneKey
    leased_until: datetime
    deliveries: tuple[PendingDelivery, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """State what came of one attempt and what follows from it."""

    lane: Lane
    delivery: PendingDelivery
    at: datetime
    answer: Answer
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Release:
    """Give a lane back, to be taken again at `due_at` if anything is pending in it then."""

    lane: Lane
    due_at: datetime


def finished_event(attempt: Attempt, application_key: str, attempts: int) -> WebhookDelivered | WebhookExhausted:
    """Return the event that says that a delivery ended with its attempt number `attempts`."""
    delivery, status = attempt.delivery, attempt.answer.status
    kind = WebhookDelivered if isinstance(attempt.outcome, Delivered) else WebhookExhausted
    return kind.model_validate(
        {
            # A delivery that is sent again ends again.
            "id": derive_id("delivery finished", delivery.id, attempts),
            "occurred_at": attempt.at,
            "application_key": application_key,
            "uid": attempt.lane.key.uid,
            "delivery_id": delivery.id,
            "endpoint_id": attempt.lane.key.endpoint_id,
            "event_id": delivery.event_id,
            "webhook_type": delivery.type,
            "attempts": attempts,
            "status": status,
        }
    )
