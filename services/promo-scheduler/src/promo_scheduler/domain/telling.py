from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Final, TypedDict
from uuid import UUID

from okgames.events import (
    Audience,
    DeadlineMissed,
    DeadlineNear,
    Discount,
    DrawUnresolved,
    GroupPostDue,
    JiraAttachmentDue,
    JiraRequestDue,
    NotificationDue,
    PromotionCancelled,
    PromotionClosed,
    PromotionOpened,
    PromotionPost,
    PromotionScheduled,
    PromotionStep,
    Winner,
    WinnerDrawn,
    derive_id,
)
from promo_scheduler.domain.calendar import moscow_time
from promo_scheduler.domain.promotion import Evidence, Picture, Promotion

TITLE_MARK: Final = "1,000 OKs"
"""What OK wants to find in the name of the JIRA request."""

_LAST_MINUTE: Final = time(23, 59)


class _Common(TypedDict):
    id: UUID
    occurred_at: datetime
    application_key: str
    promotion_id: UUID
    game: str
    day: date


def jira_title(promotion: Promotion) -> str:
    return f"{TITLE_MARK}: {promotion.game}, {promotion.day}"


def scheduled(promotion: Promotion) -> PromotionScheduled:
    return PromotionScheduled(
        **_common(promotion, promotion.planned_at, "scheduled"),
        opens_at=promotion.opens_at,
        closes_at=promotion.closes_at,
        prizes_oks=promotion.prizes_oks,
    )


def cancelled(promotion: Promotion, now: datetime) -> PromotionCancelled:
    return PromotionCancelled(**_common(promotion, now, "cancelled"), reason=promotion.reason or "")


def request_due(promotion: Promotion) -> JiraRequestDue:
    return JiraRequestDue(
        **_common(promotion, promotion.planned_at, "request_due"),
        title=jira_title(promotion),
        prizes_oks=promotion.prizes_oks,
        due_by=promotion.steps[PromotionStep.REQUEST].due_at,
    )


def attachment_due(promotion: Promotion, evidence: Evidence, picture: Picture) -> JiraAttachmentDue:
    return JiraAttachmentDue(
        **_common(promotion, evidence.recorded_at, "attachment_due", evidence.id),
        evidence_id=evidence.id,
        file_name=picture.file_name,
        media_type=picture.media_type,
        sha256=picture.sha256,
        due_by=promotion.steps[PromotionStep.SCREENSHOT].due_at,
    )


def conditions_due(promotion: Promotion, now: datetime) -> GroupPostDue:
    return _post_due(promotion, now, PromotionPost.CONDITIONS, PromotionStep.CONDITIONS_POST, ())


def winner_post_due(promotion: Promotion, now: datetime, winners: Sequence[Winner]) -> GroupPostDue:
    return _post_due(promotion, now, PromotionPost.WINNER, PromotionStep.WINNER_POST, winners)


def _post_due(
    promotion: Promotion, now: datetime, post: PromotionPost, step: PromotionStep, winners: Sequence[Winner]
) -> GroupPostDue:
    return GroupPostDue(
        **_common(promotion, now, "post_due", post),
        post=post,
        opens_at=promotion.opens_at,
        closes_at=promotion.closes_at,
        prizes_oks=promotion.prizes_oks,
        winners=tuple(winners),
        not_before=promotion.steps[step].not_before,
        due_by=promotion.steps[step].due_at,
    )


def rehearsal_due(promotion: Promotion, now: datetime) -> NotificationDue:
    return _notification_due(promotion, now, Audience.ADMINS_ONLY, PromotionStep.REHEARSAL)


def notification_due(promotion: Promotion, now: datetime) -> NotificationDue:
    return _notification_due(promotion, now, Audience.PUBLIC, PromotionStep.NOTIFICATION)


def _notification_due(promotion: Promotion, now: datetime, audience: Audience, step: PromotionStep) -> NotificationDue:
    return NotificationDue(
        **_common(promotion, now, "notification_due", audience),
        audience=audience,
        prizes_oks=promotion.prizes_oks,
        not_before=promotion.steps[step].not_before,
        due_by=promotion.steps[step].due_at,
        expires_at=moscow_time(promotion.day, _LAST_MINUTE),
    )


def opened(promotion: Promotion, discounts: Sequence[Discount]) -> PromotionOpened:
    return PromotionOpened(
        **_common(promotion, promotion.opens_at, "opened"),
        opens_at=promotion.opens_at,
        closes_at=promotion.closes_at,
        prizes_oks=promotion.prizes_oks,
        discounts=tuple(discounts),
    )


def closed(promotion: Promotion) -> PromotionClosed:
    return PromotionClosed(
        **_common(promotion, promotion.closes_at, "closed"),
        closed_at=promotion.closes_at,
        payers=promotion.takings.payers,
        payments=promotion.takings.payments,
        amount_oks=promotion.takings.amount_oks,
    )


def winner_drawn(promotion: Promotion, place: int, winner: Winner, now: datetime) -> WinnerDrawn:
    return WinnerDrawn(**_common(promotion, now, "winner_drawn", place), place=place, winner=winner)


def draw_unresolved(promotion: Promotion, reason: str, attempted_at: datetime, now: datetime) -> DrawUnresolved:
    return DrawUnresolved(**_common(promotion, now, "draw_unresolved"), reason=reason, attempted_at=attempted_at)


def deadline_near(promotion: Promotion, step: PromotionStep, deadline: datetime, left: timedelta) -> DeadlineNear:
    return DeadlineNear(
        **_common(promotion, deadline - left, "deadline_near", step, left), step=step, deadline=deadline, left=left
    )


def deadline_missed(promotion: Promotion, step: PromotionStep, deadline: datetime) -> DeadlineMissed:
    return DeadlineMissed(**_common(promotion, deadline, "deadline_missed", step), step=step, deadline=deadline)


def _common(promotion: Promotion, occurred_at: datetime, *what: object) -> _Common:
    return {
        "id": derive_id("promotion_event", promotion.id, *what),
        "occurred_at": occurred_at,
        "application_key": promotion.application_key,
        "promotion_id": promotion.id,
        "game": promotion.game,
        "day": promotion.day,
    }
