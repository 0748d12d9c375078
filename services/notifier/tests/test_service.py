import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import aiohttp
import pytest
from notifier_world import CONFIG, KEY, NOW, SECRET, Game, reward
from post_world import START, notification, post
from pydantic import SecretStr
from simulator_world import simulating

from notifier.service import service
from okgames.catalogue import App, Config, Endpoint
from okgames.clock import MovableClock
from okgames.database import Database
from okgames.events import Audience, PromotionPost
from okgames.outbox import append
from okgames.postgres_log import PostgresLog
from okgames.runtime import serve
from okgames.settings import HttpAddress, Settings
from okgames.testing import wait_until

ADMIN = SecretStr("the admin's token")


@pytest.fixture
async def base(database_url: str, game: Game, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[str]:
    """The address of a notifier that runs as it does for a studio."""
    settings = Settings(
        database_url=database_url,
        http=HttpAddress("127.0.0.1", unused_tcp_port_factory()),
        management_http=HttpAddress("127.0.0.1", unused_tcp_port_factory()),
        admin_token=ADMIN,
        ok_api="http://127.0.0.1:8090",
        clock="movable",
    )
    endpoint = Endpoint(url=game.url, secrets=(SecretStr(SECRET),))
    app = App(
        name="Backgammon",
        application_id="1",
        application_key=KEY,
        secret_keys=(SecretStr("secret"),),
        endpoints=(endpoint,),
    )
    clock = MovableClock(Database(database_url, "notifier", max_connections=2))
    one = service(settings, Config(apps=(app,)), clock)
    log = PostgresLog(one.database)
    async with serve(one, log=log, settings=settings, clock=clock, keep_events=timedelta(days=1)):
        await clock.start_at(NOW)
        yield f"http://{settings.http}"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Database]:
    """Where the events come from."""
    database = Database(database_url, "notifier")
    await database.open()
    yield database
    await database.close()


async def test_what_the_ledger_grants_the_game_hears_at_once(base: str, ledger: Database, game: Game) -> None:
    loop = asyncio.get_running_loop()
    waits = []
    for number in range(30):
        start = loop.time()
        async with ledger.transaction() as tx:
            await append(tx, reward("1", number))
        await wait_until(lambda number=number: len(game.seen) > number)
        waits.append(loop.time() - start)

    assert [str(number) for number in range(30)] == game.rewards_of("1")
    # A poll in between would cost half a second.
    assert sorted(waits)[15] < 0.25


async def test_a_post_that_is_due_goes_out_by_itself(
    database_url: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    clock = MovableClock(Database(database_url, "notifier", max_connections=2))
    await clock.database.open()
    await clock.start_at(START)
    async with simulating(clock) as ok:
        settings = Settings(
            database_url=database_url,
            http=HttpAddress("127.0.0.1", unused_tcp_port_factory()),
            management_http=HttpAddress("127.0.0.1", unused_tcp_port_factory()),
            ok_api=ok.url,
            clock="movable",
        )
        one = service(settings, CONFIG, clock)
        log = PostgresLog(one.database)
        async with serve(one, log=log, settings=settings, clock=clock, keep_events=timedelta(days=1)):
            async with one.database.transaction() as tx:
                await append(tx, post(PromotionPost.CONDITIONS), notification(Audience.ADMINS_ONLY))

            async def are_out() -> bool:
                books = await ok.books()
                return (1, 1) == (len(books["posts"]), len(books["notifications"]))

            await wait_until(are_out)


async def test_its_routes_want_a_token(base: str, game: Game) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/v1/endpoints") as response:
            assert 401 == response.status
        headers = {"Authorization": f"Bearer {ADMIN.get_secret_value()}"}
        async with session.get(f"{base}/v1/endpoints", headers=headers) as response:
            assert [game.url] == [item["url"] for item in (await response.json())["items"]]
            assert SECRET not in await response.text()
