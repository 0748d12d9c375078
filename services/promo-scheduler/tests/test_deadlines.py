from datetime import timedelta

import pytest
from promo_world import HOUR, JIRA, MINUTE, Scheduler, msk

REQUEST_DUE = msk(0)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (24 * HOUR + MINUTE, []),
        (24 * HOUR, [24 * HOUR]),
        (3 * HOUR + MINUTE, [24 * HOUR]),
        (3 * HOUR, [24 * HOUR, 3 * HOUR]),
        (HOUR, [24 * HOUR, 3 * HOUR, HOUR]),
        (15 * MINUTE, [24 * HOUR, 3 * HOUR, HOUR, 15 * MINUTE]),
    ],
)
async def test_reminders_come_24_3_1_hours_and_15_minutes_before_a_deadline(
    scheduler: Scheduler, before: timedelta, expected: list[timedelta]
) -> None:
    await scheduler.plan()
    for left in (24 * HOUR + MINUTE, 24 * HOUR, 3 * HOUR + MINUTE, 3 * HOUR, HOUR, 15 * MINUTE):
        if left >= before:
            await scheduler.tick(REQUEST_DUE - left)

    near = [event.left for event in await scheduler.told("DeadlineNear") if event.step == "request"]
    assert expected == near
    assert [] == await scheduler.told("DeadlineMissed")


async def test_after_a_time_in_which_nobody_ran_one_reminder_says_it_all(scheduler: Scheduler) -> None:
    await scheduler.plan()
    await scheduler.tick(REQUEST_DUE - 30 * MINUTE)

    assert [HOUR] == [event.left for event in await scheduler.told("DeadlineNear") if event.step == "request"]


async def test_a_step_that_is_done_is_neither_near_nor_missed(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.tick(REQUEST_DUE + HOUR)

    told = await scheduler.told("DeadlineNear", "DeadlineMissed")
    assert [] == [event for event in told if event.step == "request"]


async def test_a_deadline_is_missed_after_it_and_not_at_it(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.tick(REQUEST_DUE)
    assert "open" == (await scheduler.step(promotion_id, "request"))["state"]
    await scheduler.tick(REQUEST_DUE + timedelta(microseconds=1))
    await scheduler.tick(REQUEST_DUE + HOUR)

    assert "missed" == (await scheduler.step(promotion_id, "request"))["state"]
    assert ["request"] == [event.step for event in await scheduler.told("DeadlineMissed")]


async def test_a_missed_step_can_be_done_late_and_is_then_known_to_be_late(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.tick(REQUEST_DUE + HOUR)
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)

    step = await scheduler.step(promotion_id, "request")
    assert ("done", False) == (step["state"], step["in_time"])
    rules = {rule["rule"]: rule["kept"] for rule in (await scheduler.get(f"/{promotion_id}"))["rules"]}
    assert (False, True, None) == (rules["request"], rules["title"], rules["winner"])


async def test_a_tick_does_nothing_a_second_time(scheduler: Scheduler) -> None:
    await scheduler.approved()
    for _ in range(3):
        await scheduler.tick(msk(5))

    told = [(event.type, event.step) for event in await scheduler.told("DeadlineNear", "DeadlineMissed")]
    assert len(set(told)) == len(told)
    assert 1 == len(await scheduler.told("PromotionOpened"))
    assert 1 == len(await scheduler.told("PromotionClosed"))


async def test_what_was_not_approved_does_not_open(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.tick(msk(5))

    assert "requested" == await scheduler.state(promotion_id)
    assert [] == await scheduler.told("PromotionOpened")


async def test_an_approval_that_is_recorded_late_opens_the_promotion_at_once(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.tick(msk(3, 8))
    await scheduler.post(f"/{promotion_id}/approve", link=JIRA, at=msk(2, 20).isoformat())
    await scheduler.tick()

    assert "open" == await scheduler.state(promotion_id)
    assert (await scheduler.step(promotion_id, "approval"))["in_time"]
