"""Random histories of OK's people become our state, whenever we look."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from jira_desk.domain.following import View, follow
from jira_desk.domain.issue import Attachment, Comment, Happening, Known
from jira_desk.domain.seen import SeenIssue
from jira_desk.domain.unfolding import Unfolding
from okgames.events import AttachmentAdded, CommentAdded, IssueCreated, IssueStatusChanged, JiraEvent, derive_id
from okgames.jira_account import JiraTask
from simulator.domain.jira_books import STATUSES, JiraBooks, JiraIssue
from simulator.domain.jira_rows import JiraRows

START: Final = datetime(2026, 3, 2, 7, tzinfo=UTC)
ROWS: Final = JiraRows("https://jira.example")
VIEW: Final = View(
    task=JiraTask.OK,
    application_key="CBTESTKEYABABABABA",
    url="https://jira.example",
    our_names=frozenset({"studio"}),
    statuses={},
    evidence={"shot.png": derive_id("evidence")},
)

names = st.sampled_from(["studio", "ok.moderator"])
texts = st.sampled_from(["Hello", "- one\n- two", "- one", "Призовой фонд 1000 ОК зачислен", "1. a\n2. b"])
seconds = st.integers(0, 90_000)
steps = st.one_of(
    st.tuples(st.just("comment"), names, texts, seconds),
    st.tuples(st.just("edit"), st.integers(0, 5), texts, seconds),
    st.tuples(st.just("delete"), st.integers(0, 5), st.none(), seconds),
    st.tuples(st.just("attach"), names, st.sampled_from(["shot.png", "other.png"]), seconds),
    st.tuples(st.just("detach"), st.integers(0, 5), st.none(), seconds),
    st.tuples(st.just("status"), names, st.sampled_from([*STATUSES.values(), "Neither here nor there"]), seconds),
    st.tuples(st.just("move"), names, st.sampled_from(["DOC", "PROMO"]), seconds),
    st.tuples(st.just("rename"), names, texts, seconds),
    st.tuples(st.just("look"), st.none(), st.none(), seconds),
)


class History:
    """One issue of JIRA, and what we have made of it."""

    def __init__(self) -> None:
        self.books = JiraBooks()
        self.issue_id = self.books.create("OK", "Moderation", "Backgammon", "", "studio", START, {}).id
        self.now = START
        self.known: Known | None = None
        self.events: list[JiraEvent] = []
        self.entries: list[Any] = []

    @property
    def issue(self) -> JiraIssue:
        return self.books.issue(self.issue_id)

    def seen(self) -> SeenIssue:
        return SeenIssue.model_validate(ROWS.issue(self.issue, with_changes=True))

    def look(self) -> Unfolding:
        unfolding = follow(self.known, self.seen(), VIEW)
        self.known = unfolding.known
        self.events += unfolding.events
        self.entries += unfolding.entries
        return unfolding

    def take(self, what: str, who: Any, text: Any, later: int) -> None:
        self.now += timedelta(seconds=later)
        issue, books, now = self.issue, self.books, self.now
        match what:
            case "comment":
                books.comment(issue.id, who, text, now)
            case "edit" if issue.comments:
                books.edit_comment(issue.id, issue.comments[who % len(issue.comments)].id, text, now)
            case "delete" if issue.comments:
                books.delete_comment(issue.id, issue.comments[who % len(issue.comments)].id, now)
            case "attach":
                books.attach(issue.id, who, text, "image/png", b"x", now)
            case "detach" if issue.attachments:
                books.delete_attachment(issue.attachments[who % len(issue.attachments)].id, now)
            case "status" if text != issue.status:
                books.set_status(issue.id, text, who, now)
            case "move":
                books.move(issue.id, text, now)
            case "rename":
                books.edit(issue.id, now, summary=text)
            case "look":
                self.look()
            case _:
                pass


@given(st.lists(steps, max_size=40))
def test_our_state_is_jiras_own_after_any_history(history: list[tuple[Any, Any, Any, int]]) -> None:
    ours = History()
    for step in history:
        ours.take(*step)
    ours.look()
    assert ours.known is not None

    issue, known = ours.issue, ours.known
    assert (issue.key, issue.status, issue.summary) == (known.issue.key, known.issue.status, known.issue.title)
    assert {each.id: each.body for each in issue.comments} == {
        each.id: each.text for each in known.comments.values() if each.deleted_at is None
    }
    assert {each.id for each in issue.attachments} == {
        each.id for each in known.attachments.values() if each.removed_at is None
    }


@given(st.lists(steps, max_size=40))
def test_each_thing_is_told_once_and_statuses_in_their_order(history: list[tuple[Any, Any, Any, int]]) -> None:
    ours = History()
    for step in history:
        ours.take(*step)
    ours.look()

    ids = [event.id for event in ours.events]
    assert len(ids) == len(set(ids))
    assert len(ours.entries) == len({entry.id for entry in ours.entries})
    assert 1 == sum(isinstance(event, IssueCreated) for event in ours.events)
    moves = [event for event in ours.events if isinstance(event, IssueStatusChanged)]
    assert [(move.old, move.new) for move in ours.issue.moves] == [(move.old_status, move.new_status) for move in moves]
    assert {each.id for each in ours.issue.comments} <= {
        event.comment_id for event in ours.events if isinstance(event, CommentAdded)
    }
    for event in ours.events:
        if isinstance(event, AttachmentAdded):
            assert (event.evidence_id is not None) is (event.file_name == "shot.png")


@given(st.lists(steps, max_size=25))
def test_looking_again_changes_nothing(history: list[tuple[Any, Any, Any, int]]) -> None:
    ours = History()
    for step in history:
        ours.take(*step)
    ours.look()
    again = follow(ours.known, ours.seen(), VIEW)

    assert ([], []) == (again.entries, again.events)
    assert ours.known == again.known


@given(st.lists(steps, max_size=25))
def test_remarks_are_the_lists_of_oks_comments_as_they_are_now(history: list[tuple[Any, Any, Any, int]]) -> None:
    ours = History()
    for step in history:
        ours.take(*step)
    ours.look()
    assert ours.known is not None

    shown = {(each.comment_id, each.text) for each in ours.known.remarks if not each.is_withdrawn}
    expected = {
        (each.id, line)
        for each in ours.issue.comments
        if each.author != "studio"
        for line in {"- one\n- two": ("one", "two"), "- one": ("one",), "1. a\n2. b": ("a", "b")}.get(each.body, ())
    }
    assert expected <= shown
    assert {comment_id for comment_id, _ in shown} <= {each.id for each in ours.issue.comments}


def test_what_a_person_told_is_not_told_again_when_the_issue_is_followed() -> None:
    ours = History()
    ours.look()
    assert ours.known is not None
    told = Unfolding(replace(ours.known, issue=replace(ours.known.issue, jira_id=None)), {})
    told.moved_to("In Progress", "told-1", "OK", START)
    told.said(Comment("told-2", "OK", is_ours=False, text="Hello ", created_at=START, updated_at=START))
    told.attached(Attachment("told-3", "shot.png", "image/png", 0, "Anna", START), None)
    ours.known = told.known
    ours.take("comment", "ok.moderator", "Hello", 60)
    ours.take("attach", "studio", "shot.png", 60)
    ours.take("status", "ok.moderator", "In Progress", 60)
    ours.take("status", "ok.moderator", "Approved", 60)

    unfolding = ours.look()

    assert [(Happening.STATUS_CHANGED, "Approved")] == [(entry.kind, entry.new) for entry in unfolding.entries]
    there = [each for each in unfolding.known.attachments.values() if each.removed_at is None]
    assert [ours.issue.attachments[0].id] == [each.id for each in there]


def test_a_server_without_a_changelog_still_shows_where_an_issue_stands() -> None:
    ours = History()
    ours.look()
    ours.take("status", "ok.moderator", "Approved", 60)
    bare = SeenIssue.model_validate(ROWS.issue(ours.issue, with_changes=False))

    unfolding = follow(ours.known, bare, VIEW)

    assert "Approved" == unfolding.issue.status
    assert ["IssueStatusChanged"] == [event.type for event in unfolding.events]
    assert [] == follow(unfolding.known, bare, VIEW).entries


def test_a_comment_that_is_hidden_and_shown_again_is_there_as_often_as_that_happens() -> None:
    ours = History()
    ours.take("comment", "ok.moderator", "- one", 60)
    whole = ours.issue
    ours.look()
    for later in range(1, 5):
        comments = whole.comments if later % 2 == 0 else ()
        shown = replace(whole, comments=comments, updated=whole.updated + timedelta(minutes=later))
        unfolding = follow(ours.known, SeenIssue.model_validate(ROWS.issue(shown, with_changes=True)), VIEW)
        ours.known = unfolding.known
        ours.entries += unfolding.entries
        there = [each.text for each in ours.known.comments.values() if each.deleted_at is None]
        assert [each.body for each in comments] == there
        assert bool(comments) is not ours.known.remarks[0].is_withdrawn

    assert len(ours.entries) == len({entry.id for entry in ours.entries})


def test_an_issue_that_is_moved_belongs_where_it_is_and_may_come_back() -> None:
    ours = History()
    ours.look()
    original = ours.issue
    for later, (key, kind) in enumerate([("DOC-1", JiraTask.DOC), ("OK-1", JiraTask.OK)] * 2, 1):
        moved = replace(original, key=key, updated=original.updated + timedelta(minutes=later))
        unfolding = follow(
            ours.known, SeenIssue.model_validate(ROWS.issue(moved, with_changes=True)), replace(VIEW, task=kind)
        )
        ours.known = unfolding.known
        ours.entries += unfolding.entries
        assert (key, kind) == (ours.known.issue.key, ours.known.issue.task)

    assert [Happening.CREATED, *[Happening.MOVED] * 4] == [entry.kind for entry in ours.entries]
    assert len(ours.entries) == len({entry.id for entry in ours.entries})


def test_a_comment_with_what_a_database_does_not_keep_is_read_without_it() -> None:
    ours = History()
    ours.take("comment", "ok.moderator", "a\0b", 60)

    assert ["ab"] == [comment.text for comment in ours.look().known.comments.values()]
