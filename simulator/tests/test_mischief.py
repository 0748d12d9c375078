import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from simulator_world import APPLICATION_KEY, Simulator, movable_clock, refusing, simulating

from okgames.ok_protocol import ErrorCode
from okgames.testing import wait_until
from simulator.domain.attempts import Policy


async def extra_calls(ok: Simulator) -> Any:
    return (await ok.books())["extra_calls"]


async def test_a_concurrent_duplicate_is_the_same_callback(ok: Simulator) -> None:
    await ok.faults(concurrent_duplicates=1)

    concluded = await ok.player("purchase", "gold_100")

    assert "completed" == concluded["status"]
    one, other = ok.game.calls
    assert one.parameters == other.parameters
    assert (1, 0) == ((calls := await extra_calls(ok))["duplicates"], calls["duplicates_answered_differently"])


async def test_a_duplicate_that_is_answered_otherwise_is_counted(ok: Simulator) -> None:
    await ok.faults(concurrent_duplicates={"next": 1}, late_duplicates={"next": 1})
    ok.game.answers = [refusing(ErrorCode.CALLBACK_INVALID_PAYMENT)]
    await ok.player("purchase", "gold_100")
    await ok.player("purchase", "gold_100")
    ok.game.answers = [refusing(ErrorCode.CALLBACK_INVALID_PAYMENT)]
    await ok.advance("4d")

    assert 2 == (await extra_calls(ok))["duplicates_answered_differently"]


async def test_a_late_duplicate_comes_days_after_and_changes_nothing_in_the_books(ok: Simulator) -> None:
    await ok.faults(late_duplicates=1)
    await ok.player("purchase", "gold_100")
    before = await ok.books()

    assert 1 == (await ok.advance("4d"))["fired"]

    one, other = ok.game.calls
    assert one.parameters == other.parameters
    after = await ok.books()
    assert 1 == after["extra_calls"]["duplicates"]
    assert before["payments"] == after["payments"]


async def test_a_forgery_is_unsigned_and_never_in_the_books(ok: Simulator) -> None:
    await ok.faults(wrong_signature=1)
    concluded = await ok.player("purchase", "gold_100")

    forged, real = ok.game.calls
    assert [False, True] == [forged.is_signed, real.is_signed]
    assert forged.parameters["transaction_id"] != real.parameters["transaction_id"]
    books = await ok.books()
    assert [concluded["transaction_id"]] == [row["transaction_id"] for row in books["payments"]]
    assert (1, 0) == (books["extra_calls"]["forgeries"], books["extra_calls"]["forgeries_accepted"])


async def test_unknown_parameters_are_signed(ok: Simulator) -> None:
    await ok.player("purchase", "gold_100", "1")
    await ok.faults(unknown_parameters=1)
    for uid in range(20):
        await ok.player("purchase", "gold_100", str(uid))

    assert all(call.is_signed for call in ok.game.calls)
    known = set(ok.game.calls[0].parameters) | {"product_option", "extra_attributes"}
    assert all(set(call.parameters) - known for call in ok.game.calls[1:])


@pytest.mark.parametrize(("mode", "expected"), [("absent", {None}), ("empty", {""}), ("mixed", {None, ""})])
async def test_a_callback_without_a_payment_has_no_transaction_id(
    ok: Simulator, mode: str, expected: set[str | None]
) -> None:
    await ok.faults(transaction_id=mode)
    for uid in range(10):
        await ok.player("subscribe", "apples", str(uid))
        await ok.player("unsubscribe", "apples", str(uid))

    assert expected == {call.parameters.get("transaction_id") for call in ok.game.calls}


async def test_two_purchases_of_a_player_arrive_the_other_way_round(ok: Simulator) -> None:
    await ok.faults(reordered={"next": 1})
    first = asyncio.ensure_future(ok.player("purchase", "gold_100"))
    await wait_until(lambda: _is_held(ok))
    await ok.player("purchase", "gold_500")
    await first

    assert ["gold_500", "gold_100"] == [call.parameters["product_code"] for call in ok.game.calls]


async def _is_held(ok: Simulator) -> bool:
    return (await ok.get("faults"))["reordered"] == {"next": 0}


async def test_a_callback_that_waits_for_another_in_vain_is_told_all_the_same(ok: Simulator) -> None:
    await ok.faults(reordered=1)

    assert "completed" == (await ok.player("purchase", "gold_100"))["status"]


async def test_a_renewal_may_arrive_after_the_cancellation_that_followed_it(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    await ok.faults(reordered={"next": 1})
    await ok.post("clock", {"to": "next"})
    await ok.player("unsubscribe", "apples")

    assert ["trial_subscription", "unsubscribe", "reg_subscription"] == [call.action for call in ok.game.calls]
    _, cancelled, renewed = (time for _, time in ok.game.story())
    assert renewed < cancelled
    row = await ok.subscription()
    assert "cancelled" == row["state"]
    assert ["completed"] * 3 == [notice["status"] for notice in row["notices"]]
    assert 0 == (await ok.advance("20d"))["fired"] - 1


async def test_a_renewal_that_waits_for_nobody_is_told_half_an_hour_later(ok: Simulator) -> None:
    await ok.player("subscribe", "apples")
    await ok.faults(reordered={"next": 1})
    await ok.advance("3d1h")

    assert ["trial_subscription", "reg_subscription"] == [call.action for call in ok.game.calls]
    assert "active" == (await ok.subscription())["state"]
    await ok.advance("7d")
    assert 3 == len(ok.game.calls)


async def test_a_refund_is_a_row_in_the_books_and_no_callback(ok: Simulator) -> None:
    await ok.faults(refunds=1)
    concluded = await ok.player("purchase", "gold_500")
    await ok.advance("4d")

    assert 1 == len(ok.game.calls)
    books = await ok.books()
    (refund,) = books["refunds"]
    assert (concluded["transaction_id"], "CREDIT", 200) == (
        refund["transaction_id"],
        refund["operation"],
        refund["amount_oks"],
    )
    assert 1 == books["totals"][0]["refunds"]


async def test_a_renewal_by_card_is_the_same_callback(ok: Simulator) -> None:
    await ok.player("subscribe", "vip")
    await ok.faults(card_charges=1)
    await ok.advance("7d")

    first, renewal = ok.game.calls
    assert set(first.parameters) - {"product_option"} == set(renewal.parameters) - {"product_option"}
    assert ["oks", "card"] == [row["charged_to"] for row in (await ok.books())["payments"]]


async def test_a_renewal_that_nothing_pays_for_is_no_callback_and_is_tried_again_the_next_day(ok: Simulator) -> None:
    await ok.player("subscribe", "vip")
    await ok.faults(unpaid_renewals={"next": 2})
    await ok.advance("8d12h")
    assert 1 == len(ok.game.calls)
    assert "active" == (await ok.subscription("vip"))["state"]

    await ok.advance("1d")

    first, late = (datetime.fromisoformat(time) for _, time in ok.game.story())
    assert timedelta(days=9) == late - first


async def test_a_subscription_that_nothing_pays_for_ends_without_a_callback(ok: Simulator) -> None:
    await ok.player("subscribe", "vip")
    await ok.faults(unpaid_renewals=1)
    await ok.advance("30d")

    assert 1 == len(ok.game.calls)
    assert "failed" == (await ok.subscription("vip"))["state"]
    await ok.player("subscribe", "vip")
    assert "active" == (await ok.subscription("vip"))["state"]


async def test_a_slow_call_leaves_the_game_less_time(database_url: str) -> None:
    async with (
        movable_clock(database_url) as clock,
        simulating(clock, policy=Policy(timeout=timedelta(seconds=0.3))) as ok,
    ):
        await ok.faults(slow={"next": 1}, slow_seconds=0.1)
        assert "completed" == (await ok.player("purchase", "gold_100"))["status"]
        await ok.faults(slow={"next": 1}, slow_seconds=0.4)
        concluded = await ok.player("purchase", "gold_100")

    assert ["failed", "accepted"] == [attempt["outcome"] for attempt in concluded["attempts"]]
    assert 2 == len(ok.game.calls)


async def test_the_faults_in_force_can_be_read_and_a_new_mix_replaces_them(ok: Simulator) -> None:
    await ok.faults(lost_answers=0.25, slow={"next": 3})
    first = await ok.get("faults")
    await ok.faults(slow=0.5)
    second = await ok.get("faults")

    assert (0.25, {"next": 3}) == (first["lost_answers"], first["slow"])
    assert (0, 0.5) == (second["lost_answers"], second["slow"])
    problem = await ok.post("faults", {"lost_answer": 1}, status=400)
    assert "lost_answer" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"application_key": APPLICATION_KEY, "uid": "1001"},
        {"application_key": APPLICATION_KEY, "uid": "", "product": "gold_100"},
        {"application_key": APPLICATION_KEY, "uid": 1001, "product": "gold_100"},
        {"application_key": APPLICATION_KEY, "uid": "1001", "product": "gold_100", "price": 1},
    ],
)
async def test_a_wrong_body_is_refused(ok: Simulator, body: dict[str, Any]) -> None:
    problem = await ok.post("purchase", body, status=400)

    assert "Wrong body" == problem["title"]


async def test_an_application_that_is_not_configured_has_no_players(ok: Simulator) -> None:
    body = {"application_key": "UNKNOWN", "uid": "1001", "product": "gold_100"}

    assert "no application UNKNOWN" == (await ok.post("purchase", body, status=404))["detail"]


async def test_books_add_up_after_a_month_of_everything_at_once(ok: Simulator) -> None:
    await ok.faults(
        lost_answers=0.1,
        concurrent_duplicates=0.1,
        late_duplicates=0.2,
        reordered=0.1,
        wrong_signature=0.1,
        unknown_parameters=0.2,
        transaction_id="mixed",
        refunds=0.1,
        card_charges=0.2,
    )
    uids = [str(uid) for uid in range(20)]
    await asyncio.gather(*(ok.player("subscribe", "apples", uid) for uid in uids))
    await ok.advance("10d")
    await asyncio.gather(*(ok.player("unsubscribe", "apples", uid) for uid in uids[:10]))
    await ok.advance("20d")

    books = await ok.books()
    assert books["extra_calls"]["forgeries"] == len(ok.game.calls) - len(ok.game.signed)
    assert books["attempts"] + books["extra_calls"]["duplicates"] == len(ok.game.signed)
    completed = [row for row in books["payments"] if row["status"] == "completed"]
    assert sum(row["amount_oks"] for row in completed) == sum(row["amount_oks"] for row in books["totals"])
    assert {"cancelled": 10, "active": 10} == _counted(row["state"] for row in books["subscriptions"])


def _counted(values: Any) -> dict[str, int]:
    found = list(values)
    return {value: found.count(value) for value in found}
