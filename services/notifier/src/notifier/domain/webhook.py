from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from okgames.events import Entitlement, EntitlementChanged, Event, PlayerEvent, RewardGranted


@dataclass(frozen=True, slots=True)
class Webhook:
    """Say what a game is told about an event; the body is sent byte for byte on every attempt."""

    event_id: UUID
    application_key: str
    uid: str
    type: str
    body: str


def webhook_of(event: Event) -> Webhook | None:
    """Return what a game is told about an event, None where that is nothing."""
    match event:
        case RewardGranted():
            return _webhook(event, "reward.granted", _reward(event))
        case EntitlementChanged():
            return _webhook(event, "entitlement.changed", _change(event))
        case _:
            return None


def ping_body(now: datetime) -> bytes:
    """Return the body of a webhook that only asks whether the endpoint answers."""
    return orjson.dumps({"type": "ping", "timestamp": now, "data": {}})


def _webhook(event: PlayerEvent, kind: str, data: dict[str, object]) -> Webhook:
    body = orjson.dumps({"type": kind, "timestamp": event.occurred_at, "data": data}).decode()
    return Webhook(event.id, event.application_key, event.uid, kind, body)


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
