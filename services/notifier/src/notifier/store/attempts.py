from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from notifier.domain.delivery import Delivered, DeliveryState
from notifier.domain.lane import Attempt, LaneKey
from okgames.database import Tx
from okgames.retry import Exhausted


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


async def save_outcomes(tx: Tx, attempts: Sequence[Attempt], held: Collection[LaneKey]) -> dict[UUID, int]:
    """
    Move pending deliveries on and return the attempts made so far of those that are finished by it.

    Only a success counts where the lease of a lane was lost: who took the lane over decides the rest.
    """
    # Asking for the state instead would let the planner begin with all that are pending.
    rows = await tx.fetch(
        """
        update deliveries as d
        set attempts = d.attempts + 1, step = coalesce(o.step, d.step), state = o.state, finished_at = o.finished_at
        from unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[]) as o (id, state, step, finished_at)
        where d.id = o.id and d.finished_at is null
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
