from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final

from simulator.chance import Chance

SHOPPING: Final = (time(9, 10), time(15, 10), time(21, 10))
# Half an hour away from when people begin, and so from when a day's reward falls due: whether a reward of the very
# second of the cancellation is still owed is not for a simulation to say.
LEAVING: Final = (time(12, 40), time(18, 40))


class Deed(StrEnum):
    """Name what a player does on OK, as the simulator's routes do."""

    PURCHASE = "purchase"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, order=True)
class Action:
    at: datetime
    uid: str
    deed: Deed
    product: str


def uids(count: int) -> list[str]:
    """Name players; some ids do not fit into a JavaScript number, and a few have as many digits as an int64."""
    first = {0: 2**53 + 1, 1: 2**63 - 1_000_000}
    return [str(first.get(number % 10, 500_000_000_001) + number) for number in range(count)]


def actions(chance: Chance, players: Sequence[str], midnight: datetime, days: int) -> list[Action]:
    """Make up what players do over some days from a midnight on, in the order of time."""
    lives = (Life(chance.of("life", uid), uid, midnight, days) for uid in players)
    return sorted(action for life in lives for action in life.actions())


@dataclass(frozen=True)
class Life:
    """Make up one player's month: buying now and then, trying apples, staying, leaving, coming back."""

    chance: Chance
    uid: str
    midnight: datetime
    days: int

    def actions(self) -> Iterator[Action]:
        yield from self._purchases()
        if self.chance.happens(0.8):
            yield from self._subscription()

    def _purchases(self) -> Iterator[Action]:
        for _ in range(self.chance.one_of((0, 1, 2, 3, 4, 5, 8))):
            at = self._moment(self._day(0, self.days), SHOPPING)
            # Some buy both at once, which is when OK's callbacks may overtake each other.
            for product in self.chance.one_of((("gold_100",), ("gold_100",), ("gold_500",), ("gold_100", "gold_500"))):
                yield Action(at, self.uid, Deed.PURCHASE, product)

    def _subscription(self) -> Iterator[Action]:
        day = self._day(0, self.days)
        while day < self.days:
            yield Action(self._moment(day, SHOPPING), self.uid, Deed.SUBSCRIBE, "apples")
            stays = self.chance.one_of((2, 3, 5, 8, 12, 19, None, None, None))
            if stays is None or day + stays >= self.days:
                return
            day += stays
            yield Action(self._moment(day, LEAVING), self.uid, Deed.UNSUBSCRIBE, "apples")
            if self.chance.happens(0.5):
                return
            day += self._day(1, 6)

    def _day(self, first: int, before: int) -> int:
        return int(self.chance.between(first, before))

    def _moment(self, day: int, times: Sequence[time]) -> datetime:
        at = self.chance.one_of(times)
        return self.midnight + timedelta(days=day, hours=at.hour, minutes=at.minute)
