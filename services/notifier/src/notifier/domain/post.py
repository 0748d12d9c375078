from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from notifier.domain.wording import Wording
from okgames.catalogue import App
from okgames.events import (
    Audience,
    GroupPostDrafted,
    GroupPostDue,
    GroupPostPublished,
    NotificationDue,
    NotificationSent,
    PromotionDelivery,
    PromotionPost,
    derive_id,
)

LONGEST_NOTIFICATION: Final = 200
LIVE_NOTIFICATIONS: Final = 5
NOTIFICATIONS_A_DAY: Final = 30
LONGEST_POST: Final = 10_000

_EXPIRES_WITHIN: Final = timedelta(days=14)
_ALLOWANCE_STARTS: Final = timedelta(hours=4)
_MOSCOW: Final = ZoneInfo("Europe/Moscow")
_OK_HOSTS: Final = frozenset({"ok.ru", "www.ok.ru", "m.ok.ru"})


class PostKind(StrEnum):
    """Say what is told to players: two posts in the group, and two notifications on OK's portal."""

    CONDITIONS = "conditions"
    WINNER = "winner"
    REHEARSAL = "rehearsal"
    NOTIFICATION = "notification"

    @property
    def is_in_group(self) -> bool:
        return self in {PostKind.CONDITIONS, PostKind.WINNER}


class PostState(StrEnum):
    """
    Say how far a post has come.

    `proposed` waits for a person's approval, `approved` for its time; `attempted` is written before the call, and stays
    while nobody knows what came of it; a `draft` is for a person to publish. What players see of a promotion that was
    cancelled is `stopping` until OK has taken it back.
    """

    PROPOSED = "proposed"
    APPROVED = "approved"
    ATTEMPTED = "attempted"
    PUBLISHED = "published"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DRAFT = "draft"
    CANCELLED = "cancelled"


class NotNow(Exception):
    """A post cannot be treated so where it stands; the text says why, for a person to read."""


@dataclass(frozen=True, slots=True)
class Post:
    """
    Hold a text for the players of a game: a post in its group or a notification on OK's portal.

    After `expires_at` nobody should see it any more, None where it stays. `attempts` counts the calls of OK's API.
    `ok_id` is OK's id of it, `reason` says why it waits, or why a person has to publish it or to take it back.
    """

    id: UUID
    kind: PostKind
    application_key: str
    promotion_id: UUID
    text: str
    state: PostState
    not_before: datetime
    due_by: datetime
    expires_at: datetime | None
    created_at: datetime
    approved_at: datetime | None = None
    approved_by: str | None = None
    attempts: int = 0
    attempted_at: datetime | None = None
    retry_at: datetime | None = None
    ok_id: str | None = None
    url: str | None = None
    published_at: datetime | None = None
    published_by: str | None = None
    reason: str | None = None

    def approved(self, by: str, now: datetime) -> "Post":
        """Let okgames publish it at its time; raise NotNow."""
        if self.state not in {PostState.PROPOSED, PostState.DRAFT}:
            raise NotNow(f"it is {self.state} already")
        if problem := text_problem(self.kind, self.text):
            raise NotNow(problem)
        return replace(self, state=PostState.APPROVED, approved_at=now, approved_by=by, reason=None, retry_at=None)

    def edited(self, text: str) -> "Post":
        """Give it another text, which wants another approval; raise NotNow."""
        if self.state not in {PostState.PROPOSED, PostState.APPROVED, PostState.DRAFT}:
            raise NotNow(f"it is {self.state} already")
        if problem := text_problem(self.kind, text):
            raise NotNow(problem)
        state = PostState.DRAFT if self.state is PostState.DRAFT else PostState.PROPOSED
        return replace(self, text=text, state=state, approved_at=None, approved_by=None)

    def published_by_hand(self, by: str, url: str | None, now: datetime) -> "Post":
        """Note that a person published it, a post in the group under which link; raise NotNow."""
        if self.state in {PostState.PUBLISHED, PostState.STOPPING, PostState.STOPPED, PostState.CANCELLED}:
            raise NotNow(f"it is {self.state} already")
        if self.kind.is_in_group and (url is None or not is_ok_link(url)):
            raise NotNow("give the link to the post on https://ok.ru")
        return replace(
            self, state=PostState.PUBLISHED, url=url, published_at=now, published_by=by, reason=None, retry_at=None
        )

    def attempted(self, now: datetime) -> "Post":
        """Note that OK is about to be called."""
        return replace(
            self, state=PostState.ATTEMPTED, attempts=self.attempts + 1, attempted_at=now, retry_at=None, reason=None
        )

    def drafted(self, reason: str) -> "Post":
        """Leave it to a person."""
        return replace(self, state=PostState.DRAFT, reason=reason, retry_at=None)


def post_due(due: GroupPostDue, app: App, wording: Wording, now: datetime) -> Post:
    """Return the post that a promotion wants, as far as the configuration lets okgames go on with it."""
    kind = PostKind.CONDITIONS if due.post is PromotionPost.CONDITIONS else PostKind.WINNER
    post = Post(
        id=derive_id("post", due.promotion_id, kind),
        kind=kind,
        application_key=due.application_key,
        promotion_id=due.promotion_id,
        text=wording.of_post(due, app.promotions.language),
        state=PostState.PROPOSED,
        not_before=due.not_before,
        due_by=due.due_by,
        expires_at=due.closes_at if kind is PostKind.CONDITIONS else None,
        created_at=now,
    )
    if app.group_id is None:
        return post.drafted("the configuration names no group_id")
    if app.access_token is None:
        return post.drafted("the configuration has no access_token")
    return _approved_if_automatic(post, app, now)


def notification_due(due: NotificationDue, app: App, wording: Wording, now: datetime) -> Post:
    """Return the notification that a promotion wants, or its rehearsal."""
    kind = PostKind.NOTIFICATION if due.audience is Audience.PUBLIC else PostKind.REHEARSAL
    post = Post(
        id=derive_id("post", due.promotion_id, kind),
        kind=kind,
        application_key=due.application_key,
        promotion_id=due.promotion_id,
        text=wording.of_notification(due, app.promotions.language),
        state=PostState.PROPOSED,
        not_before=due.not_before,
        due_by=due.due_by,
        expires_at=due.expires_at,
        created_at=now,
    )
    return _approved_if_automatic(post, app, now)


def _approved_if_automatic(post: Post, app: App, now: datetime) -> Post:
    if app.promotions.publishing != "automatic":
        return post
    # A game's long name can make a notification longer than OK takes.
    problem = text_problem(post.kind, post.text)
    return post.drafted(problem) if problem else post.approved("the configuration", now)


def text_problem(kind: PostKind, text: str) -> str | None:
    """Say why OK would not take a text, None where it does; the lengths are notifications.sendMass's and our own."""
    longest = LONGEST_POST if kind.is_in_group else LONGEST_NOTIFICATION
    if not text.strip():
        return "the text is empty"
    if "\0" in text:
        return "the text holds a NUL"
    if len(text) > longest:
        return f"the text has {len(text)} characters, and OK takes {longest}"
    return None


def is_ok_link(url: str) -> bool:
    """Tell whether a link leads to OK's portal."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and parts.netloc in _OK_HOSTS and len(url) <= 512 and url.isprintable()


@dataclass(frozen=True, slots=True)
class Allowance:
    """Count an application's notifications: public ones that players can see, and all since 04:00 in Moscow."""

    live: int = 0
    today: int = 0


def allowance_start(now: datetime) -> datetime:
    """Return when OK began to count the day's notifications: 04:00 in Moscow, as its page on limits says."""
    local = now.astimezone(_MOSCOW) - _ALLOWANCE_STARTS
    return local.replace(hour=0, minute=0, second=0, microsecond=0) + _ALLOWANCE_STARTS


def begun(post: Post, allowance: Allowance, now: datetime) -> Post:
    """Return an approved post as it stands once its time has come: attempted, or left to a person."""
    if post.expires_at is not None and post.expires_at <= now:
        return post.drafted("its time is over")
    if not post.kind.is_in_group and (problem := _notification_problem(post, allowance, now)):
        return post.drafted(problem)
    return post.attempted(now)


def _notification_problem(post: Post, allowance: Allowance, now: datetime) -> str | None:
    if post.expires_at is None or post.expires_at >= now + _EXPIRES_WITHIN:
        return "OK takes notifications that expire within 14 days"
    if allowance.today >= NOTIFICATIONS_A_DAY:
        return f"{NOTIFICATIONS_A_DAY} notifications went out since 04:00 MSK, and OK takes no more"
    if post.kind is PostKind.NOTIFICATION and allowance.live >= LIVE_NOTIFICATIONS:
        return f"players see {LIVE_NOTIFICATIONS} notifications already, and OK would hide the oldest"
    return None


def events_of(posts: Sequence[Post], now: datetime) -> list[PromotionDelivery]:
    """Return the events of posts that were just published, or that now wait for a person."""
    return [event for post in posts if (event := _event_of(post, now)) is not None]


def _event_of(post: Post, now: datetime) -> PromotionDelivery | None:
    if post.state is PostState.PUBLISHED:
        return _published(post, post.published_at or now)
    if post.state in {PostState.PROPOSED, PostState.DRAFT} and post.kind.is_in_group:
        return GroupPostDrafted(
            # It can be left to a person, approved, and left to a person again.
            id=derive_id("post drafted", post.id, now.isoformat()),
            occurred_at=now,
            application_key=post.application_key,
            promotion_id=post.promotion_id,
            post=PromotionPost(post.kind),
            text=post.text,
            reason=post.reason,
        )
    return None


def _published(post: Post, at: datetime) -> PromotionDelivery:
    event_id = derive_id("post published", post.id)
    match post.kind:
        case PostKind.CONDITIONS | PostKind.WINNER:
            return GroupPostPublished(
                id=event_id,
                occurred_at=at,
                application_key=post.application_key,
                promotion_id=post.promotion_id,
                post=PromotionPost(post.kind),
                text=post.text,
                link=post.url or "",
                by=post.published_by,
            )
        case PostKind.REHEARSAL | PostKind.NOTIFICATION:
            return NotificationSent(
                id=event_id,
                occurred_at=at,
                application_key=post.application_key,
                promotion_id=post.promotion_id,
                audience=Audience.PUBLIC if post.kind is PostKind.NOTIFICATION else Audience.ADMINS_ONLY,
                text=post.text,
                notification_id=post.ok_id,
                by=post.published_by,
            )
        case _:
            assert_never(post.kind)
