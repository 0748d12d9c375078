from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from okgames.events import derive_id
from okgames.retry import Exhausted, RetryAt, decide_retry

_ASKING_STATUSES: Final = frozenset({429, 503})
"""Statuses whose Retry-After counts."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Say what came of one attempt.

    `status` is None where no answer came, and then `error` says why. `beginning` is the start of the answer's
    body, `asked_wait` what its Retry-After says.
    """

    status: int | None
    latency_ms: int
    beginning: str = ""
    error: str | None = None
    asked_wait: timedelta | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        return self.status == 410


@dataclass(frozen=True, slots=True)
class Delivered:
    """The endpoint accepted the webhook."""


@dataclass(frozen=True, slots=True)
class EndpointGone:
    """The endpoint wants no more webhooks; this one waits until a person resumes the endpoint."""


Outcome = Delivered | RetryAt | Exhausted | EndpointGone


def delivery_id(event_id: UUID, endpoint_id: UUID) -> UUID:
    """Return the id of the delivery, which is its webhook-id on every attempt."""
    return derive_id("delivery", event_id, endpoint_id)


def decide_outcome(delivery: UUID, step: int, answer: Answer, now: datetime) -> Outcome:
    """Say what follows from the answer to the attempt that comes after `step` failed ones of the schedule."""
    if answer.is_success:
        return Delivered()
    if answer.is_gone:
        return EndpointGone()
    asked_wait = answer.asked_wait if answer.status in _ASKING_STATUSES else None
    return decide_retry(delivery, step + 1, now, asked_wait)
