from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from notifier.domain.endpoint import Endpoint
from notifier.domain.post import Post, events_of, notification_due, post_due
from notifier.domain.webhook import webhook_of
from notifier.domain.wording import Wording
from notifier.store.posts import cancel_posts, save_posts
from notifier.store.webhooks import save_webhooks
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import Event, GroupPostDue, NotificationDue, PromotionCancelled
from okgames.outbox import append

ForPlayers: TypeAlias = GroupPostDue | NotificationDue | PromotionCancelled
"""What a promotion's posts and notifications follow from."""


@dataclass(frozen=True, slots=True)
class Studio:
    """Hold what the handlers need to know of the configuration; endpoints are by the application_key."""

    config: Config
    endpoints: Mapping[str, Sequence[Endpoint]]
    wording: Wording


async def on_entitlements(clock: Clock, studio: Studio, tx: Tx, events: Sequence[Event]) -> None:
    """Note what the games are to be told; jobs do the telling."""
    await _note_webhooks(clock, studio, tx, events)


async def on_promotions(clock: Clock, studio: Studio, tx: Tx, events: Sequence[Event]) -> None:
    """Note what games and players are to be told of promotions; jobs do the telling."""
    await _note_webhooks(clock, studio, tx, events)
    now = await clock.now()
    posts = [post for event in events if (post := _post_of(event, studio, now)) is not None]
    added = set(await save_posts(tx, posts)) if posts else set()
    # In this order: a promotion is planned and cancelled, never the other way round.
    if cancelled := [event.promotion_id for event in events if isinstance(event, PromotionCancelled)]:
        await cancel_posts(tx, cancelled, now)
    drafts = [post for post in posts if post.id in added and post.promotion_id not in set(cancelled)]
    await append(tx, *events_of(drafts, now))


def _post_of(event: Event, studio: Studio, now: datetime) -> Post | None:
    app = studio.config.app(event.application_key)
    if app is None:
        return None
    match event:
        case GroupPostDue():
            return post_due(event, app, studio.wording, now)
        case NotificationDue():
            return notification_due(event, app, studio.wording, now)
    return None


async def _note_webhooks(clock: Clock, studio: Studio, tx: Tx, events: Sequence[Event]) -> None:
    webhooks = [webhook for event in events if (webhook := webhook_of(event)) is not None]
    addressed = [
        (webhook, endpoint.id)
        for webhook in webhooks
        for endpoint in studio.endpoints.get(webhook.application_key, ())
        if endpoint.wants(webhook.type)
    ]
    if addressed:
        await save_webhooks(tx, addressed, await clock.now())
