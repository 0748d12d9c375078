from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from simulator.domain.jira_books import JiraBooks, JiraIssue
from simulator.domain.jira_moderator import MODERATOR


class _Order(BaseModel):
    """Have something done in OK's JIRA, by its moderator unless `by` names somebody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = MODERATOR


class Create(_Order):
    do: Literal["create"]
    project: str
    issue_type: str
    summary: str
    description: str = ""

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        return books.create(self.project, self.issue_type, self.summary, self.description, self.by, at, {})


class Fill(_Order):
    """Make many issues that were changed one after the other until now, each with many comments."""

    do: Literal["fill"]
    project: str
    issue_type: str
    issues: Annotated[int, Field(ge=1, le=100_000)]
    comments: Annotated[int, Field(ge=0, le=1_000)]

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        return books.fill(self.project, self.issue_type, self.issues, self.comments, self.by, at)


class Say(_Order):
    do: Literal["comment"]
    issue: str
    text: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        books.comment(self.issue, self.by, self.text, at)
        return books.issue(self.issue)


class EditComment(_Order):
    do: Literal["edit_comment"]
    issue: str
    comment: str
    text: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        books.edit_comment(self.issue, self.comment, self.text, at)
        return books.issue(self.issue)


class DeleteComment(_Order):
    do: Literal["delete_comment"]
    issue: str
    comment: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        books.delete_comment(self.issue, self.comment, at)
        return books.issue(self.issue)


class Attach(_Order):
    do: Literal["attach"]
    issue: str
    file_name: str
    media_type: str = "application/octet-stream"
    content: Annotated[Base64Bytes, Field(max_length=20_000_000)]

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        books.attach(self.issue, self.by, self.file_name, self.media_type, self.content, at)
        return books.issue(self.issue)


class DeleteAttachment(_Order):
    do: Literal["delete_attachment"]
    issue: str
    attachment: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        books.delete_attachment(self.attachment, at)
        return books.issue(self.issue)


class SetStatus(_Order):
    do: Literal["status"]
    issue: str
    status: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        return books.set_status(self.issue, self.status, self.by, at)


class Move(_Order):
    do: Literal["move"]
    issue: str
    project: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        return books.move(self.issue, self.project, at)


class Hide(_Order):
    do: Literal["hide"]
    issue: str

    def carry_out(self, books: JiraBooks, at: datetime) -> JiraIssue:
        issue = books.issue(self.issue)
        books.hide(self.issue, at)
        return issue


JiraOrder: TypeAlias = Annotated[
    Create | Fill | Say | EditComment | DeleteComment | Attach | DeleteAttachment | SetStatus | Move | Hide,
    Field(discriminator="do"),
]
