from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

from jira_desk.domain.answer import JiraProblem, NotDone, NotLetIn, Refused
from jira_desk.domain.seen import SeenIssue, known_as
from okgames.jira_account import JiraRequestKind, JiraTask
from okgames.retry import SCHEDULE

SETTLES_AFTER: Final = timedelta(minutes=3)
"""After a try whose outcome is not known: by then JIRA has done what it will do, and its index shows it."""

NOT_LET_IN_AGAIN_AFTER: Final = timedelta(hours=1)
"""JIRA locks an account, behind a captcha, that is refused too often."""

_MARK: Final = "okgames:"


class ErrandKind(StrEnum):
    REQUEST = "request"
    COMMENT = "comment"
    ATTACHMENT = "attachment"


class ErrandState(StrEnum):
    """
    Say how far an errand is: `for_person` who does it by hand, `due` for the desk, `blocked` until a person has looked.

    `waiting` is for the issue to which a comment or a file belongs.
    """

    WAITING = "waiting"
    FOR_PERSON = "for_person"
    DUE = "due"
    BLOCKED = "blocked"
    DONE = "done"
    CANCELLED = "cancelled"


OPEN: Final = frozenset({ErrandState.WAITING, ErrandState.FOR_PERSON, ErrandState.DUE, ErrandState.BLOCKED})


@dataclass(frozen=True, slots=True)
class Errand:
    """
    Hold something that is to be done in OK's JIRA: a request, a comment or a file.

    `must_look` says that a try was made whose outcome is not known, so that JIRA must be looked at before the next.
    `after_id` names the request to whose issue this belongs, `result` is JIRA's key or id of what was made.
    """

    id: UUID
    kind: ErrandKind
    task: JiraTask
    application_key: str
    promotion_id: UUID | None
    created_at: datetime
    created_by: str
    state: ErrandState = ErrandState.WAITING
    issue_id: UUID | None = None
    after_id: UUID | None = None
    request_kind: JiraRequestKind | None = None
    title: str | None = None
    text: str = ""
    file_name: str | None = None
    media_type: str | None = None
    sha256: str | None = None
    evidence_id: UUID | None = None
    due_by: datetime | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    must_look: bool = False
    tries: int = 0
    tried_at: datetime | None = None
    next_at: datetime | None = None
    problem: str | None = None
    result: str | None = None
    done_at: datetime | None = None

    @property
    def expected_oks(self) -> int | None:
        """The sum of the prizes of a promotion that a request asks for."""
        prizes = self.fields.get("prizes_oks")
        return sum(prizes) if isinstance(prizes, list) else None


def marked(text: str, errand_id: UUID) -> str:
    """Return a request's description with the line by which it can be found."""
    return f"{text}\n\n{_MARK} {errand_id}"


def is_marked(seen: SeenIssue, errand_id: UUID) -> bool:
    return f"{_MARK} {errand_id}" in seen.fields.description


def mark_in(seen: SeenIssue) -> UUID | None:
    """Return the id of the request for which an issue was made; None for an issue that is not of our making."""
    for line in seen.fields.description.splitlines():
        before, mark, text = line.partition(_MARK)
        if mark and not before.strip():
            try:
                return UUID(text.strip())
            except ValueError:
                continue
    return None


def unique_name(file_name: str, errand_id: UUID) -> str:
    """Return a file's name by which its attachment can be found: with eight digits of the errand's id."""
    stem, dot, ending = file_name.rpartition(".")
    number = errand_id.hex[:8]
    return f"{stem}-{number}.{ending}" if dot else f"{file_name}-{number}"


def find_result(errand: Errand, seen: SeenIssue, our_names: frozenset[str], taken: Iterable[str]) -> str | None:
    """
    Return what an errand has led to in an issue, None where JIRA shows nothing of it.

    `taken` are comments that other errands have led to: the same words may be wanted twice.
    """
    match errand.kind:
        case ErrandKind.REQUEST:
            return seen.key if is_marked(seen, errand.id) else None
        case ErrandKind.COMMENT:
            others = frozenset(taken)
            for comment in seen.comments:
                is_it = known_as(comment.author) in our_names and _same(comment.body, errand.text)
                if is_it and comment.id not in others:
                    return comment.id
            return None
        case ErrandKind.ATTACHMENT:
            return next((each.id for each in seen.attachments if each.filename == errand.file_name), None)
        case _:
            assert_never(errand.kind)


def retried(errand: Errand) -> Errand:
    """Return an errand that is to be tried again at a person's word: never before an earlier try has settled."""
    if not errand.must_look or errand.tried_at is None or errand.next_at is None:
        return errand
    return replace(errand, next_at=max(errand.next_at, errand.tried_at + SETTLES_AFTER))


def tried(errand: Errand, now: datetime) -> Errand:
    """Return an errand of which a try is about to be made; committed before the try."""
    return replace(errand, must_look=True, tries=errand.tries + 1, tried_at=now, next_at=now + SETTLES_AFTER)


def failed(errand: Errand, before: Errand, problem: JiraProblem, now: datetime) -> Errand:
    """Return an errand after a try that did not succeed; `before` is how it stood before the try."""
    wait = SCHEDULE[min(max(errand.tries, 1), len(SCHEDULE) - 1)]
    told = replace(errand, problem=str(problem))
    match problem:
        case NotDone(asked_wait=asked):
            wait = wait if asked is None else max(wait, asked)
            return replace(told, must_look=before.must_look, next_at=now + wait)
        case NotLetIn():
            return replace(told, must_look=before.must_look, next_at=now + NOT_LET_IN_AGAIN_AFTER)
        case Refused() if before.must_look:
            # What was looked for may still have been done by the try before.
            return replace(told, state=ErrandState.BLOCKED, next_at=None)
        case Refused():
            return replace(told, must_look=False, state=ErrandState.BLOCKED, next_at=None)
        case _:
            return replace(told, next_at=now + max(wait, SETTLES_AFTER))


def done(errand: Errand, result: str, now: datetime) -> Errand:
    return replace(
        errand, state=ErrandState.DONE, result=result, done_at=now, next_at=None, must_look=False, problem=None
    )


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
