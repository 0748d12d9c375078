from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from notifier.domain.delivery import Answer
from okgames.events import EndpointPaused, derive_id

PAUSE_AFTER: Final = timedelta(hours=12)
PAUSE_AFTER_FAILURES: Final = 10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Hold what the configuration says of one of the game's servers; the newest secret comes first."""

    id: UUID
    application_key: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    events: tuple[str, ...]
    allow_private: bool

    def wants(self, webhook_type: str) -> bool:
        """Tell whether webhooks of this type go to this endpoint."""
        return "*" in self.events or webhook_type in self.events


class PauseReason(StrEnum):
    GONE = "gone"
    """The endpoint answered 410: it wants no more webhooks."""
    FAILING = "failing"
    """Nothing has succeeded for long."""
    OPERATOR = "operator"
    """A person paused it."""


@dataclass(frozen=True, slots=True)
class Pause:
    reason: PauseReason
    at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """Count an endpoint's failures since its last success; `failing_since` is the first of them."""

    failing_since: datetime | None = None
    consecutive_failures: int = 0

    def after(self, answer: Answer, at: datetime) -> "Health":
        """Return the health once this answer has come."""
        if answer.is_success:
            return Health()
        return Health(self.failing_since or at, self.consecutive_failures + 1)


def decide_pause(health: Health, answer: Answer, at: datetime) -> Pause | None:
    """Say whether an endpoint of this health, which counts the answer already, must be paused after the answer."""
    if answer.is_gone:
        return Pause(PauseReason.GONE, at)
    if (
        health.failing_since is not None
        and at - health.failing_since >= PAUSE_AFTER
        and health.consecutive_failures >= PAUSE_AFTER_FAILURES
    ):
        return Pause(PauseReason.FAILING, at)
    return None


def judge(health: Health, answers: Iterable[tuple[Answer, datetime]]) -> tuple[Health, Pause | None]:
    """Return an endpoint's health after answers in the order of their times, and the first pause due to them."""
    pause = None
    for answer, at in answers:
        health = health.after(answer, at)
        pause = pause or decide_pause(health, answer, at)
    return health, pause


def paused_event(endpoint_id: UUID, application_key: str, url: str, pause: Pause) -> EndpointPaused:
    """Return the event that says that an endpoint was paused."""
    return EndpointPaused(
        id=derive_id("endpoint paused", endpoint_id, pause.at.isoformat()),
        occurred_at=pause.at,
        application_key=application_key,
        endpoint_id=endpoint_id,
        url=url,
        reason=pause.reason,
    )
