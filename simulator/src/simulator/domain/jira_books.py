from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final, TypeVar

OPEN: Final = "Open"
IN_PROGRESS: Final = "In Progress"
ANSWER_WANTED: Final = "Waiting for developer"
APPROVED: Final = "Approved"
DECLINED: Final = "Declined"
CLOSED: Final = "Closed"

STATUSES: Final[Mapping[str, str]] = {
    "61": OPEN,
    "11": IN_PROGRESS,
    "41": ANSWER_WANTED,
    "21": APPROVED,
    "31": DECLINED,
    "51": CLOSED,
}
"""Statuses by the ids of the transitions that lead to them; every one can be left for every other."""

ISSUE_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "OK": ("Moderation",),
    "PROMO": ("1,000 OKs", "Profile Picture Promotion", "Collections", "OKshop Task"),
    "REPORT": ("Report",),
    "ADVDOC": ("Contract",),
    "DOC": ("Company",),
}
"""The projects and what can be created in each."""

_TICK: Final = timedelta(milliseconds=1)
_APART: Final = timedelta(minutes=10)
_FILLING: Final = "Comment {} on question {}: it is about the same as all the others, and nobody minds."

P = TypeVar("P", "JiraComment", "JiraAttachment")


class NoSuchIssue(Exception):
    """JIRA shows no issue, comment or attachment of this name."""


class WrongIssue(Exception):
    """JIRA does not take what it was given; the arguments are the errors by field."""

    def __init__(self, **errors: str) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class JiraComment:
    id: str
    author: str
    body: str
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class JiraAttachment:
    id: str
    author: str
    file_name: str
    media_type: str
    content: bytes
    created: datetime


@dataclass(frozen=True, slots=True)
class JiraMove:
    """Record that an issue came from one status to another."""

    id: str
    author: str
    at: datetime
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class JiraIssue:
    """Hold an issue; one that is hidden was moved to where the studio's account sees nothing."""

    id: str
    key: str
    issue_type: str
    summary: str
    description: str
    creator: str
    status: str
    created: datetime
    updated: datetime
    fields: Mapping[str, object] = field(default_factory=dict)
    comments: tuple[JiraComment, ...] = ()
    attachments: tuple[JiraAttachment, ...] = ()
    moves: tuple[JiraMove, ...] = ()
    is_hidden: bool = False

    @property
    def project(self) -> str:
        return self.key.rpartition("-")[0]


class JiraBooks:
    """Keep OK's JIRA; every change makes an issue's `updated` later than it was."""

    def __init__(self) -> None:
        self._issues: dict[str, JiraIssue] = {}
        self._ids: dict[str, str] = {}
        self._attached_to: dict[str, str] = {}
        self._by_update: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
        self._numbers: dict[str, int] = {}
        self._next_id = count(10001)

    def issues(self) -> Iterator[JiraIssue]:
        return (issue for issue in self._issues.values() if not issue.is_hidden)

    def changed_since(self, project: str, since: datetime | None) -> Iterator[JiraIssue]:
        """Return a project's issues that changed at a time or later, in the order of their changes."""
        index = self._by_update[project]
        start = 0 if since is None else bisect_left(index, (since, ""))
        found = (self._issues[issue_id] for _, issue_id in index[start:])
        return (issue for issue in found if not issue.is_hidden)

    def all_issues(self) -> Sequence[JiraIssue]:
        """Return hidden issues, too."""
        return list(self._issues.values())

    def issue(self, name: str) -> JiraIssue:
        """Return the issue of an id, a key or a key that it once had; raise NoSuchIssue."""
        issue = self._issues.get(self._ids.get(name, name))
        if issue is None or issue.is_hidden:
            raise NoSuchIssue(name)
        return issue

    def create(
        self,
        project: str,
        issue_type: str,
        summary: str,
        description: str,
        creator: str,
        at: datetime,
        fields: Mapping[str, object],
    ) -> JiraIssue:
        """Make an issue; raise WrongIssue."""
        if issue_type not in ISSUE_TYPES.get(project, ()):
            raise WrongIssue(issuetype="The issue type selected is invalid.")
        if not summary.strip() or len(summary) > 255 or "\n" in summary:
            raise WrongIssue(summary="You must specify a summary of the issue, of one line and at most 255 characters.")
        issue = JiraIssue(
            id=str(next(self._next_id)),
            key=self._new_key(project),
            issue_type=issue_type,
            summary=summary,
            description=description,
            creator=creator,
            status=OPEN,
            created=_whole(at),
            updated=_whole(at),
            fields=fields,
        )
        self._enter(issue)
        return issue

    def fill(self, project: str, issue_type: str, issues: int, comments: int, author: str, at: datetime) -> JiraIssue:
        """Make many issues with so many comments each, changed ten minutes one after the other, and return the last."""
        for number in range(issues, 0, -1):
            issue = self.create(project, issue_type, f"Question {number}", "", author, at - number * _APART, {})
            said = [
                JiraComment(str(next(self._next_id)), author, _FILLING.format(place, number), each, each)
                for place in range(comments)
                for each in [issue.created + place * _TICK]
            ]
            last = self._change(issue, said[-1].created if said else issue.created, comments=tuple(said))
        return last

    def edit(self, name: str, at: datetime, **changed: str) -> JiraIssue:
        return self._change(self.issue(name), at, **changed)

    def comment(self, name: str, author: str, body: str, at: datetime) -> JiraComment:
        issue = self.issue(name)
        comment = JiraComment(str(next(self._next_id)), author, body, _whole(at), _whole(at))
        self._change(issue, at, comments=(*issue.comments, comment))
        return comment

    def edit_comment(self, name: str, comment_id: str, body: str, at: datetime) -> JiraComment:
        issue = self.issue(name)
        before = _one(issue.comments, comment_id)
        after = replace(before, body=body, updated=max(_whole(at), before.updated + _TICK))
        self._change(issue, at, comments=tuple(after if each == before else each for each in issue.comments))
        return after

    def delete_comment(self, name: str, comment_id: str, at: datetime) -> None:
        issue = self.issue(name)
        gone = _one(issue.comments, comment_id)
        self._change(issue, at, comments=tuple(each for each in issue.comments if each != gone))

    def attach(
        self, name: str, author: str, file_name: str, media_type: str, content: bytes, at: datetime
    ) -> JiraAttachment:
        issue = self.issue(name)
        attachment = JiraAttachment(str(next(self._next_id)), author, file_name, media_type, content, _whole(at))
        self._attached_to[attachment.id] = issue.id
        self._change(issue, at, attachments=(*issue.attachments, attachment))
        return attachment

    def attachment(self, attachment_id: str) -> tuple[JiraIssue, JiraAttachment]:
        """Return an attachment with its issue; raise NoSuchIssue."""
        issue = self.issue(self._attached_to.get(attachment_id, ""))
        return issue, _one(issue.attachments, attachment_id)

    def delete_attachment(self, attachment_id: str, at: datetime) -> None:
        issue, gone = self.attachment(attachment_id)
        self._change(issue, at, attachments=tuple(each for each in issue.attachments if each != gone))

    def set_status(self, name: str, status: str, author: str, at: datetime) -> JiraIssue:
        issue = self.issue(name)
        when = max(_whole(at), issue.updated + _TICK)
        move = JiraMove(str(next(self._next_id)), author, when, issue.status, status)
        return self._change(issue, at, status=status, moves=(*issue.moves, move))

    def move(self, name: str, project: str, at: datetime) -> JiraIssue:
        """Give an issue to another project, under another key; the old one leads to it as well."""
        issue = self.issue(name)
        return self._change(issue, at, key=self._new_key(project))

    def hide(self, name: str, at: datetime) -> None:
        """Give an issue to a project that the studio's account cannot see."""
        self._change(self.issue(name), at, is_hidden=True)

    def _new_key(self, project: str) -> str:
        self._numbers[project] = self._numbers.get(project, 0) + 1
        return f"{project}-{self._numbers[project]}"

    def _change(self, issue: JiraIssue, at: datetime, **changed: object) -> JiraIssue:
        updated = max(_whole(at), issue.updated + _TICK)
        changed_issue = replace(issue, **{"updated": updated, **changed})  # type: ignore[arg-type]
        index = self._by_update[issue.project]
        del index[bisect_left(index, (issue.updated, issue.id))]
        self._enter(changed_issue)
        return changed_issue

    def _enter(self, issue: JiraIssue) -> None:
        self._issues[issue.id] = issue
        self._ids[issue.key] = issue.id
        insort(self._by_update[issue.project], (issue.updated, issue.id))


def _one(parts: Sequence[P], part_id: str) -> P:
    for part in parts:
        if part.id == part_id:
            return part
    raise NoSuchIssue(part_id)


def _whole(time: datetime) -> datetime:
    """Return a time in milliseconds, which is what JIRA keeps."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
