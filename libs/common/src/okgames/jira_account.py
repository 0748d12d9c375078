from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, TypeAdapter, ValidationError, model_validator

from okgames.tables import Name, PositiveDuration, Secret, Table, must_be_unique, wrong

_HTTP_URL: Final = TypeAdapter(HttpUrl)


def _jira_url(value: str) -> str:
    try:
        url = _HTTP_URL.validate_python(value)
    except ValidationError as error:
        raise ValueError("must be an address, such as https://jira.apiok.ru") from error
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("must have no user, password, query or fragment")
    return value.rstrip("/")


class JiraTask(StrEnum):
    """Name what a task in OK's JIRA is about, in OK's words (page "Working with OK through JIRA")."""

    OK = "OK"
    PROMO = "PROMO"
    REPORT = "REPORT"
    ADVDOC = "ADVDOC"
    DOC = "DOC"


class JiraMeaning(StrEnum):
    """Say what a status of OK's JIRA means to us."""

    WAITING = "waiting"
    IN_WORK = "in_work"
    ANSWER_WANTED = "answer_wanted"
    APPROVED = "approved"
    DECLINED = "declined"
    CLOSED = "closed"


class JiraRequestKind(StrEnum):
    """Name what can be asked for in a PROMO task, by OK's options."""

    THOUSAND_OKS = "thousand_oks"
    PROFILE_PICTURE = "profile_picture"
    COLLECTIONS = "collections"
    OKSHOP_TASK = "okshop_task"


class JiraProject(Table):
    """
    How tasks of one kind are dealt with: by JIRA's REST API, or by a person who copies and pastes.

    `issue_types` are JIRA's names by what is asked for, `fields` the ids of JIRA's fields by the names of ours.
    """

    task: JiraTask
    key: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")]
    mode: Literal["manual", "rest"] = "manual"
    issue_types: Mapping[JiraRequestKind, Name] = Field(default_factory=dict)
    fields: Mapping[Name, Name] = Field(default_factory=dict)


class Jira(Table):
    """
    OK's JIRA and our account there: a personal token, or `user` with a password.

    `statuses` says what JIRA's statuses mean, beside those that everybody knows; `language` is that of what we write.
    """

    url: Annotated[str, AfterValidator(_jira_url)] = "https://jira.apiok.ru"
    user: Name | None = None
    passwords: Annotated[tuple[Secret, ...], Field(max_length=1)] = ()
    tokens: Annotated[tuple[Secret, ...], Field(max_length=1)] = ()
    every: PositiveDuration = timedelta(minutes=2)
    language: Literal["ru", "en"] = "ru"
    statuses: Mapping[Name, JiraMeaning] = Field(default_factory=dict)
    projects: tuple[JiraProject, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        must_be_unique("projects", "task", [project.task for project in self.projects])
        must_be_unique("projects", "key", [project.key for project in self.projects])
        if self.tokens and self.passwords:
            raise wrong("is there beside token: give one of them", "passwords")
        if bool(self.passwords) != (self.user is not None):
            raise wrong("must come with a password, and a password with it", "user")
        by_rest = [place for place, project in enumerate(self.projects) if project.mode == "rest"]
        if by_rest and not self.tokens and not self.passwords:
            raise wrong(
                "wants an account: give jira.token, or jira.user and jira.password", "projects", by_rest[0], "mode"
            )
        return self

    @property
    def is_real(self) -> bool:
        """Whether this is OK's own JIRA and no simulation."""
        return f".{urlsplit(self.url).hostname}".endswith(".apiok.ru")

    def project(self, task: JiraTask) -> JiraProject:
        """Return how a kind of tasks is dealt with: by hand, under its own name, where nobody said otherwise."""
        known = next((project for project in self.projects if project.task is task), None)
        return known or JiraProject(task=task, key=task.value)
