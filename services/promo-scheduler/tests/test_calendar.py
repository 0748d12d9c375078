import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from okgames.events import PromotionStep
from promo_scheduler.domain.calendar import RULES, NoDay, Rule, Terms, check_day, deadlines

TERMS = Terms()
MARGIN = timedelta(minutes=15)


def at(text: str) -> datetime:
    """Return a moment by the clocks of Moscow."""
    return datetime.fromisoformat(f"{text}+03:00")


@pytest.fixture(params=["UTC", "Asia/Vladivostok", "America/Los_Angeles"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine in another time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.delenv("TZ")
    os.environ.pop("TZ", None)
    time.tzset()


# The wanted day, the moment of asking in Moscow, and the rules that it breaks.
VERDICTS = [
    # All days of a week, asked a week before.
    ("2026-03-02", "2026-02-23 12:00", ""),
    ("2026-03-03", "2026-02-23 12:00", ""),
    ("2026-03-04", "2026-02-23 12:00", ""),
    ("2026-03-05", "2026-02-23 12:00", ""),
    ("2026-03-06", "2026-02-23 12:00", "day"),
    ("2026-03-07", "2026-02-23 12:00", "day"),
    ("2026-03-08", "2026-02-23 12:00", "day"),
    # One minute around the request's deadline, three days before the day begins.
    ("2026-03-02", "2026-02-26 23:59", ""),
    ("2026-03-02", "2026-02-27 00:00", ""),
    ("2026-03-02", "2026-02-27 00:01", "request"),
    ("2026-03-03", "2026-02-27 23:59", ""),
    ("2026-03-03", "2026-02-28 00:00", ""),
    ("2026-03-03", "2026-02-28 00:01", "request"),
    ("2026-03-04", "2026-02-28 23:59", ""),
    ("2026-03-04", "2026-03-01 00:00", ""),
    ("2026-03-04", "2026-03-01 00:01", "request"),
    ("2026-03-05", "2026-03-02 00:00", ""),
    ("2026-03-05", "2026-03-02 00:01", "request"),
    # Ends of months.
    ("2026-03-31", "2026-03-28 00:00", ""),
    ("2026-03-31", "2026-03-28 00:01", "request"),
    ("2026-04-01", "2026-03-29 00:00", ""),
    ("2026-04-01", "2026-03-29 00:01", "request"),
    ("2026-04-30", "2026-04-27 00:00", ""),
    ("2026-04-31", "2026-04-01 00:00", "day"),
    ("2026-06-31", "2026-06-01 00:00", "day"),
    ("2026-09-31", "2026-09-01 00:00", "day"),
    ("2026-11-31", "2026-11-01 00:00", "day"),
    ("2026-08-31", "2026-08-01 00:00", ""),
    # The end of the year.
    ("2026-12-31", "2026-12-28 00:00", ""),
    ("2026-12-31", "2026-12-28 00:01", "request"),
    ("2027-01-04", "2026-12-31 23:59", ""),
    ("2027-01-04", "2027-01-01 00:00", ""),
    ("2027-01-04", "2027-01-01 00:01", "request"),
    ("2027-01-01", "2026-12-01 00:00", "day"),
    # February, with a leap day and without.
    ("2026-02-28", "2026-02-01 00:00", "day"),
    ("2026-02-29", "2026-02-01 00:00", "day"),
    ("2026-02-30", "2026-02-01 00:00", "day"),
    ("2026-02-31", "2026-02-01 00:00", "day"),
    ("2028-02-29", "2028-02-26 00:00", ""),
    ("2028-02-29", "2028-02-26 00:01", "request"),
    ("2028-03-01", "2028-02-27 00:00", ""),
    ("2028-03-02", "2028-02-28 00:00", ""),
    ("2028-03-02", "2028-02-28 00:01", "request"),
    ("2028-02-30", "2028-02-01 00:00", "day"),
    ("2100-02-29", "2100-02-01 00:00", "day"),
    # Days that are over, or on which somebody asks.
    ("2026-03-02", "2026-03-02 00:00", "request"),
    ("2026-03-02", "2026-03-02 23:59", "request"),
    ("2026-03-02", "2026-03-03 00:00", "request"),
    ("2020-03-02", "2026-03-03 00:00", "request"),
    ("2026-03-07", "2026-03-06 00:00", "day request"),
    # What is planned already: one a day, and two in a month.
    ("2026-05-05", "2026-03-01 00:00", "offers one_a_day"),
    ("2026-05-06", "2026-03-01 00:00", "offers"),
    ("2026-05-08", "2026-03-01 00:00", "day offers"),
    ("2026-05-28", "2026-05-27 00:00", "request offers"),
    ("2026-06-01", "2026-03-01 00:00", ""),
    ("2026-06-02", "2026-03-01 00:00", "one_a_day"),
    ("2026-06-30", "2026-03-01 00:00", ""),
    ("2026-07-01", "2026-03-01 00:00", ""),
    ("2027-05-05", "2026-03-01 00:00", ""),
    ("2027-05-06", "2026-03-01 00:00", ""),
    # Moscow's midnight is another day elsewhere.
    ("2026-03-02", "2026-02-26 21:00", ""),
    ("2026-03-02", "2026-02-27 03:00", "request"),
]
TAKEN = {date(2026, 5, 5), date(2026, 5, 12), date(2026, 6, 2)}


@pytest.mark.parametrize(("day", "now", "broken"), VERDICTS)
def test_a_wanted_day_is_judged(day: str, now: str, broken: str) -> None:
    verdict = check_day(day, at(now), TAKEN, Terms(offers_per_month=2))

    assert broken.split() == [each.rule for each in verdict.broken]
    assert (broken == "") == verdict.is_possible


@pytest.mark.parametrize(("day", "now", "broken"), VERDICTS[::4])
def test_the_machines_own_zone_changes_nothing(zone: str, day: str, now: str, broken: str) -> None:
    there = at(now).astimezone(ZoneInfo(zone))

    assert broken.split() == [each.rule for each in check_day(day, there, TAKEN, Terms(offers_per_month=2)).broken]


@pytest.mark.parametrize(
    ("day", "now", "alternatives"),
    [
        ("2026-03-06", "2026-03-01 00:00", ["2026-03-09", "2026-03-10", "2026-03-11"]),
        ("2026-03-02", "2026-03-02 10:00", ["2026-03-09", "2026-03-10", "2026-03-11"]),
        ("2026-03-02", "2026-02-27 00:01", ["2026-03-03", "2026-03-04", "2026-03-05"]),
        ("2026-02-30", "2026-02-01 00:00", ["2026-03-02", "2026-03-03", "2026-03-04"]),
        ("2026-04-31", "2026-04-01 00:00", ["2026-05-04", "2026-05-06", "2026-05-07"]),
        ("2026-05-05", "2026-04-01 00:00", ["2026-05-06", "2026-05-07", "2026-05-11"]),
        ("2027-01-01", "2026-12-01 00:00", ["2027-01-04", "2027-01-05", "2027-01-06"]),
        ("2020-03-02", "2026-12-30 12:00", ["2027-01-04", "2027-01-05", "2027-01-06"]),
        ("2028-02-30", "2028-02-26 00:01", ["2028-03-01", "2028-03-02", "2028-03-06"]),
        ("2026-03-02", "2026-02-01 00:00", []),
    ],
)
def test_the_next_three_possible_days_are_offered_where_the_wanted_one_is_not(
    day: str, now: str, alternatives: list[str]
) -> None:
    assert alternatives == [str(each) for each in check_day(day, at(now), TAKEN, TERMS).alternatives]


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-3-2", "2026-13-01", "2026-00-01", "2026-01-00", "1999-01-01", "9999-12-31"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(NoDay):
        check_day(text, at("2026-03-01 00:00"), set(), TERMS)


def test_where_ok_approved_none_no_day_is_possible() -> None:
    verdict = check_day("2026-03-03", at("2026-02-01 00:00"), set(), Terms(offers_per_month=0))

    assert ([Rule.OFFERS], ()) == ([each.rule for each in verdict.broken], verdict.alternatives)


@pytest.mark.parametrize(
    ("day", "step", "not_before", "due"),
    [
        ("2026-03-03", "request", None, "2026-02-28 00:00"),
        ("2026-03-03", "approval", None, "2026-03-03 00:00"),
        ("2026-03-03", "prize_fund", None, "2026-03-04 00:00"),
        ("2026-03-03", "conditions_post", "2026-03-02 00:00", "2026-03-03 00:00"),
        ("2026-03-03", "rehearsal", "2026-03-02 04:00", "2026-03-03 00:00"),
        ("2026-03-03", "notification", "2026-03-03 04:00", "2026-03-03 12:00"),
        ("2026-03-03", "screenshot", "2026-03-03 04:00", "2026-03-03 12:00"),
        ("2026-03-03", "placement", "2026-03-02 00:00", "2026-03-03 12:00"),
        ("2026-03-03", "draw", "2026-03-04 00:15", "2026-03-04 14:00"),
        ("2026-03-03", "winner_post", "2026-03-04 00:00", "2026-03-04 14:00"),
        ("2028-02-29", "conditions_post", "2028-02-28 00:00", "2028-02-29 00:00"),
        ("2028-02-29", "winner_post", "2028-03-01 00:00", "2028-03-01 14:00"),
        ("2026-12-31", "draw", "2027-01-01 00:15", "2027-01-01 14:00"),
        ("2027-01-04", "request", None, "2027-01-01 00:00"),
        ("2026-03-31", "winner_post", "2026-04-01 00:00", "2026-04-01 14:00"),
    ],
)
def test_each_step_has_its_window(zone: str, day: str, step: str, not_before: str | None, due: str) -> None:
    planned = datetime(2026, 2, 1, tzinfo=UTC)
    found = {each.step: each for each in deadlines(date.fromisoformat(day), planned, TERMS, MARGIN)}

    assert set(PromotionStep) == set(found)
    assert planned if not_before is None else at(not_before) == found[PromotionStep(step)].not_before
    assert at(due) == found[PromotionStep(step)].due_at


def test_the_request_may_be_due_earlier_or_later_where_ok_says_so() -> None:
    assert check_day("2026-03-03", at("2026-02-28 23:59"), set(), Terms(timedelta(days=2))).is_possible
    assert not check_day("2026-03-03", at("2026-02-28 23:59"), set(), Terms(timedelta(days=4))).is_possible


def test_every_rule_is_written_out() -> None:
    assert set(Rule) == set(RULES)
    assert 10 == len(RULES), "nine of OK's and one of ours"
    assert 60 <= len(VERDICTS)
