import asyncio
from datetime import timedelta

import pytest
from aiohttp import web
from promo_world import APP, HOUR, JIRA, NAME, OTHER_APP, Ok, Refusal, Scheduler, msk, payment

from okgames.testing import wait_until
from promo_scheduler.jobs import Drawing


def saying(body: str, status: int = 200, error: int | None = None) -> object:
    async def answer(_request: web.Request) -> web.Response:
        headers = {} if error is None else {"Invocation-Error": str(error)}
        return web.Response(text=body, status=status, headers=headers, content_type="application/json")

    return answer


async def cutting(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_the_call_is_for_the_whole_day_and_its_answer_is_kept_as_it_came(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    ok.paying = saying('{"users": [501] }')
    await scheduler.draw()
    shown = await scheduler.get(f"/{promotion_id}")

    assert [("2026.03.03 00:00", "2026.03.04 00:00", "1000")] == [
        (call["from"], call["to"], call["amount"]) for call in ok.paid
    ]
    assert "drawn" == shown["state"]
    assert ("Anna", '{"users": [501] }') == (shown["draw"]["begun_by"], shown["draw"]["answer"]["body"])
    assert [("501", 1000, True)] == [(each["uid"], each["prize_oks"], each["is_payer"]) for each in shown["winners"]]


async def test_the_winner_is_told_by_name_and_the_post_is_due(scheduler: Scheduler) -> None:
    await scheduler.begun()
    await scheduler.draw()
    await scheduler.name_winners()
    await scheduler.name_winners()
    (drawn,) = await scheduler.told("WinnerDrawn")
    *_, post = await scheduler.told("GroupPostDue")

    assert ("501", "Ivan Petrov", "https://ok.ru/profile/501") == (
        drawn.winner.uid,
        drawn.winner.name,
        drawn.winner.profile_url,
    )
    assert ("winner", (drawn.winner,), msk(4, 14)) == (post.post, post.winners, post.due_by)


async def test_a_winner_with_a_closed_profile_has_a_link_and_no_name(scheduler: Scheduler, ok: Ok) -> None:
    await scheduler.begun()
    ok.names = {}
    await scheduler.draw()
    await scheduler.name_winners()
    (drawn,) = await scheduler.told("WinnerDrawn")

    assert (None, "https://ok.ru/profile/501") == (drawn.winner.name, drawn.winner.profile_url)


async def test_a_winner_who_is_not_among_our_payers_is_marked(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    ok.winners = ["999"]
    await scheduler.draw()
    await scheduler.name_winners()
    (drawn,) = await scheduler.told("WinnerDrawn")

    assert not drawn.winner.is_payer
    assert [False] == [each["is_payer"] for each in (await scheduler.get(f"/{promotion_id}"))["winners"]]


@pytest.mark.parametrize(
    "answer",
    [
        cutting,
        saying(""),
        saying("<html>"),
        saying('{"users": []}'),
        saying('{"users": [1, 2]}'),
        saying('{"winners": [1]}'),
        saying('{"error_code": 1005, "error_msg": "NOT_ENOUGH_MONEY", "error_data": null}', error=1005),
        saying('{"error_code": 2, "error_msg": "SERVICE", "error_data": null}', error=2),
        saying('{"users": [501]}', status=502),
    ],
)
async def test_without_a_winner_in_the_answer_the_draw_is_unresolved_and_never_made_again(
    scheduler: Scheduler, ok: Ok, answer: object
) -> None:
    promotion_id = await scheduler.begun()
    ok.paying = answer
    for _ in range(3):
        await scheduler.draw()
        await scheduler.tick(scheduler.clock.time + HOUR)
    shown = await scheduler.get(f"/{promotion_id}")

    assert ("unresolved", 1) == (shown["state"], len(ok.paid))
    assert 3 == len(shown["look_at"])
    assert 1 == len(await scheduler.told("DrawUnresolved"))
    for action in ({"name": NAME}, {"name": "other"}):
        with pytest.raises(Refusal):
            await scheduler.post(f"/{promotion_id}/draw", **action)
    await scheduler.draw()
    assert 1 == len(ok.paid)


async def test_a_call_that_did_not_reach_ok_can_be_begun_again(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    await Drawing(scheduler.database, scheduler.clock, scheduler.config, "http://127.0.0.1:1").look(msk(4))
    assert "closed" == await scheduler.state(promotion_id)
    await scheduler.post(f"/{promotion_id}/draw", name=NAME)
    await scheduler.draw()

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


@pytest.mark.parametrize(("winners", "state"), [(["501"], "drawn"), ([], "completed")], ids=["a winner", "nobody"])
async def test_a_person_resolves_with_a_name_and_evidence(
    scheduler: Scheduler, ok: Ok, winners: list[str], state: str
) -> None:
    promotion_id = await scheduler.begun()
    ok.paying = cutting
    await scheduler.draw()
    await scheduler.post(f"/{promotion_id}/resolve", evidence="PROMO-1, comment 3", winners=winners)
    await scheduler.name_winners()
    shown = await scheduler.get(f"/{promotion_id}")

    assert (state, winners) == (shown["state"], [each["uid"] for each in shown["winners"]])
    assert ("Anna", "PROMO-1, comment 3") == (shown["evidence"][-1]["by"], shown["evidence"][-1]["text"])
    assert len(winners) == len(await scheduler.told("WinnerDrawn"))
    with pytest.raises(Refusal):
        await scheduler.post(f"/{promotion_id}/resolve", evidence="again", winners=winners)


async def test_the_draw_is_refused_with_everything_that_is_in_its_way(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.plan()
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.post(f"/{promotion_id}/approve", link=JIRA)
    await scheduler.tick(msk(4, 0, 5))
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/draw", name="backgammon")

    for reason in (
        "OK has not confirmed the prize fund.",
        "Our books hold nobody who paid",
        "The draw waits until",
        f"Type the promotion's name, {NAME}",
    ):
        assert reason in refusal.value.detail
    await scheduler.draw()
    assert [] == ok.paid


async def test_a_prize_fund_that_is_too_small_stops_the_draw(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.closed()
    await scheduler.post(f"/{promotion_id}/evidence", step="prize_fund", amount_oks=999, link=JIRA)
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/draw", name=NAME)

    assert "The prizes are 1000 OKs, the prize fund only 999." in refusal.value.detail


async def test_a_game_that_draws_by_itself_does_so_after_the_margin(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.approved(OTHER_APP)
    await scheduler.tick(msk(3, 9))
    await scheduler.learn(payment("501", 1, msk(3, 9), application_key=OTHER_APP))
    await scheduler.tick(msk(4, 0, 15) - timedelta(seconds=1))
    assert "closed" == await scheduler.state(promotion_id)
    await scheduler.tick(msk(4, 0, 15))
    await scheduler.draw()

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


async def test_a_draw_by_itself_waits_for_the_prize_fund_and_the_first_payer(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.plan(application_key=OTHER_APP)
    await scheduler.post(f"/{promotion_id}/request", link=JIRA)
    await scheduler.post(f"/{promotion_id}/approve", link=JIRA)
    await scheduler.tick(msk(4, 1))
    await scheduler.post(f"/{promotion_id}/evidence", step="prize_fund", amount_oks=1000, link=JIRA)
    await scheduler.tick()
    assert "closed" == await scheduler.state(promotion_id)
    await scheduler.learn(payment("501", 1, msk(3, 9), application_key=OTHER_APP))
    await scheduler.tick()
    await scheduler.draw()

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


async def test_cancelling_ends_when_the_draw_begins(scheduler: Scheduler) -> None:
    promotion_id = await scheduler.begun()
    with pytest.raises(Refusal) as refusal:
        await scheduler.post(f"/{promotion_id}/cancel", reason="no")

    assert "It is too late to cancel: the promotion is drawing." == refusal.value.detail


async def test_several_copies_make_one_call(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    await asyncio.gather(*(scheduler.draw() for _ in range(8)))

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


async def test_a_draw_under_way_in_another_copy_is_left_alone(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.json_response({"users": [501]})

    ok.paying = slow
    first = asyncio.create_task(scheduler.draw())
    await asked.wait()
    await scheduler.draw()
    assert "drawing" == await scheduler.state(promotion_id)
    may_answer.set()
    await first

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


async def test_a_copy_that_is_told_to_stop_brings_its_answer_home(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.json_response({"users": [501]})

    ok.paying = slow
    stopping = asyncio.create_task(scheduler.draw())
    await asked.wait()
    stopping.cancel()
    may_answer.set()
    await asyncio.wait([stopping])
    await scheduler.draw()

    assert ("drawn", 1) == (await scheduler.state(promotion_id), len(ok.paid))


async def test_an_answer_that_comes_after_others_gave_up_is_kept_for_the_person(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await may_answer.wait()
        return web.json_response({"users": [501]})

    ok.paying = slow
    first = asyncio.create_task(scheduler.draw())
    await asked.wait()
    # As when the network between the copy and the database breaks while OK is slow.
    await scheduler.rows(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
    )

    async def is_unresolved() -> bool:
        await scheduler.draw()
        return await scheduler.state(promotion_id) == "unresolved"

    await wait_until(is_unresolved)
    may_answer.set()
    await first
    shown = await scheduler.get(f"/{promotion_id}")

    assert ("unresolved", 1) == (shown["state"], len(ok.paid))
    assert '{"users": [501]}' == shown["draw"]["answer"]["body"]


async def test_an_application_that_left_the_configuration_is_not_drawn(scheduler: Scheduler, ok: Ok) -> None:
    promotion_id = await scheduler.begun()
    without = scheduler.config.model_copy(
        update={"apps": tuple(app for app in scheduler.config.apps if app.application_key != APP)}
    )
    await Drawing(scheduler.database, scheduler.clock, without, ok.url).look(msk(4))

    assert ("closed", []) == (await scheduler.state(promotion_id), ok.paid)
