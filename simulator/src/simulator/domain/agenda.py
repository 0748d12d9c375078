import heapq
from dataclasses import dataclass
from datetime import datetime
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


Task: TypeAlias = Charge | Release | Insist | Repeat | Refund


class Agenda:
    """Keep what falls due when; what falls due at the same time comes in the order in which it was entered."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, int, Task]] = []
        self._numbers = count()

    def enter(self, at: datetime, task: Task) -> None:
        heapq.heappush(self._entries, (at, next(self._numbers), task))

    @property
    def next_at(self) -> datetime | None:
        """The time of what falls due first."""
        return self._entries[0][0] if self._entries else None

    def take(self, until: datetime) -> tuple[datetime, Task] | None:
        """Take out what falls due first, if that is not after `until`."""
        if not self._entries or self._entries[0][0] > until:
            return None
        at, _, task = heapq.heappop(self._entries)
        return at, task
