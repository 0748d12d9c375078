import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from heapq import merge
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)
_DRIFT: Final = timedelta(minutes=10)


class Standing(IntEnum):
    """Say what a line of the books is; of several with one id, the lower one counts first."""

    PAID = 0
    UNPAID = 1
    """OK began the payment, or cancelled it."""
    REFUND = 2
    TRANSFER = 3
    """OK's money for the application, a prize for example, which is no player's payment."""


@dataclass(frozen=True, slots=True)
class Line:
    """
    Hold one line of somebody's books.

    `transaction_id` is empty where OK sent us none; `uid` and `product` are None where the books do not tell them. The
    amount is never negative: what was given back is told by the standing.
    """

    transaction_id: str
    standing: Standing
    at: datetime
    amount_oks: int
    uid: str | None = None
    product: str | None = None

    @property
    def place(self) -> tuple[str, int, datetime]:
        """Where the line stands in books that are to be compared."""
        return self.transaction_id, self.standing, self.at


@dataclass(frozen=True, slots=True)
class Month:
    """A month in an application's zone: from the first moment of its first day to before the next month's."""

    year: int
    month: int
    zone: ZoneInfo

    @classmethod
    def read(cls, text: str, zone: ZoneInfo) -> "Month":
        """Read 2026-03; raise ValueError."""
        match = _MONTH.fullmatch(text)
        if match is None:
            raise ValueError("must be a month, such as 2026-03")
        return cls(int(match[1]), int(match[2]), zone)

    @property
    def begins(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=self.zone)

    @property
    def ends(self) -> datetime:
        return datetime(self.year + self.month // 12, self.month % 12 + 1, 1, tzinfo=self.zone)

    @property
    def days(self) -> list[date]:
        """The month's days, in order."""
        first = self.begins.date()
        return [first + timedelta(days=number) for number in range((self.ends.date() - first).days)]

    def day_of(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def has(self, at: datetime) -> bool:
        return self.begins <= at < self.ends

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02}"


class Kind(StrEnum):
    """Say in what the books differ; a refund is no fault of either."""

    ONLY_OURS = "only ours"
    ONLY_THEIRS = "only theirs"
    DIFFERING = "differing"
    TWICE = "twice in theirs"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold a line of one side, or the lines of both; `fields` are those in which they differ."""

    kind: Kind
    ours: Line | None
    theirs: Line | None
    fields: tuple[str, ...] = ()


@dataclass(slots=True)
class Sum:
    count: int = 0
    oks: int = 0

    def add(self, line: Line) -> None:
        self.count += 1
        self.oks += line.amount_oks


@dataclass(slots=True)
class Day:
    """Sum up a day of both books."""

    ours: Sum = field(default_factory=Sum)
    theirs: Sum = field(default_factory=Sum)
    refunds: Sum = field(default_factory=Sum)
    transfers: Sum = field(default_factory=Sum)
    differences: int = 0


def compare(
    ours: Iterable[Line], theirs: Iterable[Line], month: Month, found: Callable[[Difference], None]
) -> dict[date, Day]:
    """
    Compare two books of a month line by line, tell each difference to `found`, and return the sums of the days.

    Both sides come in the order of `Line.place` and are read once, so that it takes no more memory for a million lines
    than for one. They may reach beyond the month: a payment at its end is then found on the other side of midnight.
    """
    comparison = _Comparison(month, found)
    both = merge(((line, True) for line in ours), ((line, False) for line in theirs), key=_side_place)
    for transaction_id, lines in groupby(both, key=lambda each: each[0].transaction_id):
        comparison.settle(lines, is_named=bool(transaction_id))
    return comparison.days


def _side_place(each: tuple[Line, bool]) -> tuple[str, bool, int, datetime]:
    line, is_ours = each
    return line.transaction_id, not is_ours, line.standing, line.at


class _Comparison:
    def __init__(self, month: Month, found: Callable[[Difference], None]) -> None:
        self.days: dict[date, Day] = defaultdict(Day)
        self._month = month
        self._found = found

    def settle(self, lines: Iterator[tuple[Line, bool]], *, is_named: bool) -> None:
        """Compare the lines of one id; those without a name of OK's have no other side."""
        mine: Line | None = None
        other: Line | None = None
        for line, is_ours in lines:
            self._count(line, is_ours=is_ours)
            if is_ours and mine is None and is_named:
                mine = line
            elif is_ours:
                self._tell(Kind.ONLY_OURS, line, None)
            elif line.standing is Standing.REFUND:
                self._tell(Kind.REFUND, None, line)
            elif line.standing is Standing.PAID and other is not None:
                self._tell(Kind.TWICE, mine, line)
            elif line.standing is Standing.PAID or (line.standing is Standing.UNPAID and mine and other is None):
                other = line
                self._pair(mine, line)
        if mine is not None and other is None:
            self._tell(Kind.ONLY_OURS, mine, None)

    def _pair(self, mine: Line | None, other: Line) -> None:
        if mine is None:
            self._tell(Kind.ONLY_THEIRS, None, other)
        elif fields := tuple(_differing(mine, other, self._month)):
            self._tell(Kind.DIFFERING, mine, other, fields)

    def _tell(self, kind: Kind, mine: Line | None, other: Line | None, fields: tuple[str, ...] = ()) -> None:
        inside = [line for line in (mine, other) if line is not None and self._month.has(line.at)]
        if not inside:
            return
        if kind is not Kind.REFUND:
            self.days[self._month.day_of(inside[0].at)].differences += 1
        self._found(Difference(kind, mine, other, fields))

    def _count(self, line: Line, *, is_ours: bool) -> None:
        if not self._month.has(line.at):
            return
        day = self.days[self._month.day_of(line.at)]
        match line.standing:
            case Standing.PAID:
                (day.ours if is_ours else day.theirs).add(line)
            case Standing.REFUND:
                day.refunds.add(line)
            case Standing.TRANSFER:
                day.transfers.add(line)


def _differing(mine: Line, other: Line, month: Month) -> Iterator[str]:
    if other.standing is not Standing.PAID:
        yield "status"
    if mine.amount_oks != other.amount_oks:
        yield "amount"
    if None not in (mine.uid, other.uid) and mine.uid != other.uid:
        yield "uid"
    if None not in (mine.product, other.product) and mine.product != other.product:
        yield "product"
    # Which moment of a payment OK's reports name is not documented: the day is what decides on its month.
    if month.day_of(mine.at) != month.day_of(other.at) and abs(mine.at - other.at) > _DRIFT:
        yield "day"
