import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from simulator_world import (
    START,
    Answering,
    Simulator,
    failing,
    free_port,
    hanging,
    movable_clock,
    refusing,
    simulating,
)

from okgames.clock import MovableClock
from okgames.ok_protocol import ErrorCode
from simulator.domain.attempts import Policy

FIVE_SECONDS = timedelta(seconds=5)


def outcomes(concluded: Any) -> list[str]:
    return [attempt["outcome"] for attempt in concluded["attempts"]]


async def test_a_purchase_is_told_once_and_completed(ok: Simulator) -> None:
    concluded = await ok.player("purchase", "gold_100", "9223372036854775807")

    (call,) = ok.game.calls
    expected = {
        "method": "callbacks.payment",
        "uid": "9223372036854775807",
        "amount": "50",
        "product_code": "gold_100",
        "transaction_id": concluded["transaction_id"],
    }
    assert call.is_signed
    assert expected == {name: call.parameters[name] for name in expected}
    assert "completed" == concluded["status"]
    assert ["accepted"] == outcomes(concluded)
    (payment,) = (await ok.books())["payments"]
    assert (concluded["transaction_id"], "completed", 50, True) == (
        payment["transaction_id"],
        payment["status"],
        payment["amount_oks"],
        payment["was_accepted"],
    )


@pytest.mark.parametrize(
    ("answers", "expected", "status"),
    [
        ([refusing(ErrorCode.PARAM_SIGNATURE)], ["refused"], "cancelled"),
        ([refusing(ErrorCode.CALLBACK_INVALID_PAYMENT)], ["refused"], "cancelled"),
        ([refusing(ErrorCode.SYSTEM)], ["refused"], "cancelled"),
        ([refusing(ErrorCode.SERVICE)], ["refused", "accepted"], "completed"),
        ([refusing(ErrorCode.UNKNOWN), failing(500)], ["refused", "failed", "accepted"], "completed"),
        ([failing(503), failing(404), failing(302)], ["failed", "failed", "failed"], "cancelled"),
    ],
)
async def test_ok_calls_again_until_it_has_an_answer(
    ok: Simulator, answers: list[Answering], expected: list[str], status: str
) -> None:
    ok.game.answers = answers

    concluded = await ok.player("purchase", "gold_100")

    assert expected == outcomes(concluded)
    assert status == concluded["status"]
    assert len(expected) == len(ok.game.calls)
    (payment,) = (await ok.books())["payments"]
    assert (status, status == "completed") == (payment["status"], payment["was_accepted"])


async def test_attempts_are_five_seconds_apart_by_the_clock_and_say_the_same(ok: Simulator) -> None:
    ok.game.answers = [failing(500), failing(500)]

    concluded = await ok.player("purchase", "gold_100")

    first, second, third = (datetime.fromisoformat(attempt["at"]) for attempt in concluded["attempts"])
    assert FIVE_SECONDS == second - first == third - second
    assert 1 == len({tuple(sorted(call.parameters.items())) for call in ok.game.calls})
    now = datetime.fromisoformat((await ok.get("clock"))["now"])
    assert third <= now < third + FIVE_SECONDS


async def test_a_game_that_hangs_is_given_up(database_url: str) -> None:
    policy = Policy(timeout=timedelta(seconds=0.2))
    async with movable_clock(database_url) as clock, simulating(clock, policy=policy) as ok:
        ok.game.answers = [hanging, hanging, hanging]
        concluded = await ok.player("purchase", "gold_100")

    assert "cancelled" == concluded["status"]
    assert {(None, "no answer in time")} == {(each["status"], each["reason"]) for each in concluded["attempts"]}


async def test_a_game_that_is_not_there_is_given_up(clock: MovableClock) -> None:
    async with simulating(clock, callback_url=f"http://127.0.0.1:{free_port()}/ok/callback") as ok:
        concluded = await ok.player("purchase", "gold_100")

    assert "cancelled" == concluded["status"]
    assert [None] * 3 == [attempt["status"] for attempt in concluded["attempts"]]


async def test_a_lost_answer_is_asked_for_again(ok: Simulator) -> None:
    await ok.faults(lost_answers={"next": 2})

    concluded = await ok.player("purchase", "gold_500")

    assert "completed" == concluded["status"]
    assert ["lost", "lost", "accepted"] == outcomes(concluded)
    assert 3 == len(ok.game.calls)


async def test_the_books_tell_what_the_game_granted_though_ok_gave_up(ok: Simulator) -> None:
    await ok.faults(lost_answers={"next": 3})

    concluded = await ok.player("purchase", "gold_500")

    assert "cancelled" == concluded["status"]
    (payment,) = (await ok.books())["payments"]
    assert ("cancelled", True) == (payment["status"], payment["was_accepted"])
    (total,) = (await ok.books())["totals"]
    assert (0, 0, 3) == (total["payments"], total["amount_oks"], total["attempts"])


async def test_the_price_is_the_one_in_force(ok: Simulator) -> None:
    await ok.player("purchase", "gems")
    await ok.advance("1d23h")
    await ok.player("purchase", "gems")
    await ok.advance("1h")
    await ok.player("purchase", "gems")

    assert ["10", "10", "15"] == [call.parameters["amount"] for call in ok.game.calls]


async def test_players_buy_at_the_same_time(ok: Simulator) -> None:
    await ok.faults(lost_answers=0.3, concurrent_duplicates=0.3, reordered=0.2, wrong_signature=0.2)
    uids = [str(uid) for uid in range(100)]

    concluded = await asyncio.gather(*(ok.player("purchase", "gold_100", uid) for uid in uids))

    payments = (await ok.books())["payments"]
    assert {each["transaction_id"] for each in concluded} == {row["transaction_id"] for row in payments}
    assert sorted(uids) == sorted(row["uid"] for row in payments)
    assert 100 == len({row["transaction_id"] for row in payments})


async def test_the_same_seed_gives_the_same_faults_however_calls_overlap(database_url: str) -> None:
    async def play(seed: str, *, one_by_one: bool) -> dict[str, list[str]]:
        async with movable_clock(database_url) as clock, simulating(clock, seed=seed) as ok:
            await ok.faults(lost_answers=0.5)
            calls = {uid: ok.player("purchase", "gold_100", uid) for uid in map(str, range(30))}
            if one_by_one:
                return {uid: outcomes(await call) for uid, call in calls.items()}
            return dict(zip(calls, map(outcomes, await asyncio.gather(*calls.values())), strict=True))

    played = await play("a", one_by_one=True)

    assert played == await play("a", one_by_one=False)
    assert played != await play("b", one_by_one=False)


@pytest.mark.parametrize(
    ("product", "status", "title"),
    [("silver", 404, "Not sold"), ("apples", 404, "Not sold"), ("soon", 404, "Not sold")],
)
async def test_what_is_not_sold_cannot_be_bought(ok: Simulator, product: str, status: int, title: str) -> None:
    assert title == (await ok.player("purchase", product, status=status))["title"]
    assert [] == ok.game.calls


async def test_transaction_times_are_local_to_the_zone_of_the_application(ok: Simulator) -> None:
    await ok.player("purchase", "gold_100")

    (call,) = ok.game.calls
    assert call.parameters["transaction_time"].startswith("2026-03-02 10:00:0")
    call_id = int(call.parameters["call_id"])
    assert 0 <= call_id - START.timestamp() * 1000 < 10_000
    assert call.parameters["transaction_id"].endswith(f"_{call_id}")
