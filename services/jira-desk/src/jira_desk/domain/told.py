from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from jira_desk.domain.errand import Errand
from jira_desk.domain.following import TOLD, address
from jira_desk.domain.issue import Attachment, Comment, Issue, Known, issue_id
from jira_desk.domain.unfolding import Unfolding
from jira_desk.domain.wording import TEMPLATE_TASKS, Language, Template, comment_text
from okgames.events import derive_id
from okgames.jira_account import Jira, JiraTask

FIRST_STATUS: Final = "Open"
"""The status of an issue of which a person tells us no other: JIRA's own first one."""

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=32_000)]
Key: TypeAlias = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,31}-[1-9][0-9]{0,9}$")]
Oks: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=10**9)]


class NoComment(Exception):
    """A template does not fit; the text says why."""


class NoDecision(Exception):
    """There is nothing to decide; the text says why."""


class Body(BaseModel):
    """Hold what a person of ours tells or wants; `by` says who."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Name


class Record(Body):
    """
    Tell what happened in JIRA where nobody follows it for us: a status, a comment or both, or a new issue.

    `author` is who commented, OK's people where nobody is named; `ours` says that it was one of us.
    """

    status: Name | None = None
    comment: Text | None = None
    author: Name = "OK"
    ours: bool = False
    at: AwareDatetime | None = None
    title: Name | None = None
    application_key: Name | None = None


class Say(Body):
    """Comment on an issue: with a text, or with a template and the values that it wants."""

    text: Text | None = None
    template: Template | None = None
    values: dict[Name, Annotated[str, Field(max_length=4000)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.text is None) == (self.template is None):
            raise ValueError("give either text or template")
        return self


class Decide(Body):
    """Say how much OK put on the cashback account, or with no amount that a comment does not say so."""

    amount_oks: Oks | None = None
    comment_id: Annotated[str, Field(max_length=100)] = ""


class Tick(Body):
    """Mark a remark of OK's as dealt with, or as open again."""

    comment_id: Name
    text: Text
    done: bool = True


class Made(Body):
    """Tell that something was done in JIRA by hand; `key` is the issue of a request."""

    key: Key | None = None


class Grant(Body):
    """Tell that OK gave somebody access, or took it away."""

    state: Literal["granted", "ended"]


def told_issue(
    key: str, task: JiraTask, application_key: str, title: str, by: str, jira: Jira, now: datetime
) -> Unfolding:
    """Return an issue of which a person told us the key."""
    return _begun(key, task, application_key, title, None, by, jira, now)


def told_request(key: str, request: Errand, by: str, jira: Jira, now: datetime) -> Unfolding:
    """Return the issue that a person made for a request of ours."""
    return _begun(key, request.task, request.application_key, request.title or key, request, by, jira, now)


def _begun(
    key: str,
    task: JiraTask,
    application_key: str,
    title: str,
    request: Errand | None,
    by: str,
    jira: Jira,
    now: datetime,
) -> Unfolding:
    issue = Issue(
        id=issue_id(key),
        jira_id=None,
        key=key,
        task=task,
        application_key=application_key,
        promotion_id=None if request is None else request.promotion_id,
        request_id=None if request is None else request.id,
        expected_oks=None if request is None else request.expected_oks,
        title=title,
        url=address(jira.url, key),
        status=FIRST_STATUS,
        verdict=None,
        fund_oks=None,
        created_at=now,
        updated_at=now,
    )
    unfolding = Unfolding(Known(issue), jira.statuses)
    unfolding.created(by, FIRST_STATUS)
    return unfolding


def tell(unfolding: Unfolding, record: Record, now: datetime) -> None:
    """Let happen what a person told; the comment before the status, as OK's people give their reason first."""
    at = record.at or now
    issue = unfolding.issue
    if record.comment is not None:
        comment_id = f"{TOLD}{derive_id('told_comment', issue.id, record.comment, at.isoformat())}"
        if comment_id not in unfolding.known.comments:
            unfolding.said(Comment(comment_id, record.author, record.ours, record.comment, at, at))
    if record.status is not None and record.status != issue.status:
        move_id = f"{TOLD}{derive_id('told_move', issue.id, record.status, at.isoformat())}"
        unfolding.moved_to(record.status, move_id, record.author, at)


def tell_done(unfolding: Unfolding, errand: Errand, by: str, now: datetime) -> str:
    """Let happen what a person did by hand of an errand; return the id of what came of it."""
    result = f"{TOLD}{errand.id}"
    if errand.file_name is not None:
        attachment = Attachment(result, errand.file_name, errand.media_type or "", 0, by, now)
        unfolding.attached(attachment, errand.evidence_id)
    else:
        unfolding.said(Comment(result, by, is_ours=True, text=errand.text, created_at=now, updated_at=now))
    return result


def decide(unfolding: Unfolding, body: Decide, now: datetime) -> None:
    """Let a person decide on the prize fund; raise NoDecision."""
    known = unfolding.known
    if known.issue.promotion_id is None:
        raise NoDecision("it is about no promotion of ours")
    if body.comment_id and body.comment_id not in known.comments:
        raise NoDecision(f"there is no comment {body.comment_id}")
    if body.amount_oks is not None:
        unfolding.confirm_fund(body.amount_oks, body.by, now, body.comment_id)
    elif body.comment_id in known.funds:
        unfolding.dismiss_fund(body.comment_id, body.by, now)
    else:
        raise NoDecision("give amount_oks, or the comment_id of what tells no prize fund")


def text_of(body: Say, task: JiraTask, game: str, language: Language) -> str:
    """Return the text of a comment; raise NoComment for a template that does not belong there or lacks a value."""
    if body.template is None:
        return body.text or ""
    tasks = TEMPLATE_TASKS[body.template]
    if task not in tasks:
        raise NoComment(f"{body.template} belongs in a task of {', '.join(sorted(tasks))}")
    try:
        return comment_text(body.template, language, {"text": "", "game": game, **body.values})
    except KeyError as error:
        raise NoComment(f"{body.template} wants values.{error.args[0]}") from error


@dataclass(frozen=True, slots=True)
class Account:
    """Name a further account that OK is asked for."""

    name: str
    email: str
    tasks: tuple[str, ...]


def account_of(body: Say) -> Account:
    """Return the account for which a comment of the template `account` asks."""
    values = body.values
    tasks = tuple(task.strip() for task in values["tasks"].split(","))
    return Account(f"{values['first_name']} {values['last_name']}", values["email"], tasks)
