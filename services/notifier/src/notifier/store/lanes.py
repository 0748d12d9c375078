from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from notifier.domain.lane import Lane, LaneKey, PendingDelivery, Release
from okgames.database import Tx

# A plan that is made while this queue is empty must not read the whole of it later. So rows are found by their key, one
# by one, in lateral subqueries that the planner cannot turn round, and changed where they were found, since they are
# locked.

_DELIVERIES_OF_LANE: Final = 10


async def claim_lanes(tx: Tx, room: Mapping[UUID, int], now: datetime, lease: timedelta, leased_by: int) -> list[Lane]:
    """
    Lease lanes that are due, for each active endpoint at most as many as there is room for.

    `leased_by` is the server's number of a connection that lasts as long as the process that leases.
    """
    # A lease that is lost with a crash of the server is only taken again. And a bitmap would be of all that is due.
    await tx.execute("set local synchronous_commit = off; set local enable_bitmapscan = off")
    due = await tx.fetch(
        """
        select due.endpoint_id, due.uid, (select clock_timestamp() + $4) as leased_until
        from unnest($1::uuid[], $2::int[]) as room (endpoint_id, lanes)
        join endpoints on endpoints.id = room.endpoint_id and endpoints.paused_at is null
        cross join lateral (
            select endpoint_id, uid
            from lanes
            where endpoint_id::text = room.endpoint_id::text
                and due_at <= $3
                and (leased_until is null or leased_until < clock_timestamp())
            order by due_at
            limit room.lanes
            for update skip locked
        ) as due
        """,
        list(room.keys()),
        list(room.values()),
        now,
        lease,
    )
    if not due:
        return []
    leased_until = due[0]["leased_until"]
    keys = [LaneKey(row["endpoint_id"], row["uid"]) for row in due]
    pending = await _lease(tx, keys, leased_until, leased_by)
    return [Lane(key, leased_until, tuple(of_lane)) for key, of_lane in zip(keys, pending, strict=True)]


async def free_lanes_of_the_dead(tx: Tx) -> None:
    """End the leases of processes that are gone, so that a restart need not wait for them to run out."""
    await tx.execute(
        """
        update lanes
        set leased_until = null
        where leased_until is not null and leased_by <> all (select pid from pg_stat_activity)
        """
    )


async def _lease(
    tx: Tx, keys: Sequence[LaneKey], leased_until: datetime, leased_by: int
) -> list[list[PendingDelivery]]:
    # Not in one statement with the locking: that one may still see as pending what was not when it got the locks.
    rows = await tx.fetch(
        """
        with leased as (
            update lanes
            set leased_until = $3, leased_by = $5
            where ctid = any (array(
                select found.ctid
                from unnest($1::uuid[], $2::text[]) as due (endpoint_id, uid)
                cross join lateral (
                    select ctid from lanes where endpoint_id = due.endpoint_id and uid = due.uid offset 0
                ) as found
            ))
        )
        select lane.place, d.id, d.event_id, w.type, w.body, d.step
        from unnest($1::uuid[], $2::text[]) with ordinality as lane (endpoint_id, uid, place)
        cross join lateral (
            select id, event_id, step, position
            from deliveries
            where endpoint_id = lane.endpoint_id and uid = lane.uid and finished_at is null
            order by position
            limit $4
        ) as d
        cross join lateral (select type, body from webhooks where event_id = d.event_id offset 0) as w
        order by lane.place, d.position
        """,
        *zip(*keys, strict=True),
        leased_until,
        _DELIVERIES_OF_LANE,
        leased_by,
    )
    pending: list[list[PendingDelivery]] = [[] for _ in keys]
    for place, id_, event_id, kind, body, step in rows:
        pending[place - 1].append(PendingDelivery(id_, event_id, kind, body.encode(), step))
    return pending


async def find_next_due(tx: Tx, endpoint_ids: Sequence[UUID], now: datetime) -> datetime | None:
    """Return when the next lane of an active endpoint falls due, after now."""
    time: datetime | None = await tx.fetchval(
        """
        select min(next.due_at)
        from unnest($1::uuid[]) as wanted (id)
        join endpoints on endpoints.id = wanted.id and endpoints.paused_at is null
        cross join lateral (
            select due_at
            from lanes
            where endpoint_id::text = endpoints.id::text and due_at > $2
            order by due_at
            limit 1
        ) as next
        """,
        endpoint_ids,
        now,
    )
    return time


async def lock_leases(tx: Tx, leases: Mapping[LaneKey, datetime]) -> set[LaneKey]:
    """Lock lanes and return those that are still leased until the time given for each."""
    rows = await tx.fetch(
        """
        select lane.endpoint_id, lane.uid, lane.leased_until is not distinct from held.leased_until as is_held
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as held (endpoint_id, uid, leased_until)
        cross join lateral (
            select * from lanes where endpoint_id = held.endpoint_id and uid = held.uid for update
        ) as lane
        """,
        *zip(*((*key, leases[key]) for key in sorted(leases)), strict=True),
    )
    return {LaneKey(row["endpoint_id"], row["uid"]) for row in rows if row["is_held"]}


async def release_lanes(tx: Tx, releases: Sequence[Release]) -> bool:
    """
    Delete lanes that nothing is pending in and give the others back; False if there are no others.

    The rows are locked already.
    """
    endpoint_ids, uids = zip(*(release.lane.key for release in releases), strict=True)
    status = await tx.execute(
        """
        delete from lanes
        where ctid = any (array(
            select found.ctid
            from unnest($1::uuid[], $2::text[]) as released (endpoint_id, uid)
            cross join lateral (
                select ctid
                from lanes
                where endpoint_id = released.endpoint_id and uid = released.uid
                    and not exists (
                        select from deliveries
                        where endpoint_id = released.endpoint_id and uid = released.uid and finished_at is null
                    )
                offset 0
            ) as found
        ))
        """,
        endpoint_ids,
        uids,
    )
    if status == f"DELETE {len(releases)}":
        return False
    await tx.execute(
        """
        update lanes
        set due_at = found.due_at, leased_until = null
        from (
            select lane.ctid, released.due_at
            from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as released (endpoint_id, uid, due_at)
            cross join lateral (
                select ctid from lanes where endpoint_id = released.endpoint_id and uid = released.uid offset 0
            ) as lane
        ) as found
        where lanes.ctid = found.ctid
        """,
        endpoint_ids,
        uids,
        [release.due_at for release in releases],
    )
    return True
