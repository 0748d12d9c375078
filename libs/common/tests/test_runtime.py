"""A service of nothing but this test, run as every service is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from event_log_contract import payment
from pydantic import SecretStr

from okgames.access import create_token, revoke_token
from okgames.clock import MovableClock
from okgames.database import Database, Tx
from okgames.events import Event, PaymentReceived, Topic
from okgames.http import Problem, json_response
from okgames.management import http_server, management
from okgames.outbox import append
from okgames.postgres_log import PostgresLog
from okgames.runtime import serve
from okgames.service import Handler, Job, Route, Scope, Service
from okgames.settings import HttpAddress, Settings
from okgames.testing import DatabaseTemplates, wait_until

ADMIN = "the admin's token"


@dataclass
class Shop:
    """Counts what it is told."""

    database: Database
    sold: list[str] = field(default_factory=list)
    ran_at: list[datetime] = field(default_factory=list)
    sold_when_run: list[int] = field(default_factory=list)
    woken: int = 0
    is_broken: bool = False

    async def on_payments(self, _tx: Tx, events: Sequence[Event]) -> None:
        if self.is_broken:
            raise ValueError("the till is locked")
        self.sold += [event.transaction_id for event in events if isinstance(event, PaymentReceived)]

    async def count(self, now: datetime) -> bool:
        self.ran_at.append(now)
        self.sold_when_run.append(len(self.sold))
        return False

    async def wake(self, _now: datetime) -> bool:
        self.woken += 1
        return False

    async def answer(self, request: web.Request) -> web.Response:
        match request.query.get("what"):
            case "problem":
                raise Problem(409, "Sold out", "There is nothing left.")
            case "fault":
                raise ZeroDivisionError
        return json_response({"sold": len(self.sold)})

    def service(self, directory: Path) -> Service:
        return Service(
            name="shop",
            database=self.database,
            migrations=directory,
            routes=[
                Route("GET", "/v1/shop", self.answer, Scope.DELIVERIES_READ),
                Route("GET", "/open", self.answer, None),
            ],
            handlers={Topic.PAYMENTS: Handler(self.on_payments, [PaymentReceived])},
            jobs=[
                Job("count", self.count, every=timedelta(hours=1), after_reading=True),
                Job("wake", self.wake, every=timedelta(hours=1), woken_by=[Topic.PAYMENTS]),
            ],
        )


@dataclass
class Running:
    shop: Shop
    clock: MovableClock
    http: aiohttp.ClientSession
    base: str
    management: str

    async def ask(self, path: str, token: str | None = ADMIN, method: str = "GET") -> tuple[int, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, f"{self.base}{path}", headers=headers) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
def service_database_url(database_templates: DatabaseTemplates) -> Any:
    with database_templates.empty() as url:
        yield url


@pytest.fixture
async def running(service_database_url: str, tmp_path: Path, unused_tcp_port_factory: Any) -> AsyncIterator[Running]:
    http, management = unused_tcp_port_factory(), unused_tcp_port_factory()
    settings = Settings(
        database_url=service_database_url,
        http=HttpAddress("127.0.0.1", http),
        management_http=HttpAddress("127.0.0.1", management),
        admin_token=SecretStr(ADMIN),
    )
    clock = MovableClock(Database(service_database_url, "okgames"))
    shop = Shop(Database(service_database_url, "shop"))
    log = PostgresLog(Database(service_database_url, "event_log"))
    async with (
        serve(shop.service(tmp_path), log=log, settings=settings, clock=clock, keep_events=timedelta(days=1)),
        aiohttp.ClientSession() as session,
    ):
        yield Running(shop, clock, session, f"http://127.0.0.1:{http}", f"http://127.0.0.1:{management}")


async def sell(running: Running, *numbers: int) -> None:
    async with running.shop.database.transaction() as tx:
        await append(tx, *(payment("1", number) for number in numbers))


async def token(running: Running, *scopes: str) -> str:
    async with running.shop.database.transaction() as tx:
        return await create_token(tx, "one", scopes)


async def test_what_is_appended_is_handled(running: Running):
    await sell(running, 1, 2)
    await wait_until(lambda: running.shop.sold == ["1", "2"])


async def test_a_job_is_woken_by_the_topics_that_concern_it(running: Running):
    for number in range(5):
        before = running.shop.woken
        await sell(running, number)
        await wait_until(lambda before=before: running.shop.woken > before)
    # At the start, and when the clock began to be watched.
    assert 2 >= len(running.shop.ran_at)


async def test_without_a_token_only_open_routes_answer(running: Running):
    assert (200, {"sold": 0}) == await running.ask("/open", token=None)
    status, problem = await running.ask("/v1/shop", token=None)
    assert (401, "Token wanted") == (status, problem["title"])


async def test_a_token_opens_what_its_scopes_name(running: Running):
    assert 200 == (await running.ask("/v1/shop", await token(running, "deliveries:read")))[0]


async def test_a_token_without_the_scope_is_refused(running: Running):
    status, problem = await running.ask("/v1/shop", await token(running, "entitlements:read"))
    assert (403, "The token does not allow deliveries:read.") == (status, problem["detail"])


@pytest.mark.parametrize("wrong", ["nonsense", "the admin's toke", "okg_" + "x" * 5000])
async def test_an_unknown_token_is_refused(running: Running, wrong: str):
    assert 401 == (await running.ask("/v1/shop", wrong))[0]


async def test_a_revoked_token_is_refused_at_once(running: Running):
    mine = await token(running, "deliveries:read")
    async with running.shop.database.transaction() as tx:
        assert await revoke_token(tx, "one")
    assert 401 == (await running.ask("/v1/shop", mine))[0]


async def test_a_token_is_stored_as_a_hash(running: Running):
    mine = await token(running, "deliveries:read")
    async with running.shop.database.connection() as connection:
        row = await connection.fetchval("select tokens::text from okgames.tokens")
    assert mine not in row


@pytest.mark.parametrize(
    ("path", "method", "status", "title"),
    [
        ("/v1/shop?what=problem", "GET", 409, "Sold out"),
        ("/v1/shop?what=fault", "GET", 500, "Internal error"),
        ("/v1/nothing", "GET", 404, "Not found"),
        ("/v1/shop", "POST", 405, "Method not allowed"),
        ("/v1/dead-letters?limit=0", "GET", 400, "Wrong parameter"),
        ("/v1/dead-letters/shop:nothing", "GET", 404, "Unknown dead letter"),
        ("/v1/dead-letters/bank:6c1f0a52-4f0b-5f0e-9d3e-0b6f6b1a3f6d/retry", "POST", 404, "Unknown dead letter"),
    ],
)
async def test_errors_are_problem_documents(running: Running, path: str, method: str, status: int, title: str):
    found, problem = await running.ask(path, method=method)
    assert (status, status, title) == (found, problem["status"], problem["title"])


async def test_a_wrong_method_is_told_the_right_ones(running: Running):
    async with running.http.post(f"{running.base}/v1/shop") as response:
        assert (405, "GET") == (response.status, response.headers["Allow"])


async def test_a_parked_event_is_handled_when_a_person_retries_it(running: Running):
    running.shop.is_broken = True
    await sell(running, 1)
    await wait_until(lambda: letters_are(running, 1))
    (letter,) = (await running.ask("/v1/dead-letters"))[1]["items"]
    assert ("shop", "ValueError: the till is locked") == (letter["service"], letter["error"])
    assert 409 == (await running.ask(f"/v1/dead-letters/{letter['id']}/retry", method="POST"))[0]
    assert await letters_are(running, 1)

    running.shop.is_broken = False
    assert 200 == (await running.ask(f"/v1/dead-letters/{letter['id']}/retry", method="POST"))[0]
    assert ["1"] == running.shop.sold
    assert await letters_are(running, 0)


async def letters_are(running: Running, count: int) -> bool:
    return count == len((await running.ask("/v1/dead-letters"))[1]["items"])


async def test_a_job_runs_when_the_clock_moves_and_has_everything_read_by_then(running: Running):
    await wait_until(lambda: running.shop.ran_at)
    for number in range(1, 6):
        later = (await running.clock.now()) + timedelta(days=1)
        await sell(running, number)
        await running.clock.move_to(later)
        await wait_until(lambda: running.shop.ran_at[-1] >= later)  # noqa: B023 - awaited before the next round
        assert number <= running.shop.sold_when_run[-1]


async def test_the_clock_never_goes_back(running: Running):
    later = datetime(2040, 1, 1, tzinfo=UTC)
    await running.clock.move_to(later)
    await running.clock.move_to(later - timedelta(days=1))
    assert later <= await running.clock.now()


async def test_metrics_tell_how_far_a_reader_is_behind(running: Running):
    await sell(running, 1)
    await wait_until(lambda: running.shop.sold == ["1"])
    async with running.http.get(f"{running.management}/metrics") as response:
        text = await response.text()
    assert 'okgames_log_lag_events{group="shop",topic="okgames.payments.v1"}' in text


async def test_readiness_names_the_database_that_cannot_be_reached(running: Running):
    async with running.http.get(f"{running.management}/readyz") as response:
        assert (200, {"status": "ok", "failing": {}}) == (response.status, await response.json())
    await running.shop.database.close()
    async with running.http.get(f"{running.management}/readyz") as response:
        assert 503 == response.status
        assert ["shop"] == list((await response.json())["failing"])


async def test_readiness_is_told_at_once_however_many_databases_hang(unused_tcp_port_factory: Any):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def no_lags() -> dict[tuple[str, str], int]:
        return {}

    async with AsyncExitStack() as stack:
        silent = await stack.enter_async_context(await asyncio.start_server(say_nothing, "127.0.0.1", 0))
        url = f"postgresql://okgames@127.0.0.1:{silent.sockets[0].getsockname()[1]}/okgames"
        databases = [Database(url, f"shop_{number}") for number in range(20)]
        for database in databases:
            await database.open()
            stack.push_async_callback(database.close)
        address = HttpAddress("127.0.0.1", unused_tcp_port_factory())
        await stack.enter_async_context(http_server(management(databases, no_lags), address))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=4)))
        async with http.get(f"http://{address}/readyz") as response:
            assert 503 == response.status
            assert 20 == len((await response.json())["failing"])
