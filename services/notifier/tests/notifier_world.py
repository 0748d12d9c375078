"""A game with a server, and a notifier that tells it what happened."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractResolver

from notifier.domain.endpoint import Endpoint
from notifier.domain.report import DeliveryReport, EndpointReport
from notifier.handlers import Studio, on_entitlements, on_promotions
from notifier.jobs.courier import Courier
from notifier.service import wording
from notifier.store.deliveries import load_deliveries
from notifier.store.endpoints import load_endpoints
from okgames.catalogue import Config
from okgames.clock import MovableClock
from okgames.consumer import keep_going
from okgames.database import Database
from okgames.events import Event, PromotionEvent, RewardGranted, RewardReason, derive_id
from okgames.testing import DatabaseTemplates, Migrations, wait_until
from okgames.webhooks import Webhook, verify

NOW: Final = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY: Final = "CBTESTKEYABABABABA"

CONFIG: Final = Config.model_validate(
    {
        "apps": [
            {
                "name": "Backgammon",
                "application_id": "1234567890",
                "application_key": KEY,
                "secret_keys": ["0123456789ABCDEF01234567"],
                "group_id": "70000000000001",
                "access_tokens": ["tkn-TEST-ACCESS-TOKEN"],
                "promotions": {"publishing": "automatic"},
            }
        ]
    }
)

_NUMBERS: Final = itertools.count()

Answering = Callable[[Webhook], Awaitable[web.StreamResponse]]


@dataclass
class Game:
    """The game's server: keeps each webhook that it could verify, and answers as the test says."""

    secrets: tuple[str, ...] = (SECRET,)
    answering: Answering | None = None
    seen: list[Webhook] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/okgames"

    def endpoint(
        self,
        *,
        url: str | None = None,
        secrets: tuple[str, ...] = (SECRET,),
        events: tuple[str, ...] = ("*",),
        allow_private: bool = False,
    ) -> Endpoint:
        url = url or self.url
        return Endpoint(derive_id("endpoint", KEY, url), KEY, url, secrets, events, allow_private)

    def rewards_of(self, uid: str) -> list[str]:
        return [str(webhook.data["item"]) for webhook in self.seen if webhook.data["uid"] == uid]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        webhook = verify(self.secrets, request.headers, body)
        self.seen.append(webhook)
        self.headers.append(dict(request.headers))
        self.bodies.append(body)
        if self.answering is None:
            return web.Response(text="thanks")
        return await self.answering(webhook)


@asynccontextmanager
async def playing(game: Game) -> AsyncIterator[Game]:
    app = web.Application()
    app.router.add_post("/{path:.*}", game.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    game.port = runner.addresses[0][1]
    try:
        yield game
    finally:
        await runner.cleanup()


def statuses(*statuses: int, headers: dict[str, str] | None = None) -> Answering:
    """Answer each webhook with these statuses, one after the other, and then with the last for good."""
    left: dict[str, list[int]] = defaultdict(lambda: list(statuses))

    async def answering(webhook: Webhook) -> web.StreamResponse:
        of_webhook = left[webhook.id]
        status = of_webhook.pop(0) if len(of_webhook) > 1 else of_webhook[0]
        return web.Response(status=status, text=f"that is {status}", headers=headers)

    return answering


def reward(uid: str, number: int, *, at: datetime = NOW) -> RewardGranted:
    """Make the player's reward of this number, whose item is called after the number."""
    return RewardGranted(
        id=derive_id("test", uid, number),
        occurred_at=at,
        application_key=KEY,
        uid=uid,
        reward_id=derive_id("reward", uid, number),
        product="apples",
        item=str(number),
        quantity=3,
        reason=RewardReason.DAILY,
        transaction_id=None,
    )


def studio_of(*endpoints: Endpoint, config: Config = CONFIG) -> Studio:
    of_app = defaultdict(list)
    for endpoint in endpoints:
        of_app[endpoint.application_key].append(endpoint)
    return Studio(config, of_app, wording())


@dataclass
class Notifier:
    """A notifier at work, without the runtime around it."""

    database: Database
    clock: MovableClock
    courier: Courier
    endpoints: Sequence[Endpoint]

    async def tell(self, *events: Event) -> None:
        studio = studio_of(*self.endpoints)
        handler = on_promotions if isinstance(events[0], PromotionEvent) else on_entitlements
        async with self.database.transaction() as tx:
            await handler(self.clock, studio, tx, events)
        self.courier.wake()

    async def move(self, by: timedelta) -> None:
        await self.clock.move_to(await self.clock.now() + by)
        self.courier.wake()

    async def pass_retries(self, count: int) -> None:
        """Move the clock from one due time to the next, so many times, and let the attempts be made."""
        for _ in range(count):
            await wait_until(self.rests)
            async with self.database.connection() as connection:
                await self.clock.move_to(await connection.fetchval("select min(due_at) from lanes"))
            self.courier.wake()
        await wait_until(self.rests)

    async def rests(self) -> bool:
        """Tell whether nothing is under way and nothing is due at an endpoint that is active."""
        async with self.database.connection() as connection:
            return bool(
                await connection.fetchval(
                    """
                    select count(*) = 0
                    from lanes join endpoints on endpoints.id = lanes.endpoint_id
                    where leased_until is not null or due_at <= $1 and paused_at is null
                    """,
                    await self.clock.now(),
                )
            )

    async def attempts_made(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from attempts"))

    async def deliveries(self) -> list[DeliveryReport]:
        async with self.database.connection() as connection:
            ids = [row["id"] for row in await connection.fetch("select id from deliveries")]
            return await load_deliveries(connection, ids)

    async def delivery(self) -> DeliveryReport:
        (delivery,) = await self.deliveries()
        return delivery

    async def are(self, *states: str) -> bool:
        """Tell whether the deliveries, in their order, are in these states."""
        return list(states) == [delivery.state for delivery in await self.deliveries()]

    async def until(self, *states: str) -> None:
        await wait_until(partial(self.are, *states), message=f"deliveries are not {states}")

    async def endpoint(self) -> EndpointReport:
        async with self.database.connection() as connection:
            (endpoint,) = await load_endpoints(connection)
        return endpoint

    async def events(self) -> list[str]:
        async with self.database.connection() as connection:
            rows = await connection.fetch("select type from event_log.events order by position")
        return [str(row["type"]) for row in rows]


@asynccontextmanager
async def notifying(
    database_url: str,
    *endpoints: Endpoint,
    answer_within: timedelta = timedelta(seconds=3),
    resolver: AbstractResolver | None = None,
) -> AsyncIterator[Notifier]:
    """Run a notifier; leave by `Killed` to see it end without a chance to put anything in order."""
    database = Database(database_url, "notifier")
    await database.open()
    clock = MovableClock(database)
    await clock.start_at(NOW)
    courier = Courier(database, clock, endpoints, answer_within=answer_within, resolver=resolver)
    notifier = Notifier(database, clock, courier, endpoints)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(keep_going(task.__name__, task)) for task in (courier.feed, courier.send, courier.record)
        ]
        try:
            await courier.wait_for_endpoints()
            yield notifier
        except Killed:
            cut(database)
        finally:
            for task in tasks:
                task.cancel()
    await database.close()


@contextmanager
def fresh_database(templates: DatabaseTemplates, migrations: Migrations) -> Iterator[str]:
    """A database for one example of a property, which cannot have fixtures of its own."""
    name = f"notifier_{next(_NUMBERS)}"
    templates.copy(migrations, name)
    yield templates.url_of(name)
    templates.drop_database(name)


class Killed(Exception):
    pass


def cut(database: Database) -> None:
    pool = database._pool
    assert pool is not None
    pool.terminate()
