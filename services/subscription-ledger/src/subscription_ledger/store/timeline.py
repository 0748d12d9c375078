from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from okgames.database import Tx
from okgames.events import WebhookDelivered, WebhookExhausted
from subscription_ledger.store.columns import PlayerKey

_DELIVERY_COLUMNS = (
    "event_id",
    "application_key",
    "uid",
    "delivery_id",
    "endpoint_id",
    "carried_event_id",
    "webhook_type",
    "was_delivered",
    "attempts",
    "status",
    "occurred_at",
    "learned_at",
)


Outcome: TypeAlias = WebhookDelivered | WebhookExhausted


async def save_deliveries(tx: Tx, outcomes: Sequence[Outcome], learned_at: datetime) -> None:
    await tx.copy_records_to_table(
        "deliveries",
        columns=_DELIVERY_COLUMNS,
        records=[
            (
                outcome.id,
                outcome.application_key,
                outcome.uid,
                outcome.delivery_id,
                outcome.endpoint_id,
                outcome.event_id,
                outcome.webhook_type,
                isinstance(outcome, WebhookDelivered),
                outcome.attempts,
                outcome.status,
                outcome.occurred_at,
                learned_at,
            )
            for outcome in outcomes
        ],
    )


TimelinePlace: TypeAlias = tuple[datetime, int, UUID]
"""When it happened, what kind of thing it is, and its id."""


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """Hold one thing that happened to a player; `details` is JSON."""

    place: TimelinePlace
    what: str
    learned_at: datetime
    details: str


async def find_timeline(tx: Tx, key: PlayerKey, after: TimelinePlace | None, limit: int) -> list[TimelineItem]:
    """Return what happened to a player after a place in the timeline, oldest first."""
    rows = await tx.fetch(
        """
        with items as (
            select occurred_at, 0 as rank, event_id as id, 'callback' as what, learned_at, json_build_object(
                'kind', kind, 'product', product, 'ends_at', ends_at, 'amount_oks', amount_oks,
                'transaction_id', transaction_id
            ) as details
            from entries where application_key = $1 and uid = $2
            union all
            select occurred_at, 1, event_id, 'entitlement', learned_at, json_build_object(
                'type', type, 'product', product, 'state', state, 'entitled', entitled, 'until', until,
                'version', version, 'cause', cause
            )
            from changes where application_key = $1 and uid = $2
            union all
            select occurred_at, 2, reward_id, 'reward', learned_at, json_build_object(
                'product', product, 'item', item, 'quantity', quantity, 'reason', kind,
                'transaction_id', transaction_id, 'callback_id', event_id
            )
            from entries where application_key = $1 and uid = $2 and reward_id is not null
            union all
            select occurred_at, 2, reward_id, 'reward', granted_at, json_build_object(
                'product', product, 'item', item, 'quantity', quantity, 'reason', 'daily',
                'transaction_id', transaction_id, 'callback_id', fact_id
            )
            from slots where application_key = $1 and uid = $2
            union all
            select occurred_at, 3, event_id, 'delivery', learned_at, json_build_object(
                'delivery_id', delivery_id, 'endpoint_id', endpoint_id, 'event_id', carried_event_id,
                'webhook_type', webhook_type, 'delivered', was_delivered, 'attempts', attempts, 'status', status
            )
            from deliveries where application_key = $1 and uid = $2
        )
        select *
        from items
        where $3::timestamptz is null or (occurred_at, rank, id) > ($3, $4::int, $5::uuid)
        order by occurred_at, rank, id
        limit $6
        """,
        *key,
        *(after or (None, None, None)),
        limit,
    )
    return [
        TimelineItem((row["occurred_at"], row["rank"], row["id"]), row["what"], row["learned_at"], row["details"])
        for row in rows
    ]
