from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from okgames.events import (
    DeadlineMissed,
    DeadlineNear,
    DrawUnresolved,
    Entitlement,
    EntitlementChanged,
    EntitlementExtended,
    EntitlementGranted,
    EntitlementLapsed,
    EntitlementRecovered,
    EntitlementRevoked,
    Event,
    PlayerEvent,
    PromotionCancelled,
    PromotionClosed,
    PromotionOpened,
    PromotionScheduled,
    RewardGranted,
    WinnerDrawn,
)

WEBHOOK_TYPES: Final[Mapping[type[Event], str]] = {
    RewardGranted: "reward.granted",
    EntitlementGranted: "entitlement.changed",
    EntitlementExtended: "entitlement.changed",
    EntitlementRevoked: "entitlement.changed",
    EntitlementLapsed: "entitlement.changed",
    EntitlementRecovered: "entitlement.changed",
    PromotionScheduled: "promotion.scheduled",
    PromotionCancelled: "promotion.cancelled",
    PromotionOpened: "promotion.opened",
    PromotionClosed: "promotion.closed",
    WinnerDrawn: "promotion.winner_drawn",
    DrawUnresolved: "promotion.draw_unresolved",
    DeadlineNear: "promotion.deadline_near",
    DeadlineMissed: "promotion.deadline_missed",
}
"""What a game is told; what else happens is between okgames and OK."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """
    Say what a game is told about an event; the body is sent byte for byte on every attempt.

    `uid` is empty where it is about a promotion: an application's go in order, as those about one player do.
    """

    event_id: UUID
    application_key: str
    uid: str
    type: str
    body: str


def webhook_of(event: Event) -> Webhook | None:
    """Return what a game is told about an event, None where that is nothing."""
    kind = WEBHOOK_TYPES.get(type(event))
    if kind is None:
        return None
    uid = event.uid if isinstance(event, PlayerEvent) else ""
    body = orjson.dumps({"type": kind, "timestamp": event.occurred_at, "data": _told(event)}).decode()
    return Webhook(event.id, event.application_key, uid, kind, body)


def ping_body(now: datetime) -> bytes:
    """Return the body of a webhook that only asks whether the endpoint answers."""
    return orjson.dumps({"type": "ping", "timestamp": now, "data": {}})


def _told(event: Event) -> dict[str, object]:
    match event:
        case RewardGranted():
            return _reward(event)
        case EntitlementChanged():
            return _change(event)
    told = event.model_dump(mode="json", exclude={"id", "occurred_at"})
    if isinstance(event, WinnerDrawn):
        # The winner stands beside the rest, and the game has no use for our doubts about OK.
        winner = told.pop("winner")
        told |= {name: winner[name] for name in ("uid", "name", "profile_url", "prize_oks")}
    return told


def _reward(event: RewardGranted) -> dict[str, object]:
    return {
        "reward_id": event.reward_id,
        "application_key": event.application_key,
        "uid": event.uid,
        "product": event.product,
        "item": event.item,
        "quantity": event.quantity,
        "reason": event.reason,
        "transaction_id": event.transaction_id,
        "occurred_at": event.occurred_at,
    }


def _change(event: EntitlementChanged) -> dict[str, object]:
    return {
        "application_key": event.application_key,
        "uid": event.uid,
        "product": event.product,
        "state": event.state,
        "entitled": event.entitled,
        "until": event.until,
        "version": event.version,
        "cause": event.cause,
        "entitlements": [_entitlement(entitlement) for entitlement in event.entitlements],
    }


def _entitlement(entitlement: Entitlement) -> dict[str, object]:
    return {
        "product": entitlement.product,
        "state": entitlement.state,
        "entitled": entitlement.entitled,
        "until": entitlement.until,
        "since": entitlement.since,
        "reason": entitlement.reason,
    }
