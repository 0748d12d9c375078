from collections.abc import Collection, Sequence
from datetime import datetime

from okgames.database import Tx
from okgames.events import PaymentReceived, SubscriptionPaid

Payment = PaymentReceived | SubscriptionPaid


async def find_applications(tx: Tx, application_keys: Collection[str]) -> list[str]:
    """Return those of the applications that have a promotion, be it long over, for which a payment may count."""
    rows = await tx.fetch(
        """
        select paid.application_key
        from unnest($1::text[]) as paid (application_key)
        where exists (
            select from promotions
            where application_key = paid.application_key and state not in ('declined', 'cancelled')
        )
        """,
        list(application_keys),
    )
    return [row["application_key"] for row in rows]


async def count_payments(tx: Tx, payments: Sequence[Payment], now: datetime) -> None:
    """
    Enter payments into the books of the promotions during which they were made, to the second of the window.

    A promotion that waits for its first payer to be drawn is looked at again.
    """
    # In one order, and before any is changed: readers of several partitions lock promotions at the same time.
    found = await tx.fetch(
        """
        select promotion.id, payment.uid, count(*)::int as payments, sum(payment.amount_oks)::bigint as amount_oks
        from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
            as payment (application_key, uid, occurred_at, amount_oks)
        join promotions as promotion on promotion.application_key = payment.application_key
            and promotion.opens_at <= payment.occurred_at and payment.occurred_at < promotion.closes_at
            and promotion.state not in ('declined', 'cancelled')
        group by promotion.id, payment.uid
        """,
        *zip(*((each.application_key, each.uid, each.occurred_at, each.amount_oks) for each in payments), strict=True),
    )
    if not found:
        return
    await tx.execute(
        "select from promotions where id = any ($1::uuid[]) order by id for update",
        list({row["id"] for row in found}),
    )
    await tx.execute(
        """
        with counted as (
            insert into payers as known (promotion_id, uid, payments, amount_oks)
            select * from unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[])
            on conflict (promotion_id, uid) do update
            set payments = known.payments + excluded.payments, amount_oks = known.amount_oks + excluded.amount_oks
            returning promotion_id, xmax = 0 as is_new
        ), sums as (
            select promotion_id, sum(payments) as payments, sum(amount_oks) as amount_oks
            from unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[])
                as paid (promotion_id, uid, payments, amount_oks)
            group by promotion_id
        ), new as (
            select promotion_id, count(*) filter (where is_new) as payers from counted group by promotion_id
        )
        update promotions
        set payers = promotions.payers + new.payers,
            payments = promotions.payments + sums.payments,
            amount_oks = promotions.amount_oks + sums.amount_oks,
            next_at = case
                when promotions.state = 'closed' then least(promotions.next_at, $5) else promotions.next_at
            end
        from sums join new using (promotion_id)
        where promotions.id = sums.promotion_id
        """,
        *zip(*found, strict=True),
        now,
    )
