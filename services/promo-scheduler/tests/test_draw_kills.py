import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import draw_process
import pytest
from aiohttp import web
from draw_process import CONFIG
from forks import Fork, ended
from killing import Steps, between
from promo_world import APP, Ok, listening, msk, payment, scheduling

from okgames.clock import MovableClock
from okgames.database import Database
from okgames.kafka_brokers import free_ports
from okgames.ok_protocol import reply
from okgames.settings import HttpAddress, Settings
from okgames.testing import DatabaseTemplates, Migrations
from simulator.service import serve

PRIZE = 1000


@dataclass(frozen=True)
class RealOk:
    """The simulator as OK, with one payer in its books of the day and money for many prizes."""

    url: str
    http: aiohttp.ClientSession

    async def account(self) -> int:
        async with self.http.get(f"{self.url}/sim/books") as response:
            return int((await response.json())["cashback_accounts"][0]["balance_oks"])


@asynccontextmanager
async def real_ok(database_url: str) -> AsyncIterator[RealOk]:
    async def accept(_request: web.Request) -> web.Response:
        said = reply("xml", None)
        return web.Response(body=said.body, content_type=said.content_type)

    game = web.Application()
    game.router.add_get("/callback", accept)
    clock = MovableClock(Database(database_url, "okgames"))
    async with AsyncExitStack() as stack:
        await clock.database.open()
        stack.push_async_callback(clock.database.close)
        await clock.start_at(msk(3, 10))
        callback = await stack.enter_async_context(listening(game))
        address = HttpAddress("127.0.0.1", *free_ports(1))
        settings = Settings(simulator_http=address)
        await stack.enter_async_context(serve(settings, CONFIG, f"{callback}/callback", clock))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        ok = RealOk(f"http://{address}", http)
        await tell(ok, "purchase", {"application_key": APP, "uid": "501", "product": "gold_100"})
        await tell(ok, "cashback", {"application_key": APP, "oks": 1000 * PRIZE})
        await clock.move_to(msk(4, 0, 20))
        yield ok


async def tell(ok: RealOk, what: str, body: dict[str, Any]) -> None:
    async with ok.http.post(f"{ok.url}/sim/{what}", json=body) as response:
        assert 200 == response.status, await response.text()


async def prepare(database_url: str) -> None:
    """Bring a promotion that draws by itself to the end of its window."""
    database = Database(database_url, "promo_scheduler")
    await database.open()
    async with scheduling(database, CONFIG, Ok()) as scheduler:
        await scheduler.approved()
        await scheduler.learn(payment("501", 1, msk(3, 10)))
        await scheduler.tick(msk(4, 0, 10))
    await database.close()


@dataclass(frozen=True)
class Stage:
    """Give each draw a database of its own, with a promotion that is about to be drawn."""

    directory: Path
    templates: DatabaseTemplates
    prepared: str
    ok: RealOk

    async def run(self, number: int, kill_at: int | None) -> tuple[Steps, str, int, int]:
        """Draw in a process that is killed at a step, then do what the next one does; return state, debits, events."""
        name = f"{self.prepared}_{number}"
        self.templates._execute(f'create database "{name}" template "{self.prepared}"')
        before = await self.ok.account()
        steps = Steps(kill_at)
        try:
            await self._process(name, steps)
            if kill_at is not None:
                await draw_process.main(self.templates.url_of(name), self.ok.url)
            database = Database(self.templates.url_of(name), "promo_scheduler", max_connections=1)
            await database.open()
            async with database.connection() as connection:
                state = await connection.fetchval("select state from promotions")
                told = await connection.fetchval("select count(*) from event_log.events where type = 'DrawUnresolved'")
            await database.close()
        finally:
            self.templates.drop_database(name)
        return steps, state, before - await self.ok.account(), told

    async def _process(self, name: str, steps: Steps) -> None:
        url = urlsplit(self.templates.url_of(name))
        server = f"{parse_qs(url.query)['host'][0]}/.s.PGSQL.5432"
        ok = urlsplit(self.ok.url)
        log = self.directory / "log"
        async with (
            between(steps, "postgres", partial(asyncio.open_unix_connection, server)) as postgres_port,
            between(steps, "ok", partial(asyncio.open_connection, ok.hostname, ok.port)) as ok_port,
        ):
            steps.process = Fork(
                draw_process.draw,
                f"postgresql://{url.username or 'okgames'}@127.0.0.1:{postgres_port}/{name}",
                f"http://127.0.0.1:{ok_port}",
                cwd=self.directory,
                env={},
                stdout=log,
                stderr=log,
            )
            code = await ended(steps.process)
        assert code == (0 if steps.kill_at is None or steps.count < steps.kill_at else -9), log.read_text()


def chosen(names: list[str]) -> list[int]:
    """Return steps to be killed at: all that lie around the calls to OK, and some of the others."""
    to_ok = [number for number, name in enumerate(names, 1) if name.startswith("ok")]
    around = range(to_ok[0] - 4, to_ok[-1] + 4)
    return [number for number in range(1, len(names) + 1) if number in around or number % 16 == 0]


@pytest.mark.timeout(1800)
async def test_whenever_the_process_is_killed_the_prize_is_paid_once_at_most_and_the_draw_is_concluded(
    tmp_path: Path, database_templates: DatabaseTemplates, service_migrations: Migrations, soak: bool
) -> None:
    prepared = "okgames_test_prepared_draw"
    database_templates.copy(service_migrations, prepared)
    database_templates.copy(service_migrations, f"{prepared}_ok")
    await prepare(database_templates.url_of(prepared))
    outcomes: Counter[tuple[str, int]] = Counter()
    try:
        async with real_ok(database_templates.url_of(f"{prepared}_ok")) as ok:
            stage = Stage(tmp_path, database_templates, prepared, ok)
            steps, *undisturbed = await stage.run(0, None)
            assert ["drawn", PRIZE, 0] == undisturbed
            for kill_at in range(1, steps.count + 1) if soak else chosen(steps.names):
                _, state, paid, told = await stage.run(kill_at, kill_at)
                outcomes[state, paid] += 1
                assert state in ("drawn", "unresolved"), kill_at
                assert (0 if state == "drawn" else 1) == told, kill_at
                assert paid in ((PRIZE,) if state == "drawn" else (0, PRIZE)), kill_at
    finally:
        database_templates.drop_database(prepared)
        database_templates.drop_database(f"{prepared}_ok")
    assert outcomes.total() >= 40
    # Killed before the call, while OK was paying, and after its answer had been kept.
    assert {("drawn", PRIZE), ("unresolved", 0), ("unresolved", PRIZE)} == set(outcomes)
