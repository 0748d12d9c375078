from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from notifier.domain.delivery import DeliveryState
from notifier.domain.endpoint import PauseReason


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """Tell a person of one attempt; `answer` is the start of the answer's body."""

    at: datetime
    status: int | None
    latency_ms: int
    answer: str
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """
    Tell a person of a delivery, whose id is its webhook-id.

    `next_attempt_at` is when its player's webhooks go on, None where the endpoint is paused or nothing is pending.
    """

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    application_key: str
    uid: str
    type: str
    state: DeliveryState
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    body: str
    attempts: tuple[AttemptReport, ...]


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """Tell a person of an endpoint; `configured` is False where the configuration names it no more."""

    id: UUID
    application_key: str
    url: str
    configured: bool
    state: str
    paused_reason: PauseReason | None
    paused_at: datetime | None
    failing_since: datetime | None
    consecutive_failures: int
    pending: int


@dataclass(frozen=True, slots=True)
class Found:
    """Name a delivery and its place among all."""

    position: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Selection:
    """Choose deliveries; None chooses all. The times are those at which the notifier took them on."""

    application_key: str | None = None
    uid: str | None = None
    endpoint_id: UUID | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    before: datetime | None = None
