"""A community manager, who runs promotions."""

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from world import APPLICATION_KEY, World

from okgames.testing import wait_until

MOSCOW: Final = ZoneInfo("Europe/Moscow")


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
