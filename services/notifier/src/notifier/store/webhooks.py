from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from notifier.domain.delivery import delivery_id
from notifier.domain.lane import LaneKey
from notifier.domain.webhook import Webhook
from okgames.database import Tx


async def save_webhooks(tx: Tx, addressed: Sequence[tuple[Webhook, UUID]], now: datetime) -> None:
    """Keep webhooks and, for each id of an endpoint that one is addressed to, a pending delivery."""
    await tx.execute(
        """
        insert into webhooks (event_id, type, body)
        select * from unnest($1::uuid[], $2::text[], $3::text[])
        on conflict do nothing
        """,
        *zip(*{(webhook.event_id, webhook.type, webhook.body) for webhook, _ in addressed}, strict=True),
    )
    # Updating a lane that is there locks it, so that nobody finds it empty and deletes it meanwhile.
    await tx.execute(
        """
        insert into lanes (endpoint_id, uid, due_at)
        select *, $3 from unnest($1::uuid[], $2::text[])
        on conflict (endpoint_id, uid) do update set due_at = lanes.due_at
        """,
        *zip(*sorted({LaneKey(endpoint_id, webhook.uid) for webhook, endpoint_id in addressed}), strict=True),
        now,
    )
    await tx.execute(
        """
        insert into deliveries (id, endpoint_id, event_id, application_key, uid, created_at)
        select id, endpoint_id, event_id, application_key, uid, $6
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[]) with ordinality
            as d (id, endpoint_id, event_id, application_key, uid, place)
        order by place
        on conflict do nothing
        """,
        *zip(*(_delivery_row(webhook, endpoint_id) for webhook, endpoint_id in addressed), strict=True),
        now,
    )


def _delivery_row(webhook: Webhook, endpoint_id: UUID) -> tuple[UUID, UUID, UUID, str, str]:
    id_ = delivery_id(webhook.event_id, endpoint_id)
    return id_, endpoint_id, webhook.event_id, webhook.application_key, webhook.uid
