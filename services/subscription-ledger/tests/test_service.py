import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from ledger import APP, events_of, purchase
from pydantic import SecretStr
from subscription_lives import DAY, HOUR, START, payment, trial

from okgames.clock import MovableClock
from okgames.config import Config
from okgames.database import Database
from okgames.events import Event
from okgames.outbox import append
from okgames.postgres_log import PostgresLog
from okgames.runtime import serve
from okgames.settings import HttpAddress, Settings
from okgames.testing import wait_until
from subscription_ledger.service import service

TOKEN = "a-token-for-tests"


def free_address() -> HttpAddress:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return HttpAddress("127.0.0.1", probe.getsockname()[1])


@asynccontextmanager
async def running(database_url: str, config: Config) -> AsyncIterator[tuple[aiohttp.ClientSession, MovableClock]]:
    """The ledger as a process has it, and a client with a token."""
    settings = Settings(
        database_url=database_url,
        http=free_address(),
        management_http=free_address(),
        admin_token=SecretStr(TOKEN),
    )
    # Set before anything runs: a job that was given the real time would grant rewards of months to come.
    before = Database(database_url, "okgames")
    await before.open()
    await MovableClock(before).start_at(START)
    await before.close()
    clock = MovableClock(Database(database_url, "okgames"))
    async with (
        serve(
            service(settings, config, clock),
            log=PostgresLog(Database(database_url, "event_log")),
            settings=settings,
            clock=clock,
            keep_events=timedelta(days=30),
            migrated=True,
        ),
        aiohttp.ClientSession(f"http://{settings.http}", headers={"Authorization": f"Bearer {TOKEN}"}) as client,
    ):
        yield client, clock


async def publish(database: Database, *events: Event) -> None:
    async with database.transaction() as tx:
        await append(tx, *events)


async def test_rewards_fall_due_while_time_passes(database_url: str, database: Database, config: Config) -> None:
    path = f"/v1/apps/{APP}/users/1/"

    async def apples(client: aiohttp.ClientSession) -> int:
        async with client.get(path + "timeline?limit=1000") as response:
            items = (await response.json())["items"]
        return sum(item["quantity"] for item in items if item["what"] == "reward")

    async with running(database_url, config) as (client, clock):
        await publish(database, *events_of([trial(1, 0 * DAY)], "1"))
        async with client.get(path + "entitlements?wait_version=1&timeout=10") as response:
            assert ["trial"] == [each["state"] for each in (await response.json())["entitlements"]]
        await wait_until(lambda: is_equal(apples(client), 3))
        await clock.move_to(START + 3 * DAY)
        await publish(database, *events_of([payment(2, 3 * DAY), payment(3, 10 * DAY)], "1"))
        await wait_until(lambda: is_equal(apples(client), 4 * 3))
        await clock.move_to(START + 12 * DAY + HOUR)
        await wait_until(lambda: is_equal(apples(client), 13 * 3))
        await clock.move_to(START + 40 * DAY)
        async with client.get(path + "entitlements?wait_version=4&timeout=10") as response:
            assert ["lapsed"] == [each["state"] for each in (await response.json())["entitlements"]]
        await wait_until(lambda: is_equal(apples(client), 17 * 3))


async def is_equal(found: object, expected: int) -> bool:
    return expected == await found


async def test_what_was_parked_is_handled_after_the_configuration_is_mended(
    database_url: str, database: Database, config: Config
) -> None:
    [app, other] = config.apps
    without_gold = app.model_copy(update={"products": tuple(each for each in app.products if each.code != "gold_100")})
    async with running(database_url, config.model_copy(update={"apps": (without_gold, other)})) as (client, _):
        await publish(database, purchase("1", 1), purchase("2", 1, product="map"))
        await wait_until(lambda: has_parked(client))
        await wait_until(lambda: is_equal(database_count(database, "entries"), 1))
    async with running(database_url, config) as (client, _):
        [letter] = await parked(client)
        assert "has no product gold_100" in letter["error"]
        async with client.post(f"/v1/dead-letters/{letter['id']}/retry") as response:
            assert 200 == response.status
        async with client.get(f"/v1/apps/{APP}/changes") as response:
            assert ["gold"] == [item["data"]["item"] for item in (await response.json())["items"]]


async def parked(client: aiohttp.ClientSession) -> list[dict]:
    async with client.get("/v1/dead-letters") as response:
        return (await response.json())["items"]


async def has_parked(client: aiohttp.ClientSession) -> bool:
    return bool(await parked(client))


async def database_count(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return await connection.fetchval(f"select count(*) from {table}")


@pytest.mark.parametrize("path", [f"/v1/apps/{APP}/users/1/entitlements", f"/v1/apps/{APP}/changes"])
async def test_a_token_is_wanted(database_url: str, config: Config, path: str) -> None:
    async with (
        running(database_url, config) as (client, _),
        client.get(path, headers={"Authorization": "Bearer wrong"}) as response,
    ):
        assert 401 == response.status
