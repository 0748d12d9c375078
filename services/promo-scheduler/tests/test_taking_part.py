from datetime import timedelta

from promo_world import APP, OTHER_APP, Scheduler, msk, payment

from okgames.events import SubscriptionPaid, TrialStarted, derive_id
from promo_scheduler.store.payers import find_applications

SECOND = timedelta(seconds=1)


async def takings(scheduler: Scheduler, promotion_id: str) -> tuple[int, int, int]:
    found = (await scheduler.get(f"/{promotion_id}"))["takings"]
    return found["payers"], found["payments"], found["amount_oks"]


async def test_payments_count_to_the_second_of_the_window(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    other_id = await scheduler.approved(OTHER_APP)
    await scheduler.tick(msk(3, 1))
    await scheduler.learn(
        payment("1", 1, msk(3) - SECOND),
        payment("2", 2, msk(3)),
        payment("3", 3, msk(4) - SECOND, oks=200),
        payment("4", 4, msk(4)),
        payment("2", 5, msk(3, 12)),
        payment("2", 6, msk(3, 12), application_key=OTHER_APP),
    )
    assert (2, 3, 300) == await takings(scheduler, promotion_id)
    await scheduler.learn(payment("2", 7, msk(3, 12)), payment("5", 8, msk(3, 12)))

    assert (3, 5, 400) == await takings(scheduler, promotion_id)
    assert (1, 1, 50) == await takings(scheduler, other_id)


async def test_closing_tells_how_many_took_part(scheduler: Scheduler) -> None:
    await scheduler.approved()
    await scheduler.learn(payment("1", 1, msk(3)), payment("1", 2, msk(3, 5)), payment("2", 3, msk(3, 6)))
    await scheduler.tick(msk(4))
    (closed,) = await scheduler.told("PromotionClosed")

    assert (2, 3, 150) == (closed.payers, closed.payments, closed.amount_oks)


async def test_a_charge_of_a_subscription_is_a_payment_and_a_trial_is_none(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    common = {"occurred_at": msk(3, 9), "application_key": APP, "product": "apples", "ends_at": msk(10)}
    await scheduler.learn(
        SubscriptionPaid(id=derive_id(1), uid="1", transaction_id="t", amount_oks=50, **common),
        TrialStarted(id=derive_id(2), uid="2", **common),
    )

    assert (1, 1, 50) == await takings(scheduler, promotion_id)


async def test_a_payment_that_is_told_after_the_end_still_counts(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.closed()
    await scheduler.learn(payment("7", 7, msk(4) - SECOND))

    assert (2, 2, 100) == await takings(scheduler, promotion_id)


async def test_who_pays_on_a_day_that_was_called_off_takes_part_in_nothing(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    await scheduler.post(f"/{promotion_id}/cancel", reason="no")
    await scheduler.learn(payment("1", 1, msk(3)))

    assert (0, 0, 0) == await takings(scheduler, promotion_id)


async def test_a_persons_word_does_not_close_a_window_whose_payments_are_still_to_be_counted(
    scheduler: Scheduler,
) -> None:
    promotion_id = await scheduler.approved()
    await scheduler.tick(msk(3, 9))
    scheduler.clock.time = msk(4, 0, 0, 1)
    await scheduler.post(f"/{promotion_id}/evidence", step="placement", note="on the launch screen", at=str(msk(3, 9)))
    await scheduler.learn(payment("501", 1, msk(3, 9)))
    await scheduler.tick()

    (closed,) = await scheduler.told("PromotionClosed")
    assert (1, 1) == (closed.payers, closed.payments)


async def test_only_applications_with_a_promotion_that_is_on_are_concerned_by_payments(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    async with scheduler.database.connection() as connection:
        assert [APP] == await find_applications(connection, [APP, OTHER_APP])

        await scheduler.post(f"/{promotion_id}/cancel", reason="the server moves")
        assert [] == await find_applications(connection, [APP, OTHER_APP])
