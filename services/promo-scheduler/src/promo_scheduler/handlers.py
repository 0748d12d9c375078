from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import (
    AttachmentAdded,
    Audience,
    Event,
    GroupPostDrafted,
    GroupPostPublished,
    IssueCreated,
    NotificationSent,
    PrizeFundConfirmed,
    PromotionPost,
    PromotionStep,
    RequestApproved,
    RequestDeclined,
)
from okgames.outbox import append
from promo_scheduler.domain.actions import Said, approve, confirm_fund, decline, note, request, show
from promo_scheduler.domain.promotion import Change, EvidenceKind, NotNow, Promotion
from promo_scheduler.store.payers import Payment, count_payments
from promo_scheduler.store.promotions import lock_promotions, save_changes

Heard: TypeAlias = IssueCreated | RequestApproved | RequestDeclined | PrizeFundConfirmed | AttachmentAdded
Sent: TypeAlias = GroupPostPublished | GroupPostDrafted | NotificationSent
Decide: TypeAlias = Callable[[Promotion, Event, datetime], Change | None]

_POSTS: Final = {
    PromotionPost.CONDITIONS: PromotionStep.CONDITIONS_POST,
    PromotionPost.WINNER: PromotionStep.WINNER_POST,
}
_NOTIFICATIONS: Final = {
    Audience.ADMINS_ONLY: PromotionStep.REHEARSAL,
    Audience.PUBLIC: PromotionStep.NOTIFICATION,
}

logger = structlog.get_logger()


async def on_payments(clock: Clock, tx: Tx, events: Sequence[Payment]) -> None:
    """Count who took part. A trial is no payment, and a subscription's charge is one."""
    await count_payments(tx, events, await clock.now())


async def on_jira(clock: Clock, tx: Tx, events: Sequence[Heard]) -> None:
    """Take what OK's people said in JIRA as they would say it to us."""
    await _apply(clock, tx, events, _heard)


async def on_deliveries(clock: Clock, tx: Tx, events: Sequence[Sent]) -> None:
    """Take posts and notifications that went out as evidence of their steps."""
    await _apply(clock, tx, events, _sent)


async def _apply(clock: Clock, tx: Tx, events: Sequence[Heard | Sent], decide: Decide) -> None:
    ids = {event.promotion_id for event in events if event.promotion_id is not None}
    if not ids:
        return
    now = await clock.now()
    # What the time alone does is left to its job, which waits until all payments by then have been counted.
    before = await lock_promotions(tx, list(ids))
    changes: dict[UUID, Change] = {}
    for event in events:
        promotion = None if event.promotion_id is None else before.get(event.promotion_id)
        if promotion is None:
            continue
        so_far = changes.get(promotion.id, Change(promotion))
        try:
            change = decide(so_far.promotion, event, now)
        except NotNow as error:
            logger.warning("evidence_refused", promotion_id=str(promotion.id), said=event.type, reason=str(error))
            continue
        if change is not None:
            changes[promotion.id] = Change(
                change.promotion, (*so_far.events, *change.events), (*so_far.evidence, *change.evidence)
            )
    await save_changes(tx, before, list(changes.values()))
    await append(tx, *(event for change in changes.values() for event in change.events))


def _heard(promotion: Promotion, event: Event, now: datetime) -> Change | None:
    match event:
        case IssueCreated():
            return request(promotion, _said(event, "JIRA", event.url, now), event.title, now)
        case RequestApproved():
            return approve(promotion, _said(event, "OK, in JIRA", event.link, now), now)
        case RequestDeclined():
            return decline(promotion, _said(event, "OK, in JIRA", event.reason, now, EvidenceKind.WORD), now)
        case PrizeFundConfirmed():
            return confirm_fund(promotion, _said(event, "OK, in JIRA", event.link, now), event.amount_oks, now)
        case AttachmentAdded(evidence_id=evidence_id) if evidence_id is not None:
            words = f"Attached to {event.issue_key}: {event.file_name}"
            return note(promotion, PromotionStep.SCREENSHOT, _said(event, "JIRA", words, now, EvidenceKind.WORD), now)
        case _:
            return None


def _sent(promotion: Promotion, event: Event, now: datetime) -> Change | None:
    match event:
        case GroupPostPublished():
            step = _POSTS[event.post]
            shown = show(promotion, step, _said(event, event.by or "notifier", event.link, now), now)
            text = note(promotion, step, _said(event, "notifier", event.text, now, EvidenceKind.WORD), now)
            return replace(shown, evidence=(*shown.evidence, *text.evidence))
        case GroupPostDrafted():
            said = _said(event, "notifier", event.text, now, EvidenceKind.WORD)
            return note(promotion, _POSTS[event.post], said, now)
        case NotificationSent():
            said = (
                _said(event, event.by or "notifier", event.text, now, EvidenceKind.WORD)
                if event.notification_id is None
                else _said(event, "notifier", event.notification_id, now, EvidenceKind.ANSWER)
            )
            return show(promotion, _NOTIFICATIONS[event.audience], said, now)
        case _:
            return None


def _said(event: Event, by: str, text: str, now: datetime, kind: EvidenceKind = EvidenceKind.LINK) -> Said:
    # The clocks of two machines may differ a little; what was told has happened.
    return Said(by, kind, text, min(event.occurred_at, now))
