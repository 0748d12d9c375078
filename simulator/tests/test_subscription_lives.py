from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from simulator_world import START, Simulator, failing, refusing

from okgames.ok_protocol import CallbackAction, ErrorCode
from simulator.domain.subscriptions import CHARGED_AGAIN_AFTER, CHARGES_AT_MOST

TRIAL, PAID, CANCELLED = (
    CallbackAction.TRIAL_SUBSCRIPTION,
    CallbackAction.REG_SUBSCRIPTION,
    CallbackAction.UNSUBSCRIBE,
)


def actions(ok: Simulator) -> list[str | None]:
    return [action for action, _ in ok.game.story()]


def times(ok: Simulator) -> list[datetime]:
    return [datetime.fromisoformat(time) for _, time in ok.game.story()]


async def test_a_trial_is_free_and_charged_at_its_end_and_then_each_period(ok: Simulator) -> None:
    started = await ok.player("subscribe", "apples")
    moved = await ok.advance("20d")

    assert 3 == moved["fired"]
    assert [TRIAL, PAID, PAID, PAID] == actions(ok)
    trial, first, second, third = times(ok)
    assert timedelta(days=3) == first - trial
    assert timedelta(days=7) == second - first == third - second
    assert ["0", "50", "50", "50"] == [call.parameters["amount"] for call in ok.game.calls]
    assert "completed" == started["status"]
    assert started["transaction_id"] is None
    assert ["3", None, None, None] == [call.parameters.get("trial_days") for call in ok.game.calls]


async def test_each_callback_tells_the_end_of_its_period_and_each_payment_has_an_id_of_its_own(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    await ok.advance("11d")

    trial, first, second = ok.game.calls
    for before, after in pairwise([trial, first, second]):
        assert before.ends_at == f"{datetime.fromisoformat(after.parameters['transaction_time']):%d-%m-%Y %H:%M:%S}"
    assert "transaction_id" not in trial.parameters
    assert first.parameters["transaction_id"] != second.parameters["transaction_id"]


async def test_without_a_trial_the_first_period_is_charged_at_once(ok: Simulator) -> None:
    started = await ok.player("subscribe", "vip")

    (call,) = ok.game.calls
    assert (PAID, "90") == (call.action, call.parameters["amount"])
    assert call.parameters["transaction_id"] == started["transaction_id"]


async def test_cancelling_stops_the_payments_and_tells_the_price_and_the_end(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    await ok.advance("4d")
    concluded = await ok.player("unsubscribe", "apples")
    await ok.advance("30d")

    assert [TRIAL, PAID, CANCELLED] == actions(ok)
    paid, cancelled = ok.game.calls[1:]
    assert (paid.ends_at, "50", None) == (
        cancelled.ends_at,
        cancelled.parameters["amount"],
        cancelled.parameters.get("transaction_id"),
    )
    assert "completed" == concluded["status"]
    assert ("cancelled", None) == ((row := await ok.subscription())["state"], row["next_charge_at"])


async def test_the_trial_is_had_once(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    await ok.player("unsubscribe", "apples")
    await ok.player("subscribe", "apples")
    await ok.player("unsubscribe", "apples")

    assert [TRIAL, CANCELLED, PAID, CANCELLED] == actions(ok)


async def test_a_trial_that_the_game_refused_was_not_had(ok: Simulator) -> None:
    ok.game.answers = [refusing(ErrorCode.CALLBACK_INVALID_PAYMENT)]

    assert "cancelled" == (await ok.player("subscribe", "apples"))["status"]
    assert (await ok.subscription())["state"] is None
    assert "completed" == (await ok.player("subscribe", "apples"))["status"]
    assert [TRIAL, TRIAL] == actions(ok)


async def test_callbacks_of_one_subscription_never_share_a_second(ok: Simulator) -> None:
    for _ in range(3):
        await ok.player("subscribe", "apples")
        await ok.player("unsubscribe", "apples")

    assert len(set(times(ok))) == 6
    assert sorted(times(ok)) == times(ok)


async def test_the_clock_stops_at_each_renewal_in_order(ok: Simulator) -> None:
    for uid in ("1", "2", "3"):
        await ok.player("subscribe", "apples", uid)
        await ok.advance("1h")
    ok.game.calls.clear()

    assert 9 == (await ok.advance("20d"))["fired"]
    assert sorted(times(ok)) == times(ok)
    assert ["1", "2", "3"] * 3 == [call.parameters["uid"] for call in ok.game.calls]


async def test_next_moves_the_clock_to_what_falls_due_first(ok: Simulator) -> None:
    started = await ok.player("subscribe", "apples")
    assert started["ends_at"] == (await ok.get("clock"))["next"]

    moved = await ok.post("clock", {"to": "next"})

    assert 1 == moved["fired"]
    late = datetime.fromisoformat(moved["now"]) - datetime.fromisoformat(started["ends_at"])
    assert timedelta() <= late < timedelta(minutes=1)


async def test_a_charge_that_fails_is_money_returned_and_tried_again_until_the_subscription_ends(
    ok: Simulator,
) -> None:
    await ok.player("subscribe", "vip")
    ok.game.answers = [failing(500)] * 3 * CHARGES_AT_MOST
    await ok.advance("14d")

    attempts = times(ok)[1:]
    assert 3 * CHARGES_AT_MOST == len(attempts)
    charges = sorted(set(attempts))
    assert all(CHARGED_AGAIN_AFTER <= after - before < 1.1 * CHARGED_AGAIN_AFTER for before, after in pairwise(charges))
    assert "failed" == (await ok.subscription("vip"))["state"]
    payments = (await ok.books())["payments"]
    assert ["completed"] + ["cancelled"] * CHARGES_AT_MOST == [row["status"] for row in payments]


async def test_a_charge_that_succeeds_later_carries_on_from_then(ok: Simulator) -> None:
    await ok.player("subscribe", "vip")
    ok.game.answers = [failing(500)] * 3
    await ok.advance("8d")

    first, *_, late = times(ok)
    assert timedelta(days=7, hours=1) <= late - first < timedelta(days=7, hours=1, minutes=1)
    row = await ok.subscription("vip")
    assert "active" == row["state"]
    assert ["completed", "cancelled", "completed"] == [notice["status"] for notice in row["notices"]]


async def test_a_cancellation_that_nobody_answers_is_told_again_until_it_is(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    ok.game.answers = [failing(500)] * 7

    concluded = await ok.player("unsubscribe", "apples")
    assert "pending" == concluded["status"]
    await ok.advance("3h")

    row = await ok.subscription()
    assert "cancelled" == row["state"]
    assert ("completed", 8) == (row["notices"][-1]["status"], row["notices"][-1]["attempts"])
    assert [TRIAL] + [CANCELLED] * 8 == actions(ok)
    assert 1 == len({call.parameters["transaction_time"] for call in ok.game.calls[1:]})


async def test_one_subscription_cannot_be_had_twice_at_a_time_nor_cancelled_twice(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    assert "Already subscribed" == (await ok.player("subscribe", "apples", status=409))["title"]
    await ok.player("subscribe", "vip")
    await ok.player("unsubscribe", "apples")
    assert "Not subscribed" == (await ok.player("unsubscribe", "apples", status=409))["title"]
    assert "Not subscribed" == (await ok.player("unsubscribe", "apples", "1002", status=409))["title"]
    assert "Not sold" == (await ok.player("subscribe", "gold_100", status=404))["title"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"advance": "a week"}, 400),
        ({"advance": "-1d"}, 400),
        ({"advance": ""}, 400),
        ({"to": "2026-03-09T00:00:00"}, 400),
        ({"to": "tomorrow"}, 400),
        ({"advance": "1d", "to": "next"}, 400),
        ({}, 400),
        ({"to": (START - timedelta(days=1)).isoformat()}, 409),
    ],
)
async def test_a_wrong_move_of_the_clock_is_refused(ok: Simulator, body: dict[str, str], status: int) -> None:
    problem = await ok.post("clock", body, status=status)

    assert status == problem["status"]


async def test_the_clock_moves_to_a_time(ok: Simulator) -> None:
    moved = await ok.post("clock", {"to": "2026-03-09T00:00:00+03:00"})

    assert moved["now"].startswith("2026-03-08T21:00:0")
    assert 0 == moved["fired"]
    assert 0 == (await ok.post("clock", {"to": "next"}))["fired"]
