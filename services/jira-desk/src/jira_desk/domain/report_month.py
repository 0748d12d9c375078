import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

from pydantic import Field

MonthText: TypeAlias = Annotated[str, Field(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
"""A month such as 2026-03."""

_NAMES: Final[Mapping[str, int]] = MappingProxyType(
    {
        name: number
        for number, names in enumerate(
            (
                "январь января январе янв january jan",
                "февраль февраля феврале фев february feb",
                "март марта марте мар march mar",
                "апрель апреля апреле апр april apr",
                "май мая мае may",
                "июнь июня июне июн june jun",
                "июль июля июле июл july jul",
                "август августа августе авг august aug",
                "сентябрь сентября сентябре сен сент september sep sept",
                "октябрь октября октябре окт october oct",
                "ноябрь ноября ноябре ноя november nov",
                "декабрь декабря декабре дек december dec",
            ),
            1,
        )
        for name in names.split()
    }
)
_NUMBERED: Final = (
    re.compile(r"(?<!\d)(?P<year>20\d\d)[-._ ]?(?P<month>0[1-9]|1[0-2])(?!\d)", re.ASCII),
    re.compile(r"(?<!\d)(?P<month>0[1-9]|1[0-2])[-._ ]?(?P<year>20\d\d)(?!\d)", re.ASCII),
)
_NAMED: Final = (
    re.compile(r"(?P<name>[^\W\d_]+)[\W_]{0,3}(?P<year>20\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(?P<year>20\d\d)[\W_]{0,3}(?P<name>[^\W\d_]+)"),
)
_DAY: Final = re.compile(
    r"(?<!\d)(?:(?P<y>20\d\d)(?P<a>[-._]?)(?P<m>\d\d)(?P=a)(?P<d>\d\d)"
    r"|(?P<d2>\d\d)(?P<b>[-._]?)(?P<m2>\d\d)(?P=b)(?P<y2>20\d\d))(?!\d)",
    re.ASCII,
)


def month_of(*texts: str) -> str | None:
    """
    Return the month, such as 2026-03, that the first of some texts names which names any; None where it is not one.

    It may be written in numbers, or in Russian or English words; the first and the last day of a month name it, too. A
    single day is when a file was written, not what it is about.
    """
    for text in texts:
        found = set(_months(text.casefold()))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _months(text: str) -> Iterator[str]:
    days = [day for match in _DAY.finditer(text) if (day := _day(match)) is not None]
    for first, last in pairwise(days):
        if first.day == 1 and last == first.replace(day=monthrange(first.year, first.month)[1]):
            yield f"{first:%Y-%m}"
    rest = _DAY.sub(" ", text)
    for match in chain.from_iterable(pattern.finditer(rest) for pattern in _NUMBERED):
        yield f"{match['year']}-{match['month']}"
    for match in chain.from_iterable(pattern.finditer(rest) for pattern in _NAMED):
        if match["name"] in _NAMES:
            yield f"{match['year']}-{_NAMES[match['name']]:02}"


def _day(match: "re.Match[str]") -> date | None:
    year, month, day = (match[name] or match[f"{name}2"] for name in ("y", "m", "d"))
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
