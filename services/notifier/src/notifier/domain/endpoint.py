from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from notifier.domain.delivery import Answer

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
class Health:
    """Count an endpoint's failures since its last success; `failing_since` is the first of them."""

    failing_since: datetime | None = None
    consecutive_failures: int = 0

    def after(self, answer: Answer, at: datetime) -> "Health":
        """Return the health once this answer has come."""
        if answer.is_success:
            return Health()
        return Health(self.failing_since or at, self.consecutive_failures + 1)


def decide_pause(health: Health, answer: Answer, at: datetime) -> PauseReason | None:
    """Say why an endpoint must be paused after this answer, None if it need not be."""
    if answer.is_gone:
        return PauseReason.GONE
    if (
        health.failing_since is not None
        and at - health.failing_since >= PAUSE_AFTER
        and health.consecutive_failures >= PAUSE_AFTER_FAILURES
    ):
        return PauseReason.FAILING
    return None
