import pytest
from promo_world import APP, JIRA, NAME, OTHER_APP, Refusal, Scheduler, msk, payment

from okgames.events import Audience, PromotionPost


async def test_a_promotion_goes_from_the_plan_to_its_completion(scheduler: Scheduler) -> None:
    states = []
    promotion_id = await scheduler.plan()

    async def act(action: str, **body: object) -> None:
        await scheduler.post(f"/{promotion_id}/{action}", **body)
        states.append(await scheduler.state(promotion_id))

    async def wait(*until: int) -> None:
        await scheduler.tick(msk(*until))
        states.append(await scheduler.state(promotion_id))

    await act("request", link=JIRA)
    await act("approve", link=JIRA)
    await scheduler.post(f"/{promotion_id}/evidence", step="prize_fund", amount_oks=1000, link=JIRA)
    await scheduler.tick(msk(2, 12))
    await act("evidence", step="conditions_post", link="https://ok.ru/group/1/topic/1")
    await wait(3)
    await scheduler.tick(msk(3, 10))
    await act("evidence", step="notification", note="sent in OK's cabinet")
    await scheduler.learn(payment("501", 1, msk(3, 10)))
    await wait(4)
    await scheduler.tick(msk(4, 0, 20))
    await act("draw", name=NAME)
    await scheduler.draw()
    states.append(await scheduler.state(promotion_id))
    await scheduler.name_winners()
    await act("evidence", step="winner_post", link="https://ok.ru/group/1/topic/2")
    await wait(4, 14, 1)

    expected = "requested approved announced open notified closed drawing drawn published completed"
    assert expected.split() == states


async def test_a_day_that_breaks_rules_is_refused_with_all_of_them_and_the_next_possible_days(
    scheduler: Scheduler,
) -> None:
    scheduler.clock.time = msk(4, 10)
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(application_key=APP, day="2026-03-06")

    assert 409 == refusal.value.status
    assert ["day", "request"] == [each["rule"] for each in refusal.value.problem["broken"]]
    assert ["2026-03-09", "2026-03-10", "2026-03-11"] == refusal.value.problem["alternatives"]


async def test_a_day_can_be_asked_about_without_planning(scheduler: Scheduler) -> None:
    assert (await scheduler.get("/verdict", application_key=APP, day="2026-03-03"))["is_possible"]
    verdict = await scheduler.get("/verdict", application_key=APP, day="2026-02-30")
    assert (False, None, "day") == (verdict["is_possible"], verdict["day"], verdict["broken"][0]["rule"])
    assert [] == (await scheduler.get())["items"]


async def test_an_application_has_one_promotion_a_day_until_it_is_called_off(scheduler: Scheduler) -> None:
    first = await scheduler.plan()
    await scheduler.plan(application_key=OTHER_APP)
    with pytest.raises(Refusal) as refusal:
        await scheduler.plan()
    assert ["one_a_day"] == [each["rule"] for each in refusal.value.problem["broken"]]
    await scheduler.post(f"/{first}/cancel", reason="another day is better")

    second = await scheduler.plan()
    assert first != second
    assert "planned" == await scheduler.state(second)


@pytest.mark.parametrize(
    ("action", "body", "reason"),
    [
        ("approve", {"link": JIRA}, "Only a promotion that is requested can be approved"),
        ("decline", {"reason": "no"}, "Only a promotion that is requested can be declined"),
        ("draw", {"name": NAME}, "The promotion is planned, not approved."),
        ("resolve", {"evidence": "x", "winners": ["1"]}, "There is nothing to resolve"),
        ("evidence", {"step": "conditions_post", "link": JIRA}, "OK has not approved the promotion"),
        ("evidence", {"step": "request", "link": JIRA}, "has an action of its own: request"),
        ("request", {"link": JIRA, "title": "A raffle"}, 'OK wants "1,000 OKs" in the name'),
        ("request", {"link": JIRA, "at": "2026-06-01T00:00:00Z"}, "which is still to come"),
    ],
)
async def test_a_step_out_of_order_is_refused_with_the_reason(
    scheduler: Scheduler, action: str, body: dict[str, object], reason: str
) -> None:
    promotion_id = await scheduler.plan()
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/{action}", **body)

    assert 409 == refusal.value.status
    assert reason in refusal.value.detail
    assert "planned" == await scheduler.state(promotion_id)


async def test_a_step_cannot_be_done_before_its_time(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.approved()
    await scheduler.tick(msk(3, 3, 59))
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/evidence", step="notification", note="sent")

    assert "cannot be done before 2026-03-03 04:00:00 MSK" in refusal.value.detail


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"step": "placement"}, "give a link or a note"),
        ({"step": "placement", "link": JIRA, "note": "both"}, "give a link or a note"),
        ({"step": "prize_fund", "link": JIRA}, "prize_fund wants amount_oks"),
        ({"step": "placement", "link": JIRA, "amount_oks": 5}, "prize_fund wants amount_oks"),
        ({"step": "dance", "link": JIRA}, "step: "),
        ({"step": "placement", "link": JIRA, "by": ""}, "by: "),
        ({"step": "placement", "link": JIRA, "colour": "red"}, "colour: "),
    ],
)
async def test_a_wrong_body_is_named_and_changes_nothing(
    scheduler: Scheduler, body: dict[str, object], complaint: str
) -> None:
    promotion_id = await scheduler.approved()
    before = await scheduler.get(f"/{promotion_id}")
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/evidence", **body)

    assert 400 == refusal.value.status
    assert complaint in refusal.value.detail
    assert before == await scheduler.get(f"/{promotion_id}")


async def test_a_promotion_called_off_is_told_to_others_and_stays_so(scheduler: Scheduler) -> None:
    declined = await scheduler.plan()
    await scheduler.post(f"/{declined}/request", link=JIRA)
    await scheduler.post(f"/{declined}/decline", reason="too many this month")
    cancelled = await scheduler.plan()
    await scheduler.post(f"/{cancelled}/cancel", reason="no time")
    await scheduler.tick(msk(5))

    assert ["declined", "cancelled"] == [await scheduler.state(each) for each in (declined, cancelled)]
    reasons = [event.reason for event in await scheduler.told("PromotionCancelled")]
    assert ["OK declined: too many this month", "Anna: no time"] == reasons
    assert [] == await scheduler.told("DeadlineMissed", "PromotionOpened")


async def test_approval_makes_the_post_and_both_notifications_due_with_their_windows(scheduler: Scheduler) -> None:
    await scheduler.approved()
    (post,) = await scheduler.told("GroupPostDue")
    rehearsal, public = await scheduler.told("NotificationDue")

    assert (PromotionPost.CONDITIONS, msk(2), msk(3), ()) == (post.post, post.not_before, post.due_by, post.winners)
    assert (Audience.ADMINS_ONLY, msk(2, 4), msk(3)) == (rehearsal.audience, rehearsal.not_before, rehearsal.due_by)
    assert (Audience.PUBLIC, msk(3, 4), msk(3, 12)) == (public.audience, public.not_before, public.due_by)
    assert msk(3, 23, 59) == public.expires_at


async def test_opening_tells_the_game_what_is_cheaper_during_the_promotion(scheduler: Scheduler) -> None:
    await scheduler.approved()
    await scheduler.tick(msk(3))
    (opened,) = await scheduler.told("PromotionOpened")

    assert (msk(3), msk(4), (1000,)) == (opened.opens_at, opened.closes_at, opened.prizes_oks)
    assert [("gold_500", 150, 200)] == [
        (each.product, each.price_oks, each.usual_price_oks) for each in opened.discounts
    ]


async def test_promotions_are_listed_by_day_page_by_page(scheduler: Scheduler) -> None:
    later = await scheduler.post(application_key=APP, day="2026-03-05")
    first, second = await scheduler.plan(), await scheduler.plan(application_key=OTHER_APP)
    page = await scheduler.get(limit="2")
    rest = await scheduler.get(limit="2", after=page["next"])

    assert {first, second} == {each["id"] for each in page["items"]}
    assert ([later["id"]], None) == ([each["id"] for each in rest["items"]], rest["next"])
    assert [second] == [each["id"] for each in (await scheduler.get(application_key=OTHER_APP))["items"]]
    assert [] == (await scheduler.get(state="open"))["items"]


async def test_the_next_deadline_is_shown(scheduler: Scheduler) -> None:
    shown = await scheduler.get(f"/{await scheduler.plan()}")

    assert ("request", "2026-02-27T21:00:00+00:00") == (shown["next_step"], shown["next_deadline"])
    assert ("2026-03-03", "1,000 OKs: Backgammon, 2026-03-03") == (shown["day"], shown["jira_title"])


async def test_nothing_is_due_of_a_promotion_that_was_called_off(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.plan()
    shown = await scheduler.post(f"/{promotion_id}/cancel", reason="no time")

    assert ("cancelled", None, None) == (shown["state"], shown["next_step"], shown["next_deadline"])


@pytest.mark.parametrize("path", ["/nothing", "/00000000-0000-0000-0000-000000000000"])
async def test_an_unknown_promotion_is_404(scheduler: Scheduler, path: str) -> None:
    with pytest.raises(Refusal) as refusal:
        await scheduler.get(path)
    assert 404 == refusal.value.status
