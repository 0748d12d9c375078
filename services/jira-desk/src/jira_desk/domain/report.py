from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from jira_desk.domain.errand import OPEN, Errand, ErrandKind
from jira_desk.domain.issue import Comment, Entry, Fund, FundState, Issue, Known
from jira_desk.domain.meaning import meaning_of
from jira_desk.domain.paging import Cursor
from okgames.jira_account import Jira, JiraMeaning, JiraProject

ANSWERED: Final = frozenset({JiraMeaning.APPROVED, JiraMeaning.DECLINED, JiraMeaning.CLOSED})
"""Meanings of statuses in which nobody waits for an answer any more."""


@dataclass(frozen=True, slots=True)
class FundQuestion:
    """Show a person a comment that may tell the prize fund, with what we read in it."""

    comment_id: str
    text: str
    amount_oks: int | None


def issue_row(issue: Issue, jira: Jira) -> dict[str, object]:
    """Return what a list shows of an issue; `meaning` is None for a status that nobody mapped."""
    return {
        **asdict(issue),
        "project": jira.project(issue.task).key,
        "meaning": meaning_of(jira.statuses, issue.status),
    }


def full_row(known: Known, history: Sequence[Entry], errands: Sequence[Errand], jira: Jira) -> dict[str, object]:
    """Return all that is known of an issue."""
    return {
        **issue_row(known.issue, jira),
        "comments": [each for each in known.comments.values() if each.deleted_at is None],
        "attachments": [each for each in known.attachments.values() if each.removed_at is None],
        "remarks": [each for each in known.remarks if not each.is_withdrawn],
        "funds": list(known.funds.values()),
        "fund_questions": _fund_questions(known.comments, known.funds),
        "history": history,
        "errands": [errand_row(each, jira, known.issue.url) for each in errands],
    }


def _fund_questions(comments: Mapping[str, Comment], funds: Mapping[str, Fund]) -> list[FundQuestion]:
    return [
        FundQuestion(fund.comment_id, comments[fund.comment_id].text, fund.amount_oks)
        for fund in funds.values()
        if fund.state is FundState.ASKED
    ]


def errand_row(errand: Errand, jira: Jira, issue_url: str | None = None) -> dict[str, object]:
    """
    Return an errand; while it is open with a `pack`, which holds what a person copies, and where to.

    `issue_url` is of the issue to which it belongs. `picture` is the path at which the promo-scheduler has the file.
    """
    row = asdict(errand)
    fields = dict(errand.fields)
    texts = fields.pop("texts", {})
    project = jira.project(errand.task)
    row |= {"fields": fields, "project": project.key, "mode": project.mode}
    if errand.state not in OPEN:
        return row
    row["pack"] = {
        "where": f"{jira.url}/secure/CreateIssue.jspa" if errand.kind is ErrandKind.REQUEST else issue_url,
        "project": project.key,
        "issue_type": fields.get("issue_type"),
        "title": errand.title,
        "text": errand.text,
        "texts": texts,
        "file_name": errand.file_name,
        "picture": _picture_path(errand),
    }
    return row


def _picture_path(errand: Errand) -> str | None:
    if errand.evidence_id is None:
        return None
    return f"/v1/promotions/{errand.promotion_id}/evidence/{errand.evidence_id}"


def project_row(project: JiraProject, read: Mapping[str, tuple[Cursor, datetime | None]]) -> dict[str, object]:
    """Return how a kind of tasks is dealt with, and how far its project was read."""
    row: dict[str, object] = {"task": project.task, "project": project.key, "mode": project.mode}
    if project.key not in read:
        return row
    cursor, at = read[project.key]
    return {**row, "read_at": at, "problem": cursor.problem, "next_at": cursor.next_at, "since": cursor.since}
