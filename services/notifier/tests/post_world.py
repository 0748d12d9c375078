"""A promotion whose posts and notifications a notifier brings to OK, which the simulator plays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from notifier_world import CONFIG, KEY, cut, studio_of
from simulator_world import Simulator, simulating

from notifier.domain.post import Post, PostState
from notifier.handlers import on_promotions
from notifier.jobs.publisher import Publisher
from notifier.jobs.tokens import TokenKeeper
from notifier.store.posts import find_posts
from okgames.catalogue import Config
from okgames.clock import MovableClock
from okgames.database import Database
from okgames.events import (
    Audience,
    Event,
    GroupPostDue,
    NotificationDue,
    PromotionPost,
    Winner,
    derive_id,
)

START: Final = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
DAY: Final = date(2026, 3, 3)
OPENS_AT: Final = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
CLOSES_AT: Final = OPENS_AT + timedelta(days=1)
PROMOTION: Final = derive_id("promotion", KEY, DAY)


def post(kind: PromotionPost, *winners: Winner, not_before: datetime = START) -> GroupPostDue:
    return GroupPostDue(
        id=derive_id("due", kind),
        occurred_at=START,
        application_key=KEY,
        promotion_id=PROMOTION,
        game="Backgammon",
        day=DAY,
        post=kind,
        opens_at=OPENS_AT,
        closes_at=CLOSES_AT,
        prizes_oks=(1000,),
        winners=winners,
        not_before=not_before,
        due_by=OPENS_AT,
    )


def notification(audience: Audience = Audience.PUBLIC, *, not_before: datetime = START) -> NotificationDue:
    return NotificationDue(
        id=derive_id("due", audience),
        occurred_at=START,
        application_key=KEY,
        promotion_id=PROMOTION,
        game="Backgammon",
        day=DAY,
        audience=audience,
        prizes_oks=(1000,),
        not_before=not_before,
        due_by=OPENS_AT + timedelta(hours=12),
        expires_at=CLOSES_AT - timedelta(minutes=1),
    )


def configured(**changed: object) -> Config:
    """Return the configuration with other settings of its application."""
    return CONFIG.model_copy(update={"apps": (CONFIG.apps[0].model_copy(update=changed),)})


@dataclass
class Press:
    """The notifier's part that speaks to players, without the runtime around it."""

    database: Database
    clock: MovableClock
    ok: Simulator
    publisher: Publisher
    tokens: TokenKeeper
    config: Config

    async def tell(self, *events: Event) -> None:
        async with self.database.transaction() as tx:
            await on_promotions(self.clock, studio_of(config=self.config), tx, events)

    async def publish(self) -> None:
        while await self.publisher.publish(await self.clock.now()):
            pass

    async def look_up(self) -> None:
        """Look up what is unknown, as if the time to wait for it were over."""
        await self.leases_end()
        while await self.publisher.look_up(await self.clock.now()):
            pass

    async def leases_end(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute("update posts set leased_until = now() - interval '1 second'")

    async def stop(self) -> None:
        while await self.publisher.stop(await self.clock.now()):
            pass

    async def posts(self) -> list[Post]:
        async with self.database.connection() as connection:
            return [each for _, each in await find_posts(connection, None, None, None, 0, 100)]

    async def post(self) -> Post:
        (one,) = await self.posts()
        return one

    async def states(self) -> list[PostState]:
        return [each.state for each in await self.posts()]

    async def books(self, page: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ok.books())[page]
        return found

    async def events(self) -> list[str]:
        async with self.database.connection() as connection:
            rows = await connection.fetch("select type from event_log.events order by position")
        return [str(row["type"]) for row in rows]

    def killed(self) -> None:
        """Cut the notifier off from its database, as when it is killed."""
        cut(self.database)


@asynccontextmanager
async def at_press(database_url: str, config: Config = CONFIG, *, ok_api: str | None = None) -> AsyncIterator[Press]:
    database = Database(database_url, "notifier")
    await database.open()
    clock = MovableClock(database)
    await clock.start_at(START)
    apps = {app.application_key: app for app in config.apps}
    async with simulating(clock) as ok:
        tokens = TokenKeeper(database, ok_api or ok.url, apps)
        publisher = Publisher(database, clock, ok_api or ok.url, apps, tokens.alarm)
        yield Press(database, clock, ok, publisher, tokens, config)
    await database.close()
