from collections.abc import Collection, Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

from notifier.domain.delivery import Delivered, DeliveryState, EndpointGone
from notifier.domain.lane import Attempt, LaneKey
from okgames.database import Tx
from okgames.retry import Exhausted, RetryAt


async def save_attempts(tx: Tx, attempts: Sequence[Attempt]) -> None:
    """Keep attempts; one that is there already was kept by a commit whose answer got lost."""
    await tx.execute(
        """
        insert into attempts (delivery_id, at, status, latency_ms, answer, error)
        select * from unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::text[], $6::text[])
        on conflict do nothing
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


async def save_outcomes(tx: Tx, attempts: Sequence[Attempt], held: Collection[LaneKey]) -> dict[UUID, int]:
    """
    Move pending deliveries on and return the attempts made so far of those that are finished by it.

    Only a success counts where the lease of a lane was lost: who took the lane over decides the rest.
    """
    outcomes = [
        _outcome_row(attempt)
        for attempt in attempts
        if attempt.lane.key in held or isinstance(attempt.outcome, Delivered)
    ]
    if not outcomes:
        return {}
    # Asking for the state instead would let the planner begin with all that are pending.
    rows = await tx.fetch(
        """
        update deliveries as d
        set attempts = d.attempts + 1, step = o.step, state = o.state, finished_at = o.finished_at
        from unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[]) as o (id, state, step, finished_at)
        where d.id = o.id and d.finished_at is null
        returning d.id, d.attempts, d.state
        """,
        *zip(*outcomes, strict=True),
    )
    return {row["id"]: row["attempts"] for row in rows if row["state"] != DeliveryState.PENDING}


def _outcome_row(attempt: Attempt) -> tuple[UUID, DeliveryState, int, datetime | None]:
    delivery = attempt.delivery
    match attempt.outcome:
        case Delivered():
            return delivery.id, DeliveryState.DELIVERED, delivery.step, attempt.at
        case Exhausted():
            return delivery.id, DeliveryState.EXHAUSTED, delivery.step + 1, attempt.at
        case RetryAt() | EndpointGone():
            return delivery.id, DeliveryState.PENDING, delivery.step + 1, None
        case _:
            assert_never(attempt.outcome)
