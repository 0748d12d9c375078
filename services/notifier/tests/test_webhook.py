from datetime import date, datetime, timedelta
from typing import get_args

import orjson
import pytest
from notifier_world import KEY, reward

from notifier.domain.webhook import WEBHOOK_TYPES, Webhook, ping_body, webhook_of
from okgames.catalogue import WebhookFilter
from okgames.events import (
    DeadlineMissed,
    DeadlineNear,
    DrawUnresolved,
    Entitlement,
    EntitlementExtended,
    EntitlementGranted,
    EntitlementLapsed,
    EntitlementRecovered,
    EntitlementRevoked,
    EntitlementState,
    JiraRequestDue,
    PromotionCancelled,
    PromotionClosed,
    PromotionEvent,
    PromotionOpened,
    PromotionScheduled,
    TrialStarted,
    WinnerDrawn,
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


PROMOTION = {
    "application_key": KEY,
    "promotion_id": derive_id("promotion"),
    "game": "Backgammon",
    "day": date(2026, 3, 3),
}
FACT = {"id": derive_id("fact"), "occurred_at": AT} | PROMOTION
WINDOW = {"opens_at": AT, "closes_at": UNTIL, "prizes_oks": (1000,)}
TOLD_WINDOW = {"opens_at": AT.isoformat(), "closes_at": UNTIL.isoformat(), "prizes_oks": [1000]}
DEADLINE = {"step": "draw", "deadline": UNTIL}
TOLD_DEADLINE = {"step": "draw", "deadline": UNTIL.isoformat()}
WINNER = {"uid": "5", "prize_oks": 1000, "name": None, "profile_url": "https://ok.ru/profile/5"}


@pytest.mark.parametrize(
    ("event", "kind", "data"),
    [
        (PromotionScheduled(**FACT, **WINDOW), "promotion.scheduled", TOLD_WINDOW),
        (PromotionCancelled(**FACT, reason="declined"), "promotion.cancelled", {"reason": "declined"}),
        (PromotionOpened(**FACT, **WINDOW, discounts=()), "promotion.opened", TOLD_WINDOW | {"discounts": []}),
        (
            PromotionClosed(**FACT, closed_at=UNTIL, payers=2, payments=3, amount_oks=150),
            "promotion.closed",
            {"closed_at": UNTIL.isoformat(), "payers": 2, "payments": 3, "amount_oks": 150},
        ),
        (
            WinnerDrawn(**FACT, place=1, winner={**WINNER, "is_payer": True}),
            "promotion.winner_drawn",
            {"place": 1, **WINNER},
        ),
        (
            DrawUnresolved(**FACT, reason="no answer", attempted_at=UNTIL),
            "promotion.draw_unresolved",
            {"reason": "no answer", "attempted_at": UNTIL.isoformat()},
        ),
        (
            DeadlineNear(**FACT, **DEADLINE, left=timedelta(hours=3)),
            "promotion.deadline_near",
            TOLD_DEADLINE | {"left": "PT3H"},
        ),
        (DeadlineMissed(**FACT, **DEADLINE), "promotion.deadline_missed", TOLD_DEADLINE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_game_is_told_of_its_promotions(event: PromotionEvent, kind: str, data: dict[str, object]) -> None:
    webhook = webhook_of(event)

    assert webhook is not None
    assert (event.id, KEY, "", kind) == (webhook.event_id, webhook.application_key, webhook.uid, webhook.type)
    told = orjson.loads(webhook.body)
    promotion = {**PROMOTION, "promotion_id": str(derive_id("promotion")), "day": "2026-03-03"}
    assert {"type": kind, "timestamp": AT.isoformat(), "data": {**promotion, **data}} == told


def test_every_type_of_webhook_can_be_chosen_in_the_configuration() -> None:
    assert set(WEBHOOK_TYPES.values()) <= set(get_args(WebhookFilter))


def test_a_game_is_not_told_what_it_has_no_webhook_for() -> None:
    event = TrialStarted(
        id=derive_id("trial"), occurred_at=AT, application_key=KEY, uid="1", product="apples", ends_at=UNTIL
    )
    request = JiraRequestDue(**FACT, title="1,000 OKs", prizes_oks=(1000,), due_by=UNTIL)

    assert webhook_of(event) is None
    assert webhook_of(request) is None


def test_a_ping_says_nothing() -> None:
    expected = {"type": "ping", "timestamp": "2026-03-02T13:00:00+03:00", "data": {}}

    assert expected == orjson.loads(ping_body(AT))
