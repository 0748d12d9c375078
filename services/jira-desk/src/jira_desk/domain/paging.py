from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from jira_desk.domain.seen import SeenPage

PAGE: Final = 50
OVERLAP: Final = timedelta(minutes=2)
"""How far behind the newest change the next query begins: an index may show a change later than its time says."""

_MOST_FAILURES: Final = 12
_LONGEST_WAIT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    Say how far a project was read: all that changed before `since`, and `start_at` issues of those after it.

    `since` is a time of JIRA's, whose clock may differ from ours; `last_key` is the issue that was read last.
    """

    project: str
    since: datetime | None
    start_at: int
    last_key: str | None
    next_at: datetime
    failures: int
    problem: str | None
    version: int


def query(cursor: Cursor, zone: ZoneInfo) -> str:
    """Return the JQL for what is to be read next; its times are whole minutes in the zone of our account."""
    wanted = f'project = "{cursor.project}"'
    if cursor.since is not None:
        wanted += f' AND updated >= "{cursor.since.astimezone(zone):%Y/%m/%d %H:%M}"'
    return f"{wanted} ORDER BY updated ASC, key ASC"


def newest_of_ours(project: str) -> str:
    """Return the JQL for the issues that we made last; it knows no time, so that no clock can be wrong about it."""
    return f'project = "{project}" AND creator = currentUser() ORDER BY created DESC'


def asked_from(cursor: Cursor) -> int:
    """Return the place of the first issue to ask for: the last one again, to see whether the list has shifted."""
    return max(0, cursor.start_at - 1)


def advance(cursor: Cursor, page: SeenPage, now: datetime, every: timedelta) -> Cursor:
    """
    Return how far a project is read after a page.

    An issue that changes while pages are read goes to the end of the list, and those behind it move up by one. That is
    seen by the last issue of a page not being the first of the next: then the query is made again from its beginning.
    """
    read = replace(cursor, failures=0, problem=None, version=cursor.version + 1)
    has_shifted = cursor.start_at > 0 and (not page.issues or page.issues[0].key != cursor.last_key)
    if has_shifted:
        return replace(read, start_at=0, last_key=None, next_at=now)
    if len(page.issues) < PAGE:
        newest = page.issues[-1].updated if page.issues else None
        since = cursor.since if newest is None else _minute(newest - OVERLAP)
        if cursor.since is not None and since is not None:
            since = max(since, cursor.since)
        return replace(read, since=since, start_at=0, last_key=None, next_at=now + every)
    last = page.issues[-1]
    minute = _minute(last.updated)
    if cursor.since is None or minute > cursor.since:
        return replace(read, since=minute, start_at=0, last_key=None, next_at=now)
    return replace(read, start_at=asked_from(cursor) + len(page.issues), last_key=last.key, next_at=now)


def put_off(cursor: Cursor, problem: str, asked_wait: timedelta | None, now: datetime, every: timedelta) -> Cursor:
    """Return when to ask again after a failure: twice as late each time, up to an hour, never sooner than asked."""
    failures = min(cursor.failures + 1, _MOST_FAILURES)
    wait = min(every * 2**failures, max(_LONGEST_WAIT, every))
    if asked_wait is not None:
        wait = max(wait, asked_wait)
    return replace(cursor, failures=failures, problem=problem, next_at=now + wait, version=cursor.version + 1)


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
