import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from okgames.events import PromotionStep

MOSCOW: Final = ZoneInfo("Europe/Moscow")

_ISO_DAY: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_LAST_YEAR: Final = 2199
_LAST_WEEKDAY: Final = 3
_ALTERNATIVES: Final = 3
_SEARCHED: Final = timedelta(days=366)


class Rule(StrEnum):
    """
    Name a rule of OK's page "1,000 OKs", https://apiok.ru/en/apps/promo/bonusoks, in the order of that page.

    The last one is not written there: we keep two promotions of one application off the same day.
    """

    DAY = "day"
    WINDOW = "window"
    MORNING = "morning"
    TITLE = "title"
    REQUEST = "request"
    PRIZE_FUND = "prize_fund"
    CONDITIONS = "conditions"
    OFFERS = "offers"
    WINNER = "winner"
    ONE_A_DAY = "one_a_day"


RULES: Final = {
    Rule.DAY: "The day is any of a month's that is a Monday, Tuesday, Wednesday or Thursday.",
    Rule.WINDOW: "The promotion lasts that one day, from 00:00 to 23:59 Moscow time.",
    Rule.MORNING: (
        "On the day the morning notification goes out by 12:00 Moscow time, its screenshot is attached to the JIRA"
        " request, and the launch screen or the purchase form tells of the promotion."
    ),
    Rule.TITLE: 'The JIRA request has "1,000 OKs" in its name.',
    Rule.REQUEST: "The request is sent at least three days before the promotion starts.",
    Rule.PRIZE_FUND: "OK puts the prize fund on the application's cashback account and says so in the request.",
    Rule.CONDITIONS: "A post with all conditions appears in the game's group on the day before, after the approval.",
    Rule.OFFERS: "OK has approved the number of offers of the whole month.",
    Rule.WINNER: "A post that ends the promotion and names the winner appears by 14:00 Moscow time of the next day.",
    Rule.ONE_A_DAY: "An application has one promotion a day.",
}
"""What each rule says, in our words."""


class NoDay(ValueError):
    """The text is no day, such as 2026-03-02."""


@dataclass(frozen=True, slots=True)
class Terms:
    """
    Say what OK agreed with a studio.

    `request_lead` is the time between the request and the promotion's start. `offers_per_month` is None where
    nobody has said how many OK approved.
    """

    request_lead: timedelta = timedelta(days=3)
    offers_per_month: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """Say which rule a wanted day breaks, and how."""

    rule: Rule
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Answer whether a promotion can be on a day: `day` is None where the calendar has no such day.

    `alternatives` are the next three days after it that break no rule, none where the wanted one breaks none.
    """

    day: date | None
    broken: tuple[Broken, ...]
    alternatives: tuple[date, ...]

    @property
    def is_possible(self) -> bool:
        return not self.broken


@dataclass(frozen=True, slots=True)
class Deadline:
    """Say between which moments a step is to be done; both may be the moment itself."""

    step: PromotionStep
    not_before: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class _Moment:
    """Name a moment by its distance from the promotion's day, on the clocks of Moscow."""

    days: int
    at: time = time()

    def of(self, day: date) -> datetime:
        return moscow_time(day + timedelta(days=self.days), self.at)


_ALLOWANCE_BEGINS: Final = time(4)
"""When OK starts to count a day's notifications anew; what is sent before spends the day before's."""

_EVE: Final = _Moment(-1)
_DAY_BEGINS: Final = _Moment(0)
_NOON: Final = _Moment(0, time(12))
_DAY_ENDS: Final = _Moment(1)
_NEXT_AFTERNOON: Final = _Moment(1, time(14))

_WINDOWS: Final = (
    # OK names an hour for the notification alone; for the screenshot and the launch screen in its sentence it is safe.
    (PromotionStep.CONDITIONS_POST, _EVE, _DAY_BEGINS),
    (PromotionStep.REHEARSAL, _Moment(-1, _ALLOWANCE_BEGINS), _DAY_BEGINS),
    (PromotionStep.NOTIFICATION, _Moment(0, _ALLOWANCE_BEGINS), _NOON),
    (PromotionStep.SCREENSHOT, _Moment(0, _ALLOWANCE_BEGINS), _NOON),
    (PromotionStep.PLACEMENT, _EVE, _NOON),
    (PromotionStep.WINNER_POST, _DAY_ENDS, _NEXT_AFTERNOON),
)


def moscow_time(day: date, at: time = time()) -> datetime:
    """Return a moment of a Moscow day, in UTC."""
    return datetime.combine(day, at, MOSCOW).astimezone(UTC)


def moscow_day(now: datetime) -> date:
    return now.astimezone(MOSCOW).date()


def deadlines(day: date, planned_at: datetime, terms: Terms, margin: timedelta) -> tuple[Deadline, ...]:
    """Return when each step of a promotion on this day is to be done; `margin` is how long the draw waits."""
    begins, ends = _DAY_BEGINS.of(day), _DAY_ENDS.of(day)
    return (
        Deadline(PromotionStep.REQUEST, planned_at, begins - terms.request_lead),
        # OK names no time for its answer; later than this, the conditions cannot be posted on the day before.
        Deadline(PromotionStep.APPROVAL, planned_at, begins),
        Deadline(PromotionStep.PRIZE_FUND, planned_at, ends),
        *(Deadline(step, first.of(day), last.of(day)) for step, first, last in _WINDOWS),
        Deadline(PromotionStep.DRAW, ends + margin, _NEXT_AFTERNOON.of(day)),
    )


def check_day(text: str, now: datetime, taken: AbstractSet[date], terms: Terms) -> Verdict:
    """
    Say whether a promotion can be on the day that a text names as 2026-03-02; raise NoDay for any other text.

    `taken` are the days of the application's other promotions that are not called off.
    """
    year, month, number = _numbers(text)
    try:
        day = date(year, month, number)
    except ValueError:
        no_such_day = Broken(Rule.DAY, f"The calendar has no {text}.")
        return Verdict(None, (no_such_day,), _possible_days(_after_month(year, month), now, taken, terms))
    broken = tuple(_broken(day, now, taken, terms))
    following = day + timedelta(days=1)
    return Verdict(day, broken, _possible_days(following, now, taken, terms) if broken else ())


def _numbers(text: str) -> tuple[int, int, int]:
    match = _ISO_DAY.fullmatch(text)
    if match is None:
        raise NoDay(f"{text[:40]!r} is no day, such as 2026-03-02")
    year, month, day = map(int, match.groups())
    if not (2000 <= year <= _LAST_YEAR and 1 <= month <= 12 and 1 <= day <= 31):
        raise NoDay(f"{text} is no day of the years 2000 to {_LAST_YEAR}")
    return year, month, day


def _after_month(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)


def _broken(day: date, now: datetime, taken: AbstractSet[date], terms: Terms) -> Iterator[Broken]:
    if day.weekday() > _LAST_WEEKDAY:
        yield Broken(Rule.DAY, f"{day} is a {day:%A}; promotions are from Monday to Thursday.")
    request_by = moscow_time(day) - terms.request_lead
    if now > request_by:
        yield Broken(
            Rule.REQUEST, f"The request would have been due by {request_by.astimezone(MOSCOW):%Y-%m-%d %H:%M} MSK."
        )
    in_month = sum((each.year, each.month) == (day.year, day.month) for each in taken)
    if terms.offers_per_month is not None and in_month >= terms.offers_per_month:
        yield Broken(Rule.OFFERS, f"OK approved {terms.offers_per_month} for {day:%Y-%m}, and {in_month} are planned.")
    if day in taken:
        yield Broken(Rule.ONE_A_DAY, f"There is a promotion on {day} already.")


def _possible_days(first: date, now: datetime, taken: AbstractSet[date], terms: Terms) -> tuple[date, ...]:
    start = max(first, moscow_day(now))
    days = (start + timedelta(days=number) for number in range(_SEARCHED.days))
    return tuple(islice((day for day in days if not any(_broken(day, now, taken, terms))), _ALTERNATIVES))
