from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okgames.retry import LONGEST_ASKED_WAIT, SCHEDULE, Exhausted, RetryAt, decide_retry, parse_retry_after

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SUBJECT = UUID("6c1f0a52-4f0b-5f0e-9d3e-0b6f6b1a3f6d")
HOUR = 3600


def test_there_are_thirteen_attempts_fast_at_first() -> None:
    expected = [0, 1, 5, 30, 120, 600, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]

    assert expected == [wait.total_seconds() for wait in SCHEDULE]


@given(st.uuids(), st.integers(1, 12))
def test_the_wait_is_the_schedules_and_up_to_a_fifth_more(subject: UUID, attempts: int) -> None:
    decision = decide_retry(subject, attempts, NOW)

    assert isinstance(decision, RetryAt)
    assert SCHEDULE[attempts] <= decision.time - NOW <= SCHEDULE[attempts] * 1.2
    assert decision == decide_retry(subject, attempts, NOW)


def test_different_subjects_wait_differently() -> None:
    waits = {decide_retry(UUID(int=number), 5, NOW) for number in range(100)}

    assert 100 == len(waits)


@given(st.uuids(), st.integers(13, 100), st.none() | st.timedeltas())
def test_after_the_last_attempt_nothing_follows(subject: UUID, attempts: int, asked_wait: timedelta) -> None:
    assert Exhausted() == decide_retry(subject, attempts, NOW, asked_wait)


@given(st.integers(1, 12), st.timedeltas(timedelta(), timedelta(days=999)))
def test_never_sooner_than_asked_up_to_a_day(attempts: int, asked_wait: timedelta) -> None:
    decision = decide_retry(SUBJECT, attempts, NOW, asked_wait)
    scheduled = decide_retry(SUBJECT, attempts, NOW)

    assert isinstance(scheduled, RetryAt)
    assert RetryAt(max(scheduled.time, NOW + min(asked_wait, LONGEST_ASKED_WAIT))) == decision


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", timedelta()),
        ("7", timedelta(seconds=7)),
        (" 120 ", timedelta(minutes=2)),
        ("86401", timedelta(hours=24)),
        ("9" * 10_000, timedelta(hours=24)),
        ("Mon, 02 Mar 2026 10:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 02 Mar 2026 13:00:30 +0300", timedelta(seconds=30)),
        ("Monday, 02-Mar-26 10:00:30 GMT", timedelta(seconds=30)),
        ("Mon Mar  2 10:00:30 2026", timedelta(seconds=30)),
        ("Mon, 02 Mar 2026 09:00:00 GMT", timedelta()),
        ("Mon, 02 Mar 2099 10:00:00 GMT", timedelta(hours=24)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Mon, 99 Mar 2026 10:00:30 GMT", None),
        ("\u0661", None),
    ],
)
def test_retry_after_is_seconds_or_an_http_date(value: str, wait: timedelta | None) -> None:
    assert wait == parse_retry_after(value, NOW)


@given(st.text())
def test_any_header_gives_a_wait_of_at_most_a_day_or_none(value: str) -> None:
    wait = parse_retry_after(value, NOW)

    assert wait is None or timedelta() <= wait <= LONGEST_ASKED_WAIT
