"""A scheduler whose jobs are called one by one, at times that the test sets, a person who uses its API, and OK."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import orjson
from aiohttp import web

from okgames.catalogue import Config
from okgames.database import Database
from okgames.events import EVENT_TYPES, Event, PaymentReceived, Topic, derive_id
from okgames.http import with_problems
from okgames.settings import Settings
from promo_scheduler.http import Api
from promo_scheduler.jobs import Drawing, Naming, Ticking
from promo_scheduler.service import service

MOSCOW: Final = ZoneInfo("Europe/Moscow")
APP: Final = "CBTESTKEYABABABABA"
OTHER_APP: Final = "CBOTHERKEYABABABAB"
DAY: Final = date(2026, 3, 3)
"""A Tuesday."""

NAME: Final = "Backgammon 2026-03-03"
JIRA: Final = "https://jira.example/PROMO-1"
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)


def msk(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """Return a moment of March 2026 by the clocks of Moscow; days below 1 are of February."""
    first = datetime(2026, 3, 1, hour, minute, second, tzinfo=MOSCOW)
    return (first + timedelta(days=day - 1)).astimezone(UTC)


PLANNED: Final = msk(-4, 10)
"""A Tuesday, a week before the promotion."""


def app(key: str = APP, name: str = "Backgammon", **promotions: object) -> dict[str, object]:
    return {
        "name": name,
        "application_id": "1234567890",
        "application_key": key,
        "secret_keys": ["0123456789ABCDEF01234567"],
        "group_id": "70000000000001",
        "products": [
            {"code": "gold_100", "name": "A bag of gold", "price": 50},
            {
                "code": "gold_500",
                "name": "A chest of gold",
                "prices": [{"oks": 200}, {"from": msk(3), "oks": 150}, {"from": msk(4), "oks": 200}],
            },
        ],
        "promotions": promotions,
    }


def config(*apps: dict[str, object]) -> Config:
    return Config.model_validate({"apps": apps or (app(), app(OTHER_APP, "Chess", draw="automatic"))})


@dataclass
class StoppedClock:
    """Tell the time that a test has set."""

    time: datetime = PLANNED

    async def now(self) -> datetime:
        return self.time


Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Ok:
    """OK's API: it pays whenever it is asked to, and knows a few people."""

    winners: list[str] = field(default_factory=lambda: ["501"])
    names: dict[str, str] = field(default_factory=lambda: {"501": "Ivan Petrov"})
    calls: list[dict[str, str]] = field(default_factory=list)
    paying: Answering | None = None
    """Answers payment.appCashback, after it has paid, in place of a list of winners."""
    url: str = ""

    @property
    def paid(self) -> list[dict[str, str]]:
        return [call for call in self.calls if call["method"] == "payment.appCashback"]

    async def on_call(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.calls.append(form)
        if form["method"] == "payment.appCashback":
            return await self.paying(request) if self.paying else web.json_response({"users": self.winners})
        known = [uid for uid in form["uids"].split(",") if uid in self.names]
        return web.json_response([{"uid": uid, "name": self.names[uid]} for uid in known])


class Refusal(Exception):
    """The API answered with a problem."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem
        self.detail = str(problem.get("detail"))


@dataclass
class Scheduler:
    database: Database
    config: Config
    ok: Ok
    clock: StoppedClock
    http: aiohttp.ClientSession

    async def get(self, path: str = "", **query: str) -> dict[str, Any]:
        async with self.http.get(f"/v1/promotions{path}", params=query) as response:
            return await _answer(response)

    async def post(self, path: str = "", **body: object) -> dict[str, Any]:
        data = orjson.dumps({"by": "Anna", **body})
        async with self.http.post(f"/v1/promotions{path}", data=data) as response:
            return await _answer(response)

    async def upload(self, path: str, content: bytes, media_type: str = "image/png", **query: str) -> dict[str, Any]:
        headers = {"Content-Type": media_type}
        async with self.http.post(
            f"/v1/promotions{path}", params=query, data=io.BytesIO(content), headers=headers
        ) as response:
            return await _answer(response)

    async def plan(self, day: date = DAY, application_key: str = APP) -> str:
        planned = await self.post(application_key=application_key, day=str(day))
        return str(planned["id"])

    async def state(self, promotion_id: str) -> str:
        return str((await self.get(f"/{promotion_id}"))["state"])

    async def step(self, promotion_id: str, name: str) -> dict[str, Any]:
        steps = (await self.get(f"/{promotion_id}"))["steps"]
        return next(step for step in steps if step["step"] == name)

    async def tick(self, at: datetime | None = None) -> None:
        """Let the time come, and run the job that minds it."""
        if at is not None:
            self.clock.time = at
        while await Ticking(self.database, self.config).tick(self.clock.time):
            pass

    async def draw(self) -> None:
        """Run the job that makes the call which pays."""
        while await Drawing(self.database, self.clock, self.config, self.ok.url).look(self.clock.time):
            pass

    async def name_winners(self) -> None:
        await Naming(self.database, self.clock, self.config, self.ok.url).look(self.clock.time)

    async def learn(self, *events: Event) -> None:
        """Handle one batch, as far as there is use for it."""
        url = self.database.url
        handler = service(Settings(database_url=url), self.config, self.clock).handlers[events[0].topic]
        if wanted := [event for event in events if type(event) in handler.types]:
            async with self.database.transaction() as tx:
                await handler.handle(tx, wanted)

    async def approved(self, application_key: str = APP) -> str:
        """Plan a promotion and bring it to OK's approval with its prize fund."""
        promotion_id = await self.plan(DAY, application_key)
        one = f"/{promotion_id}"
        await self.post(f"{one}/request", link=JIRA)
        await self.post(f"{one}/approve", link=JIRA)
        await self.post(f"{one}/evidence", step="prize_fund", amount_oks=1000, link=JIRA)
        return promotion_id

    async def closed(self, application_key: str = APP) -> str:
        """Bring a promotion with one payer to the time of its draw."""
        promotion_id = await self.approved(application_key)
        await self.tick(msk(3, 9))
        await self.learn(payment("501", 1, msk(3, 9), application_key=application_key))
        await self.tick(msk(4, 0, 20))
        return promotion_id

    async def begun(self) -> str:
        """Bring a promotion to where a person has begun the draw."""
        promotion_id = await self.closed()
        await self.post(f"/{promotion_id}/draw", name=NAME)
        return promotion_id

    async def told(self, *types: str) -> list[Any]:
        """Return what went into the log, in order; of some types only, if any are given."""
        rows = await self.rows(
            "select type, data from event_log.events where topic = $1 order by position", Topic.PROMOTIONS
        )
        wanted = [row for row in rows if not types or row["type"] in types]
        return [EVENT_TYPES[row["type"]].model_validate_json(row["data"]) for row in wanted]

    async def rows(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.database.connection() as connection:
            return await connection.fetch(statement, *arguments)


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    answer = await response.json(content_type=None)
    if not response.ok:
        raise Refusal(response.status, answer)
    return dict(answer)


def payment(uid: str, number: int, at: datetime, *, oks: int = 50, application_key: str = APP) -> PaymentReceived:
    return PaymentReceived(
        id=derive_id("payment", application_key, uid, number),
        occurred_at=at,
        application_key=application_key,
        uid=uid,
        product="gold_100",
        transaction_id=f"t{number}",
        amount_oks=oks,
    )


@asynccontextmanager
async def listening(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering_calls(ok: Ok) -> AsyncIterator[None]:
    application = web.Application()
    application.router.add_post("/fb.do", ok.on_call)
    async with listening(application) as url:
        ok.url = url
        yield


@asynccontextmanager
async def scheduling(database: Database, of: Config, ok: Ok) -> AsyncIterator[Scheduler]:
    clock = StoppedClock()
    application = web.Application()
    for route in Api(database, clock, of).routes():
        application.router.add_route(route.method, route.path, with_problems(route.handler))
    async with listening(application) as url, aiohttp.ClientSession(url) as http:
        yield Scheduler(database, of, ok, clock, http)
