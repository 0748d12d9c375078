from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from jira_desk.domain.answer import JiraProblem, NotDone, NotLetIn, Refused
from jira_desk.domain.errand import NOT_LET_IN_AGAIN_AFTER
from jira_desk.domain.following import TOLD
from jira_desk.domain.issue import Attachment, Known
from jira_desk.domain.report_month import MonthText, month_of
from jira_desk.domain.told import Body
from jira_desk.domain.unfolding import Unfolding
from okgames.events import derive_id
from okgames.jira_account import JiraTask
from okgames.retry import SCHEDULE

_FETCHED_WITHIN: Final = timedelta(minutes=3)
"""After a claim: by then a fetch has ended, also that of a process that was killed."""


class ReportState(StrEnum):
    """Say how far a file of a REPORT task is: `blocked` until a person has looked."""

    DUE = "due"
    BLOCKED = "blocked"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """
    Hold what is known of a file of a REPORT task, but for its bytes.

    `month` is such as 2026-03; it is None, and `application_key` empty, as long as nobody knows of what it reports.
    `same_as` is the file before it that has the same bytes.
    """

    id: UUID
    issue_id: UUID
    issue_key: str
    issue_title: str
    attachment_id: str
    file_name: str
    media_type: str
    size: int
    attached_at: datetime
    removed_at: datetime | None
    application_key: str
    month: str | None
    state: ReportState
    sha256: str | None
    same_as: UUID | None
    tries: int
    next_at: datetime | None
    problem: str | None
    kept_at: datetime | None


class ReportNote(Body):
    """Say of which application or month a file reports, where it does not say so itself."""

    application_key: Annotated[str, Field(max_length=64)] | None = None
    month: MonthText | None = None


def report_id(issue_id: UUID, attachment_id: str) -> UUID:
    """Return the id of a file, the same however often JIRA shows it."""
    return derive_id("jira_report", issue_id, attachment_id)


def new_files(before: Known | None, known: Known, our_names: frozenset[str]) -> list[str]:
    """Return the attachments that are to be fetched: those which OK's people have put into a REPORT task since."""
    if known.issue.task is not JiraTask.REPORT:
        return []
    there = {} if before is None or before.issue.task is not JiraTask.REPORT else before.attachments
    return [
        each.id
        for each in known.attachments.values()
        if each.id not in there and each.removed_at is None and each.author not in our_names
    ]


def tell_file(
    unfolding: Unfolding, file_name: str, media_type: str, content_sha256: str, size: int, now: datetime
) -> str:
    """Let an attachment be there of which a person brought us the file; return its id, the same for the same bytes."""
    attachment_id = f"{TOLD}{derive_id('told_file', unfolding.issue.id, content_sha256)}"
    if attachment_id not in unfolding.known.attachments:
        unfolding.attached(Attachment(attachment_id, file_name, media_type, size, "OK", now), None)
    return attachment_id


def claimed(file: ReportFile, now: datetime) -> ReportFile:
    """Return a file that is about to be fetched; committed before the fetch."""
    return replace(file, tries=file.tries + 1, next_at=now + _FETCHED_WITHIN)


def kept(file: ReportFile, sha256: str, application_keys: Iterable[str], now: datetime) -> ReportFile:
    """
    Return a file whose bytes are here.

    `application_keys` are guesses at the application, the best first; what a person said of it or of the month stays.
    """
    return replace(
        file,
        state=ReportState.KEPT,
        sha256=sha256,
        application_key=file.application_key or next(filter(None, application_keys), ""),
        month=file.month or month_of(file.file_name, file.issue_title),
        next_at=None,
        problem=None,
        kept_at=now,
    )


def not_fetched(file: ReportFile, problem: JiraProblem, now: datetime) -> ReportFile:
    """Return a file after a fetch that brought nothing: it is fetched later, or a person has to look."""
    told = replace(file, problem=str(problem))
    wait = SCHEDULE[min(max(file.tries, 1), len(SCHEDULE) - 1)]
    match problem:
        case NotLetIn():
            return replace(told, next_at=now + NOT_LET_IN_AGAIN_AFTER)
        case Refused():
            return replace(told, state=ReportState.BLOCKED, next_at=None)
        case NotDone(asked_wait=asked) if asked is not None:
            return replace(told, next_at=now + max(wait, asked))
        case _:
            return replace(told, next_at=now + wait)


def retried(file: ReportFile, now: datetime) -> ReportFile:
    """Return a file that is to be fetched at once, at a person's word."""
    return replace(file, state=ReportState.DUE, next_at=now, problem=None)


def noted(file: ReportFile, note: ReportNote) -> ReportFile:
    """Return a file with what a person said of it."""
    return replace(
        file,
        application_key=file.application_key if note.application_key is None else note.application_key,
        month=file.month if note.month is None else note.month,
    )
