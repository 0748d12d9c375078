from datetime import datetime

import orjson
import pytest
from notifier_world import KEY, reward

from notifier.domain.webhook import Webhook, ping_body, webhook_of
from okgames.events import (
    Entitlement,
    EntitlementExtended,
    EntitlementGranted,
    EntitlementLapsed,
    EntitlementRecovered,
    EntitlementRevoked,
    EntitlementState,
    TrialStarted,
    derive_id,
)

AT = datetime.fromisoformat("2026-03-02T13:00:00+03:00")
UNTIL = datetime.fromisoformat("2026-03-09T13:00:00+03:00")


def test_a_reward_is_told_with_what_the_game_needs_to_give_it_once() -> None:
    event = reward("570000000001", 1, at=AT)
    webhook = webhook_of(event)

    assert isinstance(webhook, Webhook)
    assert (event.id, KEY, "570000000001", "reward.granted") == (
        webhook.event_id,
        webhook.application_key,
        webhook.uid,
        webhook.type,
    )
    assert {
        "type": "reward.granted",
        "timestamp": "2026-03-02T13:00:00+03:00",
        "data": {
            "reward_id": str(derive_id("reward", "570000000001", 1)),
            "application_key": KEY,
            "uid": "570000000001",
            "product": "apples",
            "item": "1",
            "quantity": 3,
            "reason": "daily",
            "transaction_id": None,
            "occurred_at": "2026-03-02T13:00:00+03:00",
        },
    } == orjson.loads(webhook.body)


@pytest.mark.parametrize(
    "kind",
    [
        EntitlementGranted,
        EntitlementExtended,
        EntitlementRevoked,
        EntitlementLapsed,
        EntitlementRecovered,
    ],
)
def test_any_change_of_an_entitlement_is_told_with_the_whole_snapshot(
    kind: type[EntitlementGranted],
) -> None:
    entitlement = Entitlement(
        product="apples",
        state=EntitlementState.ACTIVE,
        entitled=True,
        until=UNTIL,
        since=AT,
        reason="Paid until then.",
    )
    event = kind(
        id=derive_id("change"),
        occurred_at=AT,
        application_key=KEY,
        uid="1",
        product="apples",
        state=EntitlementState.ACTIVE,
        entitled=True,
        until=UNTIL,
        version=7,
        cause="payment",
        entitlements=(entitlement,),
    )
    webhook = webhook_of(event)

    assert webhook is not None
    assert "entitlement.changed" == webhook.type
    assert {
        "type": "entitlement.changed",
        "timestamp": "2026-03-02T13:00:00+03:00",
        "data": {
            "application_key": KEY,
            "uid": "1",
            "product": "apples",
            "state": "active",
            "entitled": True,
            "until": "2026-03-09T13:00:00+03:00",
            "version": 7,
            "cause": "payment",
            "entitlements": [
                {
                    "product": "apples",
                    "state": "active",
                    "entitled": True,
                    "until": "2026-03-09T13:00:00+03:00",
                    "since": "2026-03-02T13:00:00+03:00",
                    "reason": "Paid until then.",
                }
            ],
        },
    } == orjson.loads(webhook.body)


def test_a_game_is_not_told_what_it_has_no_webhook_for() -> None:
    event = TrialStarted(
        id=derive_id("trial"), occurred_at=AT, application_key=KEY, uid="1", product="apples", ends_at=UNTIL
    )

    assert webhook_of(event) is None


def test_a_ping_says_nothing() -> None:
    expected = {"type": "ping", "timestamp": "2026-03-02T13:00:00+03:00", "data": {}}

    assert expected == orjson.loads(ping_body(AT))
