from collections.abc import Iterable, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """
    Draw what the same seed and the same names always give, whatever was drawn elsewhere before.

    One chance is for one matter: take `of(...)` for each, so that calls that overlap do not disturb each other.
    """

    def __init__(self, *names: object) -> None:
        self._names = names
        self._source = Random("\x1f".join(map(str, names)))

    def of(self, *names: object) -> "Chance":
        """Return the chance of one matter."""
        return Chance(*self._names, *names)

    def happens(self, probability: float) -> bool:
        """Tell whether something of this probability (0 to 1) happens."""
        return self._source.random() < probability

    def between(self, low: float, high: float) -> float:
        """Draw a number from `low` to `high`."""
        return self._source.uniform(low, high)

    def one_of(self, options: Sequence[T]) -> T:
        """Draw one of several."""
        return self._source.choice(options)

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """Return the items in a random order."""
        in_order = list(items)
        self._source.shuffle(in_order)
        return in_order
