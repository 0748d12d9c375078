from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final, TypeAlias
from uuid import UUID

from jira_desk.domain.issue import Attachment, Comment, Issue, Known, issue_id
from jira_desk.domain.seen import SeenAttachment, SeenComment, SeenIssue, known_as
from jira_desk.domain.unfolding import Unfolding
from okgames.jira_account import JiraMeaning, JiraTask

TOLD: Final = "told-"
"""Begins the ids of comments and moves that a person told us of."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Say for which request of ours an issue was made, and how much its promotion's prizes are."""

    request_id: UUID
    application_key: str
    promotion_id: UUID | None
    expected_oks: int | None


@dataclass(frozen=True, slots=True)
class View:
    """
    Say from where an issue is seen: `url` is JIRA's address, `our_names` are those under which we write there.

    `evidence` gives the ids of the pictures that we attach to this issue, by their file names.
    """

    task: JiraTask
    application_key: str
    url: str
    our_names: frozenset[str]
    statuses: Mapping[str, JiraMeaning]
    promise: Promise | None = None
    evidence: Mapping[str, UUID] = field(default_factory=dict)


_Step: TypeAlias = tuple[datetime, int, SeenComment | SeenAttachment | tuple[str, str, str]]


def address(url: str, key: str) -> str:
    return f"{url}/browse/{key}"


def follow(known: Known | None, seen: SeenIssue, view: View) -> Unfolding:
    """Return what has happened to an issue between what we know of it and what JIRA shows, in order of time."""
    if known is None:
        unfolding = Unfolding(Known(_first_seen(seen, view)), view.statuses)
        unfolding.created(known_as(seen.fields.reporter), unfolding.issue.status)
    else:
        unfolding = Unfolding(_linked(known, seen), view.statuses)
    if unfolding.issue.key != seen.key:
        unfolding.rekeyed(seen.key, view.task, address(view.url, seen.key), seen.updated)
    if unfolding.issue.title != seen.fields.summary:
        unfolding.renamed(seen.fields.summary, seen.updated)
    # When it went nobody tells; first, so that an approval does not confirm what OK took back before it.
    _take_away(unfolding, seen)
    for at, _, step in sorted(_steps(unfolding.known, seen), key=lambda step: step[:2]):
        match step:
            case SeenComment():
                comment = _comment(step, view)
                if step.id in unfolding.known.comments:
                    unfolding.edited(comment, at)
                else:
                    unfolding.said(comment)
            case SeenAttachment():
                unfolding.attached(_attachment(step), view.evidence.get(step.filename))
            case (move_id, author, status):
                unfolding.moved_to(status, move_id, author, at)
    unfolding.known = replace(unfolding.known, issue=replace(unfolding.issue, updated_at=seen.updated))
    return unfolding


def _first_seen(seen: SeenIssue, view: View) -> Issue:
    moves = seen.moves
    promise = view.promise
    return Issue(
        id=issue_id(seen.key),
        jira_id=seen.id,
        key=seen.key,
        task=view.task,
        application_key=view.application_key if promise is None else promise.application_key,
        promotion_id=None if promise is None else promise.promotion_id,
        request_id=None if promise is None else promise.request_id,
        expected_oks=None if promise is None else promise.expected_oks,
        title=seen.fields.summary,
        url=address(view.url, seen.key),
        status=moves[0].old if moves else seen.fields.status.name,
        verdict=None,
        fund_oks=None,
        created_at=seen.fields.created,
        updated_at=seen.updated,
    )


def _linked(known: Known, seen: SeenIssue) -> Known:
    """
    Join what a person told us of an issue with what JIRA shows of it.

    The moves up to the status that we know, comments whose text we know, and files are not told a second time.
    """
    if known.issue.jira_id is not None:
        return known
    moves = seen.moves
    told = [place for place, move in enumerate(moves) if move.new == known.issue.status]
    passed = {move.id for move in moves[: told[-1] + 1]} if told else set()
    comments = dict(known.comments)
    for comment in seen.comments:
        twin = next(
            (
                each
                for each in comments.values()
                if each.id.startswith(TOLD) and each.deleted_at is None and each.text.strip() == comment.body.strip()
            ),
            None,
        )
        if twin is not None:
            comments[twin.id] = replace(twin, deleted_at=seen.updated)
            comments[comment.id] = replace(
                twin, id=comment.id, text=comment.body, created_at=comment.created, updated_at=comment.updated
            )
    attachments = dict(known.attachments)
    for attachment in seen.attachments:
        same = [each for each in known.attachments.values() if each.file_name == attachment.filename]
        if same and same[0].id.startswith(TOLD):
            attachments[same[0].id] = replace(same[0], removed_at=seen.updated)
            author = known_as(attachment.author)
            attachments[attachment.id] = replace(same[0], id=attachment.id, size=attachment.size, author=author)
    issue = replace(known.issue, jira_id=seen.id, created_at=seen.fields.created)
    return replace(known, issue=issue, comments=comments, attachments=attachments, move_ids=known.move_ids | passed)


def _steps(known: Known, seen: SeenIssue) -> Iterator[_Step]:
    number = count()
    moves = [move for move in seen.moves if move.id not in known.move_ids]
    for move in moves:
        yield move.at, next(number), (move.id, move.author, move.new)
    last = moves[-1].new if moves else known.issue.status
    if last != seen.fields.status.name:
        # The server shows no changelog, or not yet.
        status = seen.fields.status.name
        yield seen.updated, next(number), (f"{status}@{seen.updated.isoformat()}", "", status)
    for comment in sorted(seen.comments, key=lambda each: each.created):
        before = known.comments.get(comment.id)
        if before is None:
            yield comment.created, next(number), comment
        elif before.deleted_at is not None:
            # It was hidden from us for a time.
            yield seen.updated, next(number), comment
        elif before.text != comment.body:
            yield comment.updated, next(number), comment
    for attachment in sorted(seen.attachments, key=lambda each: each.created):
        if attachment.id not in known.attachments:
            yield attachment.created, next(number), attachment


def _take_away(unfolding: Unfolding, seen: SeenIssue) -> None:
    if seen.has_all_comments:
        there = {comment.id for comment in seen.comments}
        for comment in list(unfolding.known.comments.values()):
            if comment.deleted_at is None and comment.id not in there and not comment.id.startswith(TOLD):
                unfolding.deleted(comment.id, seen.updated)
    attached = {attachment.id for attachment in seen.attachments}
    for attachment in list(unfolding.known.attachments.values()):
        is_ours_to_say = attachment.id.startswith(TOLD)
        if attachment.removed_at is None and attachment.id not in attached and not is_ours_to_say:
            unfolding.removed(attachment.id, seen.updated)


def _comment(seen: SeenComment, view: View) -> Comment:
    author = known_as(seen.author)
    return Comment(seen.id, author, author in view.our_names, seen.body, seen.created, seen.updated)


def _attachment(seen: SeenAttachment) -> Attachment:
    return Attachment(seen.id, seen.filename, seen.mime_type, seen.size, known_as(seen.author), seen.created)
