import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from command import Command
from world import APPLICATION_KEY

from okgames.database import Database
from okgames.testing import wait_until


@pytest.fixture
async def sold(command: Command) -> AsyncIterator[Command]:
    """A running system that owes its game, whose server is down, two webhooks for one player."""
    async with command.running("up", "--simulator"):
        for _ in range(2):
            await purchase(command)
        await wait_until(lambda: len(rows(command, "deliveries", "list")) == 2)
        yield command


async def purchase(command: Command) -> None:
    url = f"http://{command.environment['OKGAMES_SIMULATOR_HTTP']}/sim/purchase"
    body = {"application_key": APPLICATION_KEY, "uid": "500", "product": "gold_100"}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert "completed" == (await response.json())["status"]


def rows(command: Command, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in command.prints(*arguments, "--json").splitlines()]


async def test_deliveries_can_be_found_read_and_sent_again(sold: Command) -> None:
    first, second = rows(sold, "deliveries", "list")

    assert [first["id"]] == [row["id"] for row in rows(sold, "deliveries", "list", "--limit", "1")]
    assert [] == rows(sold, "deliveries", "list", "--uid", "501")
    assert [] == rows(sold, "deliveries", "list", "--state", "delivered")
    text = sold.prints("deliveries", "show", str(second["id"]))
    assert "reward.granted" in text
    assert "MSK" in text
    sold.prints("deliveries", "resend", str(first["id"]))
    times = ("--from", "2000-01-01T00:00:00+03:00", "--to", "2100-01-01T00:00:00+03:00")
    assert "2 deliveries are sent again\n" == sold.prints(
        "deliveries", "resend-range", "--app", APPLICATION_KEY, *times
    )


async def test_endpoint_can_be_paused_tried_and_resumed(sold: Command) -> None:
    (endpoint,) = rows(sold, "endpoints", "list")
    endpoint_id = str(endpoint["id"])

    sold.prints("endpoints", "pause", endpoint_id)
    assert "paused" == rows(sold, "endpoints", "list")[0]["state"]
    pinged = sold.run("endpoints", "ping", endpoint_id)
    assert (1, "okgames: the endpoint did not accept the ping\n") == (pinged.returncode, pinged.stderr)
    sold.prints("endpoints", "resume", endpoint_id)
    assert "active" == rows(sold, "endpoints", "list")[0]["state"]


async def test_dead_letter_stays_until_its_cause_is_gone(command: Command) -> None:
    async with command.running("up"):
        await park_payment_of("sold_no_more", command)
        (letter,) = rows(command, "dead-letters", "list")
        letter_id = str(letter["id"])

        assert "sold_no_more" in command.prints("dead-letters", "show", letter_id)
        retried = command.run("dead-letters", "retry", letter_id)
        assert 1 == retried.returncode
        assert "Still failing" in retried.stderr

    config = command.directory / "okgames.toml"
    config.write_text(config.read_text().replace('"gold_500"', '"sold_no_more"'))
    async with command.running("up"):
        command.prints("dead-letters", "retry", letter_id)
        assert [] == rows(command, "dead-letters", "list")


async def park_payment_of(product: str, command: Command) -> None:
    event = {
        "id": "0f2c9a66-2c36-5d2b-8f0c-3f9a1a6a7b11",
        "occurred_at": "2026-03-02T10:00:00+03:00",
        "application_key": APPLICATION_KEY,
        "uid": "500",
        "product": product,
        "transaction_id": "1",
        "amount_oks": 200,
    }
    database = Database(command.environment["OKGAMES_DATABASE_URL"], "subscription_ledger", max_connections=1)
    await database.open()
    async with database.transaction() as tx:
        await tx.execute(
            """
            insert into dead_letters (id, topic, type, key, data, error, parked_at)
            values ($1, 'okgames.payments.v1', 'PaymentReceived', $2, $3, 'Poisoned: no such product', now())
            """,
            event["id"],
            f"{APPLICATION_KEY}:500",
            json.dumps(event),
        )
    await database.close()


async def test_id_of_nothing_is_wrong_input(command: Command) -> None:
    async with command.running("up"):
        for arguments in (("deliveries", "show"), ("endpoints", "pause"), ("dead-letters", "retry")):
            result = command.run(*arguments, "nothing")

            assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))


@pytest.mark.parametrize("group", ["deliveries", "endpoints", "dead-letters", "posts", "promo", "jira"])
def test_api_out_of_reach_is_a_failure(program: Command, group: str) -> None:
    result = program.run(group, "list", "--url", "http://127.0.0.1:1")

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "http://127.0.0.1:1" in result.stderr


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1", "http://["])
def test_address_that_is_none_is_wrong_input(command: Command, url: str) -> None:
    result = command.run("endpoints", "list", "--url", url)

    assert (2, f"okgames: {url} is no address of an API\n") == (result.returncode, result.stderr)
