from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from notifier.domain.delivery import Answer, Outcome


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
