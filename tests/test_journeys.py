"""What people see of okgames from the outside, over HTTP alone."""

import pytest
from ok_vectors import CALLBACKS
from world import APPLICATION_KEY, World

from okgames.testing import wait_until

# Starting three brokers and eight processes counts as a part of the first test.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


async def test_every_known_callback_gets_its_answer_whenever_it_comes(studio: World) -> None:
    expected = {vector.id: vector.error and str(int(vector.error)) for vector in CALLBACKS}
    for _ in range(2):
        assert expected == {vector.id: (await studio.callback(vector.query))[0] for vector in CALLBACKS}


async def test_a_purchase_reaches_the_game_once(studio: World) -> None:
    concluded = await studio.player("purchase", "1001", "gold_100")

    assert "completed" == concluded["status"]
    await wait_until(lambda: studio.game.items("1001") == {"gold": 100})
    (reward,) = studio.game.rewards("1001")
    assert ("purchase", concluded["transaction_id"], "gold_100") == (
        reward["reason"],
        reward["transaction_id"],
        reward["product"],
    )


async def test_trial_and_two_paid_weeks_give_seventeen_times_three_apples(studio: World) -> None:
    await studio.player("subscribe", "1002", "apples")
    await wait_until(lambda: studio.entitlements_are("1002", apples=("trial", True)))
    await studio.advance("3d")
    await wait_until(lambda: studio.entitlements_are("1002", apples=("active", True)))
    await studio.advance("13d1h")
    await studio.player("unsubscribe", "1002", "apples")
    await wait_until(lambda: studio.entitlements_are("1002", apples=("cancelled", False)))
    await studio.advance("10d")

    await wait_until(lambda: studio.game.items("1002") == {"apple": 17 * 3})
    await wait_until(lambda: studio.game.states("1002") == ["trial", "active", "active", "cancelled"])


async def test_rewards_of_days_on_which_the_system_was_down_are_made_up_for(studio: World) -> None:
    await studio.player("subscribe", "1003", "apples")
    await wait_until(lambda: studio.game.items("1003") == {"apple": 3})
    await studio.kill()
    await studio.advance("2d")
    await studio.start()

    await wait_until(lambda: studio.game.items("1003") == {"apple": 9}, timeout=60)


async def test_a_subscription_that_is_cancelled_may_run_on_to_its_end(studio: World) -> None:
    await studio.player("subscribe", "1004", "vip")
    await wait_until(lambda: studio.entitlements_are("1004", vip=("active", True)))
    await studio.advance("1d")
    await studio.player("unsubscribe", "1004", "vip")
    await wait_until(lambda: studio.entitlements_are("1004", vip=("cancelled", True)))
    await studio.advance("7d")

    await wait_until(lambda: studio.entitlements_are("1004", vip=("cancelled", False)))
    await wait_until(lambda: studio.game.items("1004") == {"crown": 1})


async def test_a_payment_whose_answer_was_lost_is_answered_the_same_and_rewarded_once(studio: World) -> None:
    await studio.sim("faults", {"lost_answers": {"next": 2}})
    concluded = await studio.player("purchase", "1005", "gold_500")

    assert "completed" == concluded["status"]
    assert 3 == len(concluded["attempts"])
    await wait_until(lambda: studio.game.items("1005") == {"gold": 500})
    timeline = await studio.get(f"/v1/apps/{APPLICATION_KEY}/users/1005/timeline")
    assert [concluded["transaction_id"]] == [
        item["transaction_id"] for item in timeline["items"] if item["what"] == "callback"
    ]


async def test_webhooks_of_a_player_keep_their_order_while_the_game_fails(studio: World) -> None:
    studio.game.answers = [500, 500, 200, 500]
    for product in ("gold_100", "gold_500", "gold_100"):
        await studio.player("purchase", "1006", product)
    await studio.advance("1h")

    await wait_until(lambda: len(studio.game.rewards("1006")) == 3, timeout=30)
    assert [100, 500, 100] == [reward["quantity"] for reward in studio.game.rewards("1006")]


async def test_a_stopped_system_ends_cleanly_and_goes_on_where_it_was(studio: World) -> None:
    await studio.player("purchase", "1007", "gold_100")
    assert 0 == await studio.stop()
    await studio.start()

    await wait_until(lambda: studio.game.items("1007") == {"gold": 100})
