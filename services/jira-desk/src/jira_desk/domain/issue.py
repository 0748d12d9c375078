from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from okgames.events import derive_id
from okgames.jira_account import Jira, JiraTask


class Verdict(StrEnum):
    """Say what OK decided on a request."""

    APPROVED = "approved"
    DECLINED = "declined"


class Happening(StrEnum):
    """Name what can happen to an issue."""

    CREATED = "created"
    STATUS_CHANGED = "status_changed"
    COMMENT_ADDED = "comment_added"
    COMMENT_EDITED = "comment_edited"
    COMMENT_DELETED = "comment_deleted"
    ATTACHMENT_ADDED = "attachment_added"
    ATTACHMENT_REMOVED = "attachment_removed"
    MOVED = "moved"
    RENAMED = "renamed"
    APPROVED = "approved"
    DECLINED = "declined"
    FUND_CONFIRMED = "fund_confirmed"
    FUND_DISMISSED = "fund_dismissed"


@dataclass(frozen=True, slots=True)
class Issue:
    """
    Hold an issue as we know it; `jira_id` is None where only a person told us of it.

    `application_key` is empty where it concerns no application but the company. `expected_oks` is the sum of the
    prizes of its promotion, `fund_oks` what OK put on the cashback account for them.
    """

    id: UUID
    jira_id: str | None
    key: str
    task: JiraTask
    application_key: str
    promotion_id: UUID | None
    request_id: UUID | None
    expected_oks: int | None
    title: str
    url: str
    status: str
    verdict: Verdict | None
    fund_oks: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Comment:
    id: str
    author: str
    is_ours: bool
    text: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    id: str
    file_name: str
    media_type: str
    size: int
    author: str
    created_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """
    Tell of one thing that happened.

    `subject` is JIRA's id of what it happened to; with the time behind an @ where it may happen to that again.
    """

    id: UUID
    kind: Happening
    subject: str
    author: str
    old: str | None
    new: str | None
    happened_at: datetime


class FundState(StrEnum):
    """Say how far the reading of a comment has come; `waiting` for OK's approval, `asked` for a person's word."""

    WAITING = "waiting"
    ASKED = "asked"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Fund:
    """Hold what a comment may say of the prize fund."""

    comment_id: str
    amount_oks: int | None
    is_certain: bool
    state: FundState
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """Hold a line of OK's remarks, to be ticked off; withdrawn where OK took the line back."""

    comment_id: str
    text: str
    place: int
    is_withdrawn: bool = False
    done_at: datetime | None = None
    done_by: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Hold an issue with everything that belongs to it, by JIRA's ids; `move_ids` are of moves told already."""

    issue: Issue
    comments: Mapping[str, Comment] = field(default_factory=dict)
    attachments: Mapping[str, Attachment] = field(default_factory=dict)
    move_ids: frozenset[str] = frozenset()
    funds: Mapping[str, Fund] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()

    def remark(self, comment_id: str, text: str) -> Remark | None:
        return next((each for each in self.remarks if (each.comment_id, each.text) == (comment_id, text)), None)


def issue_id(key: str) -> UUID:
    """Return the id of an issue that we hear of under a key for the first time."""
    return derive_id("jira_issue", key)


def task_of(key: str, jira: Jira) -> JiraTask | None:
    """Return of which kind the tasks are to which an issue belongs, by its key; None where there is no such project."""
    project, _, number = key.rpartition("-")
    if not (number.isascii() and number.isdigit()):
        return None
    return next((task for task in JiraTask if jira.project(task).key == project), None)


def application_of(title: str, names: Mapping[str, str]) -> str:
    """
    Return the application_key of the game that a title names; `names` are the games' names by application_key.

    Empty where it names none or several, and there is more than one game: then it is the company's.
    """
    named = [key for key, name in names.items() if name.casefold() in title.casefold()]
    if len(named) == 1:
        return named[0]
    return next(iter(names)) if len(names) == 1 else ""
