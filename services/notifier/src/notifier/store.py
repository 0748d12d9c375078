from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

import asyncpg

from notifier.domain.delivery import Delivered, DeliveryState, delivery_id
from notifier.domain.endpoint import Endpoint, Health, Pause
from notifier.domain.lane import Attempt, Lane, LaneKey, PendingDelivery, Release
from notifier.domain.report import AttemptReport, DeliveryReport, EndpointReport, Found, Selection
from notifier.domain.webhook import Webhook
from okgames.database import Tx
from okgames.retry import Exhausted

_DELIVERIES_OF_LANE: Final = 10


async def save_endpoints(tx: Tx, endpoints: Sequence[Endpoint]) -> None:
    """Make the known endpoints those of the configuration; others stay, marked, with what is pending for them."""
    await tx.execute(
        """
        with named as (
            insert into endpoints (id, application_key, url, configured)
            select *, true from unnest($1::uuid[], $2::text[], $3::text[])
            on conflict (id) do update set configured = true where not endpoints.configured
        )
        update endpoints set configured = false where configured and id <> all ($1)
        """,
        [endpoint.id for endpoint in endpoints],
        [endpoint.application_key for endpoint in endpoints],
        [endpoint.url for endpoint in endpoints],
    )


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


async def claim_lanes(tx: Tx, room: Mapping[UUID, int], now: datetime, lease: timedelta) -> list[Lane]:
    """Lease lanes that are due, for each active endpoint at most as many as there is room for."""
    # A lease that is lost with a crash of the server is only taken again.
    await tx.execute("set local synchronous_commit = off")
    rows = await tx.fetch(
        """
        with due as materialized (
            select due.endpoint_id, due.uid
            from unnest($1::uuid[], $2::int[]) as room (endpoint_id, lanes)
            join endpoints on endpoints.id = room.endpoint_id and endpoints.paused_at is null
            cross join lateral (
                select endpoint_id, uid
                from lanes
                where endpoint_id = room.endpoint_id
                    and due_at <= $3
                    and (leased_until is null or leased_until < clock_timestamp())
                order by due_at
                limit room.lanes
                for update skip locked
            ) as due
        )
        update lanes
        set leased_until = clock_timestamp() + $4
        from due
        where lanes.endpoint_id = due.endpoint_id and lanes.uid = due.uid
        returning lanes.endpoint_id, lanes.uid, lanes.leased_until
        """,
        list(room.keys()),
        list(room.values()),
        now,
        lease,
    )
    leases = {LaneKey(row["endpoint_id"], row["uid"]): row["leased_until"] for row in rows}
    pending = await _load_pending(tx, list(leases)) if leases else {}
    return [Lane(key, leased_until, pending.get(key, ())) for key, leased_until in leases.items()]


async def _load_pending(tx: Tx, keys: Sequence[LaneKey]) -> dict[LaneKey, tuple[PendingDelivery, ...]]:
    # A statement of its own: the claim's may still see what was pending before a lane was last given back.
    rows = await tx.fetch(
        """
        select lane.endpoint_id, lane.uid, d.id, d.event_id, d.step, webhooks.type, webhooks.body
        from unnest($1::uuid[], $2::text[]) with ordinality as lane (endpoint_id, uid, place)
        cross join lateral (
            select id, event_id, step, position
            from deliveries
            where endpoint_id = lane.endpoint_id and uid = lane.uid and state = 'pending'
            order by position
            limit $3
        ) as d
        join webhooks on webhooks.event_id = d.event_id
        order by lane.place, d.position
        """,
        *zip(*keys, strict=True),
        _DELIVERIES_OF_LANE,
    )
    return {
        key: tuple(
            PendingDelivery(row["id"], row["event_id"], row["type"], row["body"].encode(), row["step"])
            for row in of_lane
        )
        for key, of_lane in groupby(rows, lambda row: LaneKey(row["endpoint_id"], row["uid"]))
    }


async def find_next_due(tx: Tx, endpoint_ids: Sequence[UUID], now: datetime) -> datetime | None:
    """Return when the next lane of an active endpoint falls due, after now."""
    time: datetime | None = await tx.fetchval(
        """
        select min(next.due_at)
        from unnest($1::uuid[]) as wanted (id)
        join endpoints on endpoints.id = wanted.id and endpoints.paused_at is null
        cross join lateral (
            select due_at from lanes where endpoint_id = endpoints.id and due_at > $2 order by due_at limit 1
        ) as next
        """,
        endpoint_ids,
        now,
    )
    return time


async def lock_health(tx: Tx, endpoint_ids: Iterable[UUID]) -> dict[UUID, Health]:
    """Lock endpoints and return their health."""
    rows = await tx.fetch(
        """
        select id, failing_since, consecutive_failures
        from endpoints
        where id = any ($1::uuid[])
        order by id
        for no key update
        """,
        list(endpoint_ids),
    )
    return {row["id"]: Health(row["failing_since"], row["consecutive_failures"]) for row in rows}


async def save_health(tx: Tx, endpoint_id: UUID, health: Health) -> None:
    """Keep an endpoint's health."""
    await tx.execute(
        "update endpoints set failing_since = $2, consecutive_failures = $3 where id = $1",
        endpoint_id,
        health.failing_since,
        health.consecutive_failures,
    )


async def pause_endpoint(tx: Tx, endpoint_id: UUID, pause: Pause) -> bool:
    """Give an endpoint no more attempts; False if it is paused already."""
    status = await tx.execute(
        "update endpoints set paused_reason = $2, paused_at = $3 where id = $1 and paused_at is null",
        endpoint_id,
        pause.reason,
        pause.at,
    )
    return bool(status == "UPDATE 1")


async def resume_endpoint(tx: Tx, endpoint_id: UUID, now: datetime) -> None:
    """Give an endpoint attempts again: everything that waits for it is due now, and its schedule starts again."""
    await tx.execute(
        """
        update endpoints
        set paused_reason = null, paused_at = null, failing_since = null, consecutive_failures = 0
        where id = $1
        """,
        endpoint_id,
    )
    await tx.execute("update lanes set due_at = $2 where endpoint_id = $1 and due_at > $2", endpoint_id, now)
    await tx.execute(
        "update deliveries set step = 0 where endpoint_id = $1 and state = 'pending' and step > 0", endpoint_id
    )


async def lock_leases(tx: Tx, lanes: Iterable[Lane]) -> set[LaneKey]:
    """Lock lanes and return those that are still leased as they were claimed."""
    ordered = sorted({lane.key: lane.leased_until for lane in lanes}.items())
    rows = await tx.fetch(
        """
        select lanes.endpoint_id, lanes.uid, lanes.leased_until is not distinct from held.leased_until as is_held
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) with ordinality
            as held (endpoint_id, uid, leased_until, place)
        join lanes on lanes.endpoint_id = held.endpoint_id and lanes.uid = held.uid
        order by held.place
        for update of lanes
        """,
        *zip(*((*key, leased_until) for key, leased_until in ordered), strict=True),
    )
    return {LaneKey(row["endpoint_id"], row["uid"]) for row in rows if row["is_held"]}


async def save_attempts(tx: Tx, attempts: Sequence[Attempt]) -> None:
    """Keep attempts, in their order."""
    await tx.execute(
        """
        insert into attempts (delivery_id, at, status, latency_ms, answer, error)
        select delivery_id, at, status, latency_ms, answer, error
        from unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::text[], $6::text[]) with ordinality
            as a (delivery_id, at, status, latency_ms, answer, error, place)
        order by place
        """,
        *zip(
            *(
                (each.delivery.id, each.at, answer.status, answer.latency_ms, answer.beginning, answer.error)
                for each in attempts
                for answer in (each.answer,)
            ),
            strict=True,
        ),
    )


async def save_outcomes(tx: Tx, attempts: Sequence[Attempt], held: set[LaneKey]) -> dict[UUID, int]:
    """
    Move pending deliveries on and return the attempts made so far of those that are finished by it.

    Only a success counts where the lease of a lane was lost: who took the lane over decides the rest.
    """
    rows = await tx.fetch(
        """
        update deliveries as d
        set attempts = d.attempts + 1, step = coalesce(o.step, d.step), state = o.state, finished_at = o.finished_at
        from unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[]) as o (id, state, step, finished_at)
        where d.id = o.id and d.state = 'pending'
        returning d.id, d.attempts, d.state
        """,
        *zip(*(_outcome_row(attempt, is_held=attempt.lane.key in held) for attempt in attempts), strict=True),
    )
    return {row["id"]: row["attempts"] for row in rows if row["state"] != DeliveryState.PENDING}


def _outcome_row(attempt: Attempt, *, is_held: bool) -> tuple[UUID, DeliveryState, int | None, datetime | None]:
    delivery = attempt.delivery
    match attempt.outcome:
        case Delivered():
            return delivery.id, DeliveryState.DELIVERED, None, attempt.at
        case _ if not is_held:
            return delivery.id, DeliveryState.PENDING, None, None
        case Exhausted():
            return delivery.id, DeliveryState.EXHAUSTED, delivery.step + 1, attempt.at
        case _:
            return delivery.id, DeliveryState.PENDING, delivery.step + 1, None


async def release_lanes(tx: Tx, releases: Sequence[Release]) -> None:
    """Delete lanes that nothing is pending in and give the others back; their rows are locked already."""
    endpoint_ids, uids = zip(*(release.lane.key for release in releases), strict=True)
    status = await tx.execute(
        """
        delete from lanes
        using unnest($1::uuid[], $2::text[]) as released (endpoint_id, uid)
        where lanes.endpoint_id = released.endpoint_id and lanes.uid = released.uid
            and not exists (
                select from deliveries
                where endpoint_id = released.endpoint_id and uid = released.uid and state = 'pending'
            )
        """,
        endpoint_ids,
        uids,
    )
    if status == f"DELETE {len(releases)}":
        return
    await tx.execute(
        """
        update lanes
        set due_at = released.due_at, leased_until = null
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as released (endpoint_id, uid, due_at)
        where lanes.endpoint_id = released.endpoint_id and lanes.uid = released.uid
        """,
        endpoint_ids,
        uids,
        [release.due_at for release in releases],
    )


async def find_deliveries(tx: Tx, chosen: Selection, after: int, limit: int) -> list[Found]:
    """Return chosen deliveries whose positions come after this one, the oldest first."""
    rows = await tx.fetch(
        """
        select position, id
        from deliveries
        where ($1::text is null or application_key = $1)
            and ($2::text is null or uid = $2)
            and ($3::uuid is null or endpoint_id = $3)
            and ($4::text is null or state = $4)
            and ($5::timestamptz is null or created_at >= $5)
            and ($6::timestamptz is null or created_at < $6)
            and position > $7
        order by position
        limit $8
        """,
        chosen.application_key,
        chosen.uid,
        chosen.endpoint_id,
        chosen.state,
        chosen.since,
        chosen.before,
        after,
        limit,
    )
    return [Found(*row) for row in rows]


async def load_deliveries(tx: Tx, ids: Sequence[UUID]) -> list[DeliveryReport]:
    """Return deliveries with every attempt, the oldest first."""
    rows = await tx.fetch(
        """
        select d.id, d.endpoint_id, d.event_id, d.application_key, d.uid, w.type, d.state, d.created_at,
            case when d.state = 'pending' and e.paused_at is null then lanes.due_at end as next_attempt_at,
            d.finished_at, w.body,
            array(
                select row(at, status, latency_ms, answer, error) from attempts where delivery_id = d.id order by id
            ) as attempts
        from deliveries as d
        join webhooks as w on w.event_id = d.event_id
        join endpoints as e on e.id = d.endpoint_id
        left join lanes on lanes.endpoint_id = d.endpoint_id and lanes.uid = d.uid
        where d.id = any ($1::uuid[])
        order by d.position
        """,
        ids,
    )
    return [_delivery_report(row) for row in rows]


def _delivery_report(row: asyncpg.Record) -> DeliveryReport:
    attempts = tuple(AttemptReport(*each) for each in row["attempts"])
    return DeliveryReport(**{**row, "attempts": attempts})


async def resend_deliveries(tx: Tx, ids: Sequence[UUID], now: datetime) -> None:
    """Make deliveries pending again, due now, with their schedule from its start."""
    await tx.execute(
        """
        insert into lanes (endpoint_id, uid, due_at)
        select distinct endpoint_id, uid collate "C", $2::timestamptz
        from deliveries
        where id = any ($1::uuid[])
        order by endpoint_id, uid collate "C"
        on conflict (endpoint_id, uid) do update set due_at = least(lanes.due_at, excluded.due_at)
        """,
        ids,
        now,
    )
    await tx.execute(
        "update deliveries set state = 'pending', step = 0, finished_at = null where id = any ($1::uuid[])", ids
    )


async def load_endpoints(tx: Tx, endpoint_id: UUID | None = None) -> list[EndpointReport]:
    """Return all endpoints, or the one."""
    rows = await tx.fetch(
        """
        select id, application_key, url, configured, case when paused_at is null then 'active' else 'paused' end,
            paused_reason, paused_at, failing_since, consecutive_failures,
            (select count(*) from deliveries where endpoint_id = endpoints.id and state = 'pending')
        from endpoints
        where $1::uuid is null or id = $1
        order by application_key, url
        """,
        endpoint_id,
    )
    return [EndpointReport(*row) for row in rows]
