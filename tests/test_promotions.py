"""A promotion from its plan to the winner's post, as a community manager and a game see it."""

import pytest
from manager import Manager
from world import APPLICATION_KEY, World

from okgames.testing import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

JIRA = "https://jira.example/PROMO-1"


async def test_a_promotion_runs_from_the_plan_to_the_winners_post(studio: World) -> None:
    manager = Manager(studio)
    await manager.plan()
    await manager.act("request", link=JIRA)
    await manager.act("approve", link=JIRA)
    await manager.act("evidence", step="prize_fund", amount_oks=1000, link=JIRA)
    await studio.sim("cashback", {"application_key": APPLICATION_KEY, "oks": 1000})
    await manager.until(-1, 12)
    assert "Backgammon" in await manager.publish("conditions")
    await manager.wait_for("announced")
    await manager.until(0, 0)
    await manager.wait_for("open")
    notification = await manager.post_of("notification")
    await studio.post(f"/v1/posts/{notification['id']}/approve", {"by": "Anna"})
    await manager.until(0, 9)
    await manager.wait_for("notified")
    await studio.player("purchase", "7001", "gold_100")
    await studio.player("purchase", "7001", "gold_500")

    async def counts() -> bool:
        takings = (await manager.shown())["takings"]
        return takings == {"payers": 1, "payments": 2, "amount_oks": 250}

    await wait_until(counts, timeout=30, message="the payments are not counted")
    await manager.until(1, 0, 20)
    await manager.wait_for("closed")
    await manager.act("draw", name=(await manager.shown())["name"])
    await manager.wait_for("drawn")
    [winner] = (await manager.shown())["winners"]
    assert ("7001", 1000, True) == (winner["uid"], winner["prize_oks"], winner["is_payer"])
    text = await manager.publish("winner")
    assert "7001" in text
    await manager.wait_for("published")
    await manager.until(1, 14, 1)
    await manager.wait_for("completed")

    [account] = (await studio.books())["cashback_accounts"]
    assert 0 == account["balance_oks"]
    kinds = [f"promotion.{kind}" for kind in ("scheduled", "opened", "closed", "winner_drawn")]
    await wait_until(lambda: all(studio.game.of_type(kind) for kind in kinds), timeout=30)
    kept = {each["rule"]: each["kept"] for each in (await manager.shown())["rules"]}
    assert {"conditions": True, "winner": True, "prize_fund": True, "title": True} == {
        rule: kept[rule] for rule in ("conditions", "winner", "prize_fund", "title")
    }


async def test_a_draw_whose_answer_is_lost_waits_for_a_person_also_after_a_kill(studio: World) -> None:
    manager = Manager(studio)
    await manager.plan()
    await manager.act("request", link=JIRA)
    await manager.act("approve", link=JIRA)
    await manager.act("evidence", step="prize_fund", amount_oks=1000, link=JIRA)
    await studio.sim("cashback", {"application_key": APPLICATION_KEY, "oks": 1000})
    await manager.until(0, 12)
    await studio.player("purchase", "7002", "gold_100")
    await manager.until(1, 0, 20)
    await manager.wait_for("closed")
    await studio.sim("faults", {"cashback_lost_answers": {"next": 1}})
    await manager.act("draw", name=(await manager.shown())["name"])
    await manager.wait_for("unresolved")
    await studio.kill()
    await studio.start()
    await studio.advance("1h")

    assert "unresolved" == (await manager.shown())["state"]
    [account] = (await studio.books())["cashback_accounts"]
    assert 0 == account["balance_oks"], "OK has paid once"
    await manager.act("resolve", evidence="the winner wrote to us; PROMO-1, comment 4", winners=["7002"])
    await manager.publish("winner")
    await manager.wait_for("published")
