from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


def _storable(value: object) -> object:
    # Postgres keeps no zero bytes, and one strange comment must not hold up all others.
    return "" if value is None else value.replace("\0", "") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_storable)]


class _Wire(BaseModel):
    """A JSON object of JIRA Server's REST API, version 2; what we do not use is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Person(_Wire):
    """Name an account; a deleted one has only a key."""

    name: str = ""
    key: str = ""
    display_name: Annotated[str, Field(alias="displayName")] = ""

    @property
    def known_as(self) -> str:
        return self.name or self.key or self.display_name


class Myself(Person):
    """Tell of our own account; JQL reads times without a zone in `time_zone`."""

    time_zone: Annotated[str, Field(alias="timeZone")] = "UTC"


class SeenComment(_Wire):
    id: str
    author: Person | None = None
    body: Text = ""
    created: AwareDatetime
    updated: AwareDatetime


class SeenAttachment(_Wire):
    id: str
    filename: Text
    size: int
    mime_type: Annotated[str, Field(alias="mimeType")] = "application/octet-stream"
    author: Person | None = None
    created: AwareDatetime


class _Comments(_Wire):
    comments: tuple[SeenComment, ...] = ()
    total: int = 0


class _Status(_Wire):
    name: str


class _Fields(_Wire):
    summary: Text = ""
    description: Text = ""
    status: _Status
    reporter: Person | None = None
    created: AwareDatetime
    updated: AwareDatetime
    comment: _Comments = _Comments()
    attachment: tuple[SeenAttachment, ...] = ()


class _Item(_Wire):
    field: str
    from_: Annotated[str | None, Field(alias="fromString")] = None
    to: Annotated[str | None, Field(alias="toString")] = None


class _Entry(_Wire):
    id: str
    author: Person | None = None
    created: AwareDatetime
    items: tuple[_Item, ...] = ()


class _Changelog(_Wire):
    histories: tuple[_Entry, ...] = ()


class StatusMove(_Wire):
    """Tell of one move from a status to another; `id` is JIRA's of the change."""

    id: str
    author: str
    at: AwareDatetime
    old: str
    new: str


class SeenIssue(_Wire):
    """Hold an issue as JIRA showed it, with its comments, attachments and moves."""

    id: str
    key: str
    fields: _Fields
    changelog: _Changelog = _Changelog()

    @property
    def updated(self) -> datetime:
        return self.fields.updated

    @property
    def comments(self) -> Sequence[SeenComment]:
        return self.fields.comment.comments

    @property
    def has_all_comments(self) -> bool:
        return len(self.fields.comment.comments) >= self.fields.comment.total

    @property
    def attachments(self) -> Sequence[SeenAttachment]:
        return self.fields.attachment

    @property
    def moves(self) -> list[StatusMove]:
        """Return the moves between statuses, the oldest first."""
        found = [
            StatusMove(
                id=entry.id,
                author=known_as(entry.author),
                at=entry.created,
                old=item.from_ or "",
                new=item.to or "",
            )
            for entry in self.changelog.histories
            for item in entry.items
            if item.field == "status"
        ]
        return sorted(found, key=lambda move: (move.at, int(move.id) if move.id.isdigit() else 0))


class SeenPage(_Wire):
    """Hold one page of a search."""

    issues: tuple[SeenIssue, ...] = ()


class FieldMeta(_Wire):
    required: bool = False
    has_default: Annotated[bool, Field(alias="hasDefaultValue")] = False


CreateMeta = Mapping[str, FieldMeta]
"""The fields that an issue may be created with, by id."""


def known_as(person: Person | None) -> str:
    return "" if person is None else person.known_as
