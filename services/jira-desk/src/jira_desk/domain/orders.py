from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID

from jira_desk.domain.errand import Errand, ErrandKind, marked, unique_name
from jira_desk.domain.issue import Issue
from jira_desk.domain.requests import ISSUE_TYPES, Request, ThousandOks, words_of
from okgames.events import JiraAttachmentDue, derive_id
from okgames.jira_account import Jira, JiraTask

_BESIDE_FIELDS: Final = frozenset({"icon", "by", "kind", "promotion_id", "application_key"})


def request_errand(
    cause: UUID,
    request: Request,
    game: str,
    jira: Jira,
    now: datetime,
    *,
    due_by: datetime | None,
    title: str | None = None,
) -> Errand:
    """Return the errand of making a request, the same for the same cause."""
    errand_id = derive_id("jira_request", cause)
    texts = words_of(request, game)
    words = texts[jira.language]
    issue_type = jira.project(JiraTask.PROMO).issue_types.get(request.kind, ISSUE_TYPES[request.kind])
    fields = request.model_dump(mode="json", exclude=set(_BESIDE_FIELDS), exclude_none=True)
    return Errand(
        id=errand_id,
        kind=ErrandKind.REQUEST,
        task=JiraTask.PROMO,
        application_key=request.application_key,
        promotion_id=request.promotion_id if isinstance(request, ThousandOks) else None,
        request_kind=request.kind,
        title=title or words.title,
        text=marked(words.text, errand_id),
        due_by=due_by,
        created_at=now,
        created_by=request.by,
        fields={
            **fields,
            "issue_type": issue_type,
            "texts": {language: asdict(each) for language, each in texts.items()},
        },
    )


def attachment_errand(event: JiraAttachmentDue, request_id: UUID | None, now: datetime) -> Errand:
    """Return the errand of attaching a picture to a promotion's request."""
    errand_id = derive_id("jira_attachment", event.id)
    return Errand(
        id=errand_id,
        kind=ErrandKind.ATTACHMENT,
        task=JiraTask.PROMO,
        application_key=event.application_key,
        promotion_id=event.promotion_id,
        after_id=request_id,
        file_name=unique_name(event.file_name, errand_id),
        media_type=event.media_type,
        sha256=event.sha256,
        evidence_id=event.evidence_id,
        due_by=event.due_by,
        created_at=now,
        created_by="okgames",
    )


def file_errand(
    cause: UUID,
    issue: Issue | None,
    request: Errand | None,
    file_name: str,
    media_type: str,
    sha256: str,
    by: str,
    now: datetime,
) -> Errand:
    """Return the errand of attaching a file of ours to an issue, or to that of a request which is to be made."""
    errand_id = derive_id("jira_file", cause)
    about = issue or request
    assert about is not None, "a file belongs to an issue or to a request"
    return Errand(
        id=errand_id,
        kind=ErrandKind.ATTACHMENT,
        task=about.task,
        application_key=about.application_key,
        promotion_id=about.promotion_id,
        issue_id=None if issue is None else issue.id,
        after_id=None if request is None else request.id,
        file_name=unique_name(file_name, errand_id),
        media_type=media_type,
        sha256=sha256,
        created_at=now,
        created_by=by,
    )


def comment_errand(cause: UUID, issue: Issue, text: str, by: str, now: datetime) -> Errand:
    """Return the errand of commenting on an issue."""
    return Errand(
        id=derive_id("jira_comment", cause),
        kind=ErrandKind.COMMENT,
        task=issue.task,
        application_key=issue.application_key,
        promotion_id=issue.promotion_id,
        issue_id=issue.id,
        text=text,
        created_at=now,
        created_by=by,
    )
