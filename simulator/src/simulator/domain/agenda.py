import heapq
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import TypeAlias

from simulator.domain.callbacks import Player


@dataclass(frozen=True, slots=True)
class Charge:
    """Charge a subscription whose period is over."""

    player: Player
    product: str


@dataclass(frozen=True, slots=True)
class Release:
    """Tell the game of a renewal that was put off, if nothing else has released it meanwhile."""

    number: int


@dataclass(frozen=True, slots=True)
class Insist:
    """Tell the game once more what it has not answered."""

    number: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """Make a call again that was answered long ago."""

    number: int


@dataclass(frozen=True, slots=True)
class Refund:
    """Give the player the OKs of a payment back, of which no callback tells."""

    number: int


class ModeratorStep(StrEnum):
    """Name what OK's moderator does to an issue."""

    TAKE = "take"
    DECIDE = "decide"
    FUND = "fund"
    REPLY = "reply"
    TIDY_UP = "tidy_up"


@dataclass(frozen=True, slots=True)
class Moderate:
    """Let OK's moderator go on with an issue of JIRA."""

    issue_id: str
    step: ModeratorStep


Task: TypeAlias = Charge | Release | Insist | Repeat | Refund | Moderate


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Say when a task falls due; of two at the same time, the one that was entered first comes first."""

    at: datetime
    number: int
    task: Task = field(compare=False)


class Agenda:
    """Keep what falls due when."""

    def __init__(self) -> None:
        self._dues: list[Due] = []
        self._numbers = count()

    def enter(self, at: datetime, task: Task) -> None:
        heapq.heappush(self._dues, Due(at, next(self._numbers), task))

    @property
    def next_at(self) -> datetime | None:
        """The time of what falls due first."""
        return self._dues[0].at if self._dues else None

    def take(self, until: datetime) -> Due | None:
        """Take out what falls due first, if that is not after `until`."""
        if not self._dues or self._dues[0].at > until:
            return None
        return heapq.heappop(self._dues)
