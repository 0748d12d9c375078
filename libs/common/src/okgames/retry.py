import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

SCHEDULE: Final = (
    timedelta(),
    timedelta(seconds=1),
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""Waits before each attempt: fast at first, as a player waits, then for as long as an outage may last."""

LONGEST_ASKED_WAIT: Final = timedelta(hours=24)

_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again, not before this time."""

    time: datetime


@dataclass(frozen=True, slots=True)
class Exhausted:
    """That was the last attempt."""


RetryDecision = RetryAt | Exhausted


def decide_retry(subject: UUID, attempts: int, now: datetime, asked_wait: timedelta | None = None) -> RetryDecision:
    """
    Say what follows when attempt number `attempts` (from 1) has failed now.

    The wait is the schedule's and up to a fifth more, always the same for a subject and an attempt, so that
    many that failed together do not come back together. `asked_wait` is what the other side asked for: never
    sooner than that, up to 24 h.
    """
    if attempts >= len(SCHEDULE):
        return Exhausted()
    wait = SCHEDULE[attempts] * (1 + _JITTER * _fraction(subject, attempts))
    if asked_wait is not None:
        wait = max(wait, min(asked_wait, LONGEST_ASKED_WAIT))
    return RetryAt(now + wait)


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """
    Return the wait that a Retry-After header asks for, at most 24 h.

    None where it is neither seconds nor an HTTP date. `now` is the real time, to which an HTTP date relates.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Cut before the conversion: a header may hold more digits than Python converts.
        return min(timedelta(seconds=int(text[:12])), LONGEST_ASKED_WAIT)
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return max(timedelta(), min(aware - now, LONGEST_ASKED_WAIT))


def _fraction(subject: UUID, attempts: int) -> float:
    digest = hashlib.blake2b(b"%s%d" % (subject.bytes, attempts), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
