from collections.abc import Collection, Sequence
from typing import assert_never
from uuid import UUID

from notifier.domain.delivery import Delivered, DeliveryState, EndpointGone
from notifier.domain.lane import Attempt, LaneKey
from okgames.database import Tx
from okgames.retry import Exhausted, RetryAt


async def save_attempts(tx: Tx, attempts: Sequence[Attempt], held: Collection[LaneKey]) -> dict[UUID, int]:
    """
    Keep attempts, move their deliveries on, and return the numbers of attempts of those that ended by it.

    Only a success moves a delivery on where the lease of its lane was lost: who took the lane over decides the rest.
    An attempt that is there already was kept by a commit whose answer got lost.
    """
    # Were "is null" asked for, or the state, the planner could begin with all that are pending.
    rows = await tx.fetch(
        """
        with made as (
            select *
            from unnest(
                $1::uuid[], $2::timestamptz[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[], $8::int[]
            ) as a (delivery_id, at, status, latency_ms, answer, error, state, step)
        ),
        kept as (
            insert into attempts (delivery_id, at, status, latency_ms, answer, error)
            select delivery_id, at, status, latency_ms, answer, error from made
            on conflict do nothing
        )
        update deliveries as d
        set attempts = d.attempts + 1, step = made.step, state = made.state,
            finished_at = case when made.state <> 'pending' then made.at end
        from made
        where d.id = made.delivery_id and made.state is not null and num_nulls(d.finished_at) = 1
        returning d.id, d.attempts, d.state
        """,
        *zip(*(_row(attempt, is_held=attempt.lane.key in held) for attempt in attempts), strict=True),
    )
    return {id_: count for id_, count, state in rows if state != DeliveryState.PENDING}


def _row(attempt: Attempt, *, is_held: bool) -> tuple[object, ...]:
    delivery, answer = attempt.delivery, attempt.answer
    state: DeliveryState | None
    match attempt.outcome:
        case Delivered():
            state, step = DeliveryState.DELIVERED, delivery.step
        case Exhausted():
            state, step = DeliveryState.EXHAUSTED, delivery.step + 1
        case RetryAt() | EndpointGone():
            state, step = DeliveryState.PENDING, delivery.step + 1
        case _:
            assert_never(attempt.outcome)
    if not is_held and state is not DeliveryState.DELIVERED:
        state = None
    return (
        delivery.id,
        attempt.at,
        answer.status,
        answer.latency_ms,
        answer.beginning,
        answer.error,
        state,
        step,
    )
