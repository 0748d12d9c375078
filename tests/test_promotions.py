"""A promotion from its plan to the winner's post, as a community manager and a game see it."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from world import APPLICATION_KEY, World

from okgames.testing import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

MOSCOW = ZoneInfo("Europe/Moscow")
JIRA = "https://jira.example/PROMO-1"


class Manager:
    """Plans a promotion and does what people have to do for it."""

    def __init__(self, studio: World) -> None:
        self.studio = studio
        self.promotion_id = ""
        self.day = datetime.now(MOSCOW)

    async def plan(self) -> None:
        """Plan for the first day that the rules allow."""
        now = datetime.fromisoformat((await self.studio.clock())["now"]).astimezone(MOSCOW)
        wrong = (now - timedelta(days=1)).date()
        verdict = await self.studio.get("/v1/promotions/verdict", application_key=APPLICATION_KEY, day=str(wrong))
        day = verdict["alternatives"][0]
        self.day = datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=MOSCOW)
        body = {"application_key": APPLICATION_KEY, "day": day, "by": "Anna"}
        self.promotion_id = (await self.studio.post("/v1/promotions", body))["id"]

    async def act(self, action: str, **body: object) -> Any:
        return await self.studio.post(f"/v1/promotions/{self.promotion_id}/{action}", {"by": "Anna", **body})

    async def shown(self) -> Any:
        return await self.studio.get(f"/v1/promotions/{self.promotion_id}")

    async def wait_for(self, state: str) -> None:
        async def has_come() -> bool:
            return (await self.shown())["state"] == state

        await wait_until(has_come, timeout=30, message=f"the promotion is not {state}")

    async def until(self, days: int, hour: int, minute: int = 0) -> None:
        """Let the time come to a moment, seen from the promotion's day."""
        time = self.day + timedelta(days=days, hours=hour, minutes=minute)
        await self.studio.sim("clock", {"to": time.isoformat()})

    async def post_of(self, kind: str) -> Any:
        """Return the post, or the notification, of a kind as the notifier has worded it."""
        found: list[Any] = []

        async def is_worded() -> bool:
            posts = (await self.studio.get("/v1/posts", promotion_id=self.promotion_id))["items"]
            found[:] = [post for post in posts if post["kind"] == kind]
            return bool(found)

        await wait_until(is_worded, timeout=30, message=f"{kind} is not worded")
        return found[0]

    async def publish(self, kind: str) -> str:
        """Publish a post by hand and tell so; return its text."""
        post = await self.post_of(kind)
        body = {"by": "Anna", "url": f"https://ok.ru/group/1/topic/{len(kind)}"}
        await self.studio.post(f"/v1/posts/{post['id']}/published", body)
        return str(post["text"])


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
