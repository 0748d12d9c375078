"""The jira-desk, the simulator's JIRA on a clock that tests move, and a promo-scheduler that has pictures."""

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import orjson
from aiohttp import web
from pydantic import SecretStr

from jira_desk.evidence_client import EvidenceClient
from jira_desk.handlers import on_promotions
from jira_desk.http.access import AccessApi
from jira_desk.http.errands import ErrandsApi
from jira_desk.http.issues import IssuesApi
from jira_desk.http.projects import ProjectsApi
from jira_desk.http.reports import ReportsApi
from jira_desk.jira_client import JiraClient
from jira_desk.jobs.errands import Running
from jira_desk.jobs.following import Following
from jira_desk.jobs.reports import Fetching
from okgames.catalogue import Config
from okgames.clock import MovableClock
from okgames.database import Database
from okgames.events import (
    EVENT_TYPES,
    Event,
    JiraAttachmentDue,
    JiraRequestDue,
    PromotionCancelled,
    Topic,
    derive_id,
)
from okgames.http import with_problems
from okgames.kafka_brokers import free_ports
from okgames.settings import HttpAddress, Settings
from simulator.service import serve

APP: Final = "CBTESTKEYABABABABA"
START: Final = datetime(2026, 2, 24, 7, tzinfo=UTC)
DAY: Final = date(2026, 3, 3)
PROMOTION: Final = derive_id("promotion")
PICTURE: Final = b"\x89PNG\r\n\x1a\nscreen"
TOKEN: Final = "a token of a test"
HOUR: Final = timedelta(hours=1)


def config(mode: str = "rest", **jira: Any) -> Config:
    app = {
        "name": "Backgammon",
        "application_id": "1234567890",
        "application_key": APP,
        "secret_keys": ["0123456789ABCDEF01234567"],
    }
    projects = [{"task": task, "key": task, "mode": mode} for task in ("OK", "PROMO", "REPORT", "ADVDOC", "DOC")]
    account: dict[str, Any] = {"user": "studio", "passwords": ["secret"]}
    waiting = {"Waiting for developer": "answer_wanted"}
    return Config.model_validate(
        {"apps": [app], "jira": {**account, "projects": projects, "statuses": waiting, **jira}}
    )


def request_due(**changes: Any) -> JiraRequestDue:
    fields: dict[str, Any] = {
        "id": derive_id("request_due", PROMOTION),
        "occurred_at": START,
        "application_key": APP,
        "promotion_id": PROMOTION,
        "game": "Backgammon",
        "day": DAY,
        "title": f"1,000 OKs: Backgammon, {DAY}",
        "prizes_oks": (1000,),
        "due_by": START + 72 * HOUR,
    }
    return JiraRequestDue(**{**fields, **changes})


def attachment_due(evidence_id: UUID, content: bytes = PICTURE) -> JiraAttachmentDue:
    return JiraAttachmentDue(
        id=derive_id("attachment_due", evidence_id),
        occurred_at=START,
        application_key=APP,
        promotion_id=PROMOTION,
        game="Backgammon",
        day=DAY,
        evidence_id=evidence_id,
        file_name="screenshot.png",
        media_type="image/png",
        sha256=sha256(content).hexdigest(),
        due_by=START + 200 * HOUR,
    )


def cancelled(reason: str = "no time") -> PromotionCancelled:
    return PromotionCancelled(
        id=derive_id("cancelled", PROMOTION),
        occurred_at=START,
        application_key=APP,
        promotion_id=PROMOTION,
        game="Backgammon",
        day=DAY,
        reason=reason,
    )


class Refusal(Exception):
    """The API answered with a problem."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.detail = str(problem.get("detail"))


@dataclass
class Pictures:
    """The promo-scheduler as the desk sees it."""

    content: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def on_get(self, request: web.Request) -> web.Response:
        assert f"Bearer {TOKEN}" == request.headers["Authorization"]
        self.asked.append(request.match_info["evidence_id"])
        content = self.content.get(request.match_info["evidence_id"])
        return web.Response(status=404) if content is None else web.Response(body=content, content_type="image/png")


@dataclass
class Desk:
    database: Database
    config: Config
    clock: MovableClock
    client: JiraClient
    pictures: Pictures
    http: aiohttp.ClientSession
    ok: aiohttp.ClientSession

    async def get(self, path: str, **query: str) -> Any:
        async with self.http.get(f"/v1/jira/{path}", params=query) as response:
            return await _answer(response)

    async def post(self, path: str, **body: Any) -> Any:
        async with self.http.post(f"/v1/jira/{path}", data=orjson.dumps({"by": "Anna", **body})) as response:
            return await _answer(response)

    async def upload(self, path: str, content: bytes, **query: str) -> Any:
        file = io.BytesIO(content)
        async with self.http.post(f"/v1/jira/{path}", params={"by": "Anna", **query}, data=file) as response:
            return await _answer(response)

    async def sim(self, path: str, **body: Any) -> Any:
        """Have the simulator do something, as tests of its own do."""
        async with self.ok.post(f"/sim/{path}", json=body) as response:
            return await _answer(response)

    async def order(self, do: str, **what: Any) -> Any:
        """Have OK's people do something in JIRA."""
        return await self.sim("jira", do=do, **what)

    async def books(self) -> list[dict[str, Any]]:
        async with self.ok.get("/sim/books") as response:
            return list((await _answer(response))["jira_issues"])

    async def advance(self, time: str) -> None:
        await self.sim("clock", advance=time)

    async def read(self) -> int:
        """Read JIRA for as long as there is more; return how many pages were read."""
        following = Following(self.database, self.clock, self.config, self.client)
        pages = 1
        while await following.look(await self.clock.now()):
            pages += 1
        return pages

    async def run(self) -> None:
        """Run the errands that are due."""
        running = Running(self.database, self.clock, self.config, self.client, EvidenceClient(self.settings))
        while await running.look(await self.clock.now()):
            pass

    async def fetch(self) -> None:
        """Fetch the reports that are due."""
        fetching = Fetching(self.database, self.clock, self.config, self.client)
        while await fetching.look(await self.clock.now()):
            pass

    async def turn(self, time: str = "4m") -> None:
        """Let time go by, and do what the jobs do then."""
        await self.advance(time)
        await self.run()
        await self.read()
        await self.fetch()

    @property
    def settings(self) -> Settings:
        return Settings(api_url=self.pictures.url, service_token=SecretStr(TOKEN), config=Path("unused"))

    async def learn(self, *events: Event) -> None:
        """Handle one batch."""
        async with self.database.transaction() as tx:
            await on_promotions(self.clock, self.config, tx, events)

    async def told(self, *types: str) -> list[Any]:
        """Return what went into the log, in order; of some types only, if any are given."""
        rows = await self.rows("select type, data from event_log.events where topic = $1 order by position", Topic.JIRA)
        wanted = [row for row in rows if not types or row["type"] in types]
        return [EVENT_TYPES[row["type"]].model_validate_json(row["data"]) for row in wanted]

    async def types(self) -> list[str]:
        return [event.type for event in await self.told()]

    async def errands(self, **query: str) -> list[dict[str, Any]]:
        return list((await self.get("errands", **query))["items"])

    async def requested(self) -> str:
        """Let a promotion ask for its request, and bring it into JIRA; return the issue's key."""
        await self.learn(request_due())
        await self.run()
        (errand,) = await self.errands(kind="request")
        return str(errand["result"])

    async def rows(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self.database.connection() as connection:
            return await connection.fetch(statement, *arguments)


async def _answer(response: aiohttp.ClientResponse) -> Any:
    answer = await response.json(content_type=None)
    if not response.ok:
        raise Refusal(response.status, answer)
    return answer


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
async def desk_at_work(database_url: str, of: Config) -> AsyncIterator[Desk]:
    """Run the simulator and the desk's API; the desk's jobs run when a test says so."""
    database, clock_database = Database(database_url, "jira_desk"), Database(database_url, "okgames")
    await database.open()
    await clock_database.open()
    clock = MovableClock(clock_database)
    await clock.start_at(START)
    address = HttpAddress("127.0.0.1", *free_ports(1))
    of = of.model_copy(update={"jira": of.jira.model_copy(update={"url": f"http://{address}"})})
    pictures, client = Pictures(), JiraClient(of.jira)
    api, scheduler = web.Application(), web.Application()
    routes = [
        *IssuesApi(database, clock, of).routes(),
        *ErrandsApi(database, clock, of).routes(),
        *AccessApi(database, clock).routes(),
        *ReportsApi(database, clock, of).routes(),
        *ProjectsApi(database, clock, of).routes(),
    ]
    for route in routes:
        api.router.add_route(route.method, route.path, with_problems(route.handler))
    scheduler.router.add_get("/v1/promotions/{id}/evidence/{evidence_id}", pictures.on_get)
    settings = Settings(simulator_http=address, config=Path("unused"))
    try:
        async with (
            serve(settings, of, "http://127.0.0.1:9/unused", clock, seed="test"),
            listening(api) as url,
            listening(scheduler) as pictures.url,
            aiohttp.ClientSession(url) as http,
            aiohttp.ClientSession(f"http://{address}") as ok,
        ):
            yield Desk(database, of, clock, client, pictures, http, ok)
    finally:
        await database.close()
        await clock_database.close()
