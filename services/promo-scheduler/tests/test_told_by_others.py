from promo_world import APP, JIRA, PLANNED, Scheduler, msk

from okgames.events import (
    Audience,
    GroupPostDrafted,
    GroupPostPublished,
    IssueCreated,
    NotificationSent,
    PrizeFundConfirmed,
    PromotionPost,
    RequestApproved,
    RequestDeclined,
    derive_id,
)


def in_jira(promotion_id: str, number: int) -> dict[str, object]:
    return {
        "id": derive_id(number),
        "occurred_at": PLANNED,
        "application_key": APP,
        "issue_key": "PROMO-7",
        "promotion_id": promotion_id,
    }


def delivered(promotion_id: str, number: int, *at: int) -> dict[str, object]:
    return {
        "id": derive_id(number),
        "occurred_at": msk(*at),
        "application_key": APP,
        "promotion_id": promotion_id,
        "text": "Come and play",
    }


async def test_what_is_said_in_jira_moves_the_promotion_as_a_person_would(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.learn(
        IssueCreated(title="1,000 OKs: Backgammon", url=JIRA, **in_jira(promotion_id, 1)),
        RequestApproved(link=JIRA, **in_jira(promotion_id, 2)),
        PrizeFundConfirmed(link=JIRA, amount_oks=1000, **in_jira(promotion_id, 3)),
    )
    shown = await scheduler.get(f"/{promotion_id}")

    assert ("approved", 1000) == (shown["state"], shown["prize_fund_oks"])
    assert ["approval", "prize_fund", "request"] == sorted(each["step"] for each in shown["evidence"])


async def test_what_is_said_out_of_order_is_passed_over_and_the_rest_counts(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.learn(
        RequestApproved(link=JIRA, **in_jira(promotion_id, 1)),
        IssueCreated(title="1,000 OKs: Backgammon", url=JIRA, **in_jira(promotion_id, 2)),
        IssueCreated(title="about nothing of ours", url=JIRA, **in_jira(str(derive_id("other")), 3)),
    )

    assert "requested" == await scheduler.state(promotion_id)


async def test_a_refusal_in_jira_declines_the_promotion(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.learn(RequestDeclined(link=JIRA, reason="not this month", **in_jira(promotion_id, 1)))

    assert "declined" == await scheduler.state(promotion_id)


async def test_what_the_notifier_did_is_evidence_of_the_steps(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    conditions = PromotionPost.CONDITIONS
    await scheduler.tick(msk(2, 12))
    await scheduler.learn(GroupPostDrafted(post=conditions, **delivered(promotion_id, 1, 2, 11)))
    assert "open" == (await scheduler.step(promotion_id, "conditions_post"))["state"]
    await scheduler.learn(
        GroupPostPublished(post=conditions, link="https://ok.ru/1", by=None, **delivered(promotion_id, 2, 2, 12)),
        NotificationSent(audience=Audience.ADMINS_ONLY, notification_id="9", **delivered(promotion_id, 3, 2, 12)),
    )
    assert "announced" == await scheduler.state(promotion_id)
    await scheduler.tick(msk(3, 5))
    await scheduler.learn(
        NotificationSent(audience=Audience.PUBLIC, notification_id="10", **delivered(promotion_id, 4, 3, 5))
    )

    assert "notified" == await scheduler.state(promotion_id)
    for step in ("conditions_post", "rehearsal", "notification"):
        assert "done" == (await scheduler.step(promotion_id, step))["state"]


async def test_a_notification_that_is_told_of_before_the_time_was_minded_counts(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    scheduler.clock.time = msk(3, 5)
    await scheduler.learn(
        NotificationSent(audience=Audience.PUBLIC, notification_id="10", **delivered(promotion_id, 1, 3, 5))
    )
    await scheduler.tick()

    assert "notified" == await scheduler.state(promotion_id)


async def test_what_was_done_too_late_is_told_as_missed_also_when_nobody_minded_the_deadline(
    scheduler: Scheduler,
) -> None:
    promotion_id = await scheduler.approved()
    await scheduler.tick(msk(3, 11, 50))
    before = len(await scheduler.told("DeadlineMissed"))
    scheduler.clock.time = msk(3, 13)
    await scheduler.learn(
        NotificationSent(audience=Audience.PUBLIC, notification_id="10", **delivered(promotion_id, 1, 3, 12, 30))
    )
    await scheduler.tick()

    missed = [each.step for each in (await scheduler.told("DeadlineMissed"))[before:]]
    assert ["notification", "placement", "screenshot"] == sorted(missed)
    assert "done" == (await scheduler.step(promotion_id, "notification"))["state"]


async def test_what_was_done_in_time_is_not_missed_however_late_it_is_heard_of(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    await scheduler.tick(msk(3, 11, 50))
    scheduler.clock.time = msk(3, 13)
    await scheduler.learn(
        NotificationSent(audience=Audience.PUBLIC, notification_id="10", **delivered(promotion_id, 1, 3, 11, 59))
    )
    await scheduler.tick()

    assert "notification" not in [each.step for each in await scheduler.told("DeadlineMissed")]
