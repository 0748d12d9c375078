import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """Hold what the rounds of one measurement gave."""

    what: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def of(self, what: str, values: Sequence[float], unit: str | None = None) -> "Series":
        """Return what else was seen in the same rounds."""
        return Series(what, unit or self.unit, values)

    def __str__(self) -> str:
        low, high = number(min(self.values)), number(max(self.values))
        spread = f" ({low} to {high})" if len(self.values) > 1 else ""
        return f"{number(self.median)} {self.unit}{spread}"


@dataclass(frozen=True)
class Goal:
    """Compare what was measured with what it should be."""

    value: float
    bound: float
    unit: str
    is_least: bool = True

    @property
    def is_met(self) -> bool:
        return self.value >= self.bound if self.is_least else self.value <= self.bound


@dataclass(frozen=True)
class Row:
    """State one result: what was measured, what stood beside it in the same run, and what that means."""

    measured: str
    series: Sequence[Series]
    goals: Sequence[Goal]
    note: str


def at_least_times(ours: Series, bound: float, theirs: Series) -> Goal:
    return Goal(ours.median / theirs.median, bound, f"x {theirs.what}")


def at_most_times(ours: Series, bound: float, theirs: Series) -> Goal:
    return Goal(ours.median / theirs.median, bound, f"x {theirs.what}", is_least=False)


def number(value: float) -> str:
    """Write a number with three digits that count, and whole from a hundred on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.995 else f"{value:.3f}"
