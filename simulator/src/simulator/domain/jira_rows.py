import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from simulator.domain.jira_books import (
    ISSUE_TYPES,
    STATUSES,
    JiraAttachment,
    JiraComment,
    JiraIssue,
    JiraMove,
)

MOSCOW: Final = ZoneInfo("Europe/Moscow")
Row = dict[str, object]

VERSION: Final = (8, 20, 10)
_SYSTEM_FIELDS: Final = ("project", "issuetype", "summary", "description", "labels", "attachment")


@dataclass(frozen=True, slots=True)
class BookedIssue:
    """Show an issue in the simulator's books; attachments by file name, with their SHA-256 in hex."""

    key: str
    issue_type: str
    summary: str
    status: str
    creator: str
    created: datetime
    updated: datetime
    is_hidden: bool
    comments: tuple[JiraComment, ...]
    attachments: tuple[tuple[str, str], ...]
    moves: tuple[JiraMove, ...]


def booked_issue(issue: JiraIssue) -> BookedIssue:
    return BookedIssue(
        key=issue.key,
        issue_type=issue.issue_type,
        summary=issue.summary,
        status=issue.status,
        creator=issue.creator,
        created=issue.created,
        updated=issue.updated,
        is_hidden=issue.is_hidden,
        comments=issue.comments,
        attachments=tuple((each.file_name, hashlib.sha256(each.content).hexdigest()) for each in issue.attachments),
        moves=issue.moves,
    )


class JiraRows:
    """Show JIRA as its REST API does; `url` is its own address, and times are of Moscow."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._api = f"{url}/rest/api/2"

    def server(self, now: datetime) -> Row:
        return {
            "baseUrl": self._url,
            "version": ".".join(map(str, VERSION)),
            "versionNumbers": VERSION,
            "deploymentType": "Server",
            "buildNumber": 820010,
            "buildDate": "2022-05-01T00:00:00.000+0300",
            "serverTime": time_text(now),
            "serverTitle": "OK JIRA",
        }

    def person(self, name: str) -> Row:
        return {
            "self": f"{self._api}/user?username={quote(name)}",
            "name": name,
            "key": name,
            "emailAddress": f"{name}@example.org",
            "displayName": name.capitalize(),
            "active": True,
            "timeZone": str(MOSCOW),
            "locale": "ru_RU",
        }

    def made(self, issue: JiraIssue) -> Row:
        return {"id": issue.id, "key": issue.key, "self": f"{self._api}/issue/{issue.id}"}

    def issue(self, issue: JiraIssue, *, with_changes: bool) -> Row:
        fields = {
            **issue.fields,
            "summary": issue.summary,
            "description": issue.description,
            "project": self.project(issue.project),
            "issuetype": {"id": type_id(issue.project, issue.issue_type), "name": issue.issue_type, "subtask": False},
            "status": self.status(issue.status),
            "creator": self.person(issue.creator),
            "reporter": self.person(issue.creator),
            "created": time_text(issue.created),
            "updated": time_text(issue.updated),
            "comment": self.comments(issue),
            "attachment": [self.attachment(each) for each in issue.attachments],
        }
        row = {**self.made(issue), "expand": "changelog,transitions", "fields": fields}
        return row | {"changelog": self.changes(issue)} if with_changes else row

    def comments(self, issue: JiraIssue) -> Row:
        shown = [self.comment(issue, each) for each in issue.comments]
        return {"comments": shown, "maxResults": len(shown), "total": len(shown), "startAt": 0}

    def comment(self, issue: JiraIssue, comment: JiraComment) -> Row:
        return {
            "self": f"{self._api}/issue/{issue.id}/comment/{comment.id}",
            "id": comment.id,
            "author": self.person(comment.author),
            "updateAuthor": self.person(comment.author),
            "body": comment.body,
            "created": time_text(comment.created),
            "updated": time_text(comment.updated),
        }

    def attachment(self, attachment: JiraAttachment) -> Row:
        return {
            "self": f"{self._api}/attachment/{attachment.id}",
            "id": attachment.id,
            "filename": attachment.file_name,
            "author": self.person(attachment.author),
            "created": time_text(attachment.created),
            "size": len(attachment.content),
            "mimeType": attachment.media_type,
            "content": f"{self._url}/secure/attachment/{attachment.id}/{quote(attachment.file_name)}",
        }

    def changes(self, issue: JiraIssue) -> Row:
        histories = [self._change(move) for move in issue.moves]
        return {"startAt": 0, "maxResults": len(histories), "total": len(histories), "histories": histories}

    def _change(self, move: JiraMove) -> Row:
        item = {
            "field": "status",
            "fieldtype": "jira",
            "from": status_id(move.old),
            "fromString": move.old,
            "to": status_id(move.new),
            "toString": move.new,
        }
        return {"id": move.id, "author": self.person(move.author), "created": time_text(move.at), "items": [item]}

    def status(self, name: str) -> Row:
        return {"self": f"{self._api}/status/{status_id(name)}", "id": status_id(name), "name": name}

    def project(self, key: str) -> Row:
        number = str(list(ISSUE_TYPES).index(key) + 1) if key in ISSUE_TYPES else "0"
        return {"self": f"{self._api}/project/{key}", "id": number, "key": key, "name": key}

    def issue_types(self, project: str) -> list[Row]:
        return [
            {"id": type_id(project, name), "name": name, "subtask": False, "self": f"{self._api}/issuetype/{name}"}
            for name in ISSUE_TYPES.get(project, ())
        ]

    def transitions(self) -> Row:
        rows = [{"id": number, "name": name, "to": self.status(name)} for number, name in STATUSES.items()]
        return {"expand": "transitions", "transitions": rows}


def field_rows() -> list[Row]:
    """Return the fields that issues have, as `GET /field` does."""
    names = (*_SYSTEM_FIELDS, "status", "created", "updated", "comment", "creator", "reporter")
    return [{"id": name, "name": name.capitalize(), "custom": False, "clauseNames": [name]} for name in names]


def meta_fields() -> Mapping[str, Row]:
    """Return the fields with which an issue can be created, by id."""
    return {
        name: {
            "fieldId": name,
            "name": name.capitalize(),
            "required": name in {"project", "issuetype", "summary"},
            "hasDefaultValue": False,
            "operations": ["set"],
        }
        for name in _SYSTEM_FIELDS
    }


def type_id(project: str, name: str) -> str:
    known = ISSUE_TYPES.get(project, ())
    return f"{list(ISSUE_TYPES).index(project) + 1}0{known.index(name)}" if name in known else "0"


def status_id(name: str) -> str:
    return next((number for number, status in STATUSES.items() if status == name), "1")


def time_text(time: datetime) -> str:
    local = time.astimezone(MOSCOW)
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"
