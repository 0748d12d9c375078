from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from notifier.domain.endpoint import Endpoint, Health, Pause
from notifier.domain.report import EndpointReport
from okgames.database import Tx


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
    await tx.execute(
        """
        with waiting as (
            select uid from lanes where endpoint_id = $1 and due_at > $2 order by uid collate "C" for update
        )
        update lanes set due_at = $2 from waiting where endpoint_id = $1 and lanes.uid = waiting.uid
        """,
        endpoint_id,
        now,
    )
    await tx.execute(
        "update deliveries set step = 0 where endpoint_id = $1 and finished_at is null and step > 0", endpoint_id
    )


async def load_endpoints(tx: Tx, endpoint_id: UUID | None = None) -> list[EndpointReport]:
    """Return all endpoints, or the one."""
    rows = await tx.fetch(
        """
        select id, application_key, url, configured, case when paused_at is null then 'active' else 'paused' end,
            paused_reason, paused_at, failing_since, consecutive_failures,
            (select count(*) from deliveries where endpoint_id = endpoints.id and finished_at is null)
        from endpoints
        where $1::uuid is null or id = $1
        order by application_key, url
        """,
        endpoint_id,
    )
    return [EndpointReport(*row) for row in rows]
