import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from command import Command
from world import APPLICATION_KEY

from okgames.database import Database
from okgames.testing import wait_until

SECOND_APP = """
[[apps]]
name = "Chess"
application_id = "1234567891"
application_key = "CBOTHERKEYABABABAB"
secret_key = "0123456789ABCDEF01234568"
"""


@pytest.fixture
async def played(command: Command) -> AsyncIterator[Command]:
    """A running system in which a player bought gold and tried apples an hour later."""
    player = {"application_key": APPLICATION_KEY, "uid": "500"}
    async with command.running("up", "--simulator"):
        await simulate(command, "purchase", player | {"product": "gold_100"})
        await simulate(command, "clock", {"advance": "1h"})
        await simulate(command, "subscribe", player | {"product": "apples"})
        await wait_until(lambda: len(rows(command, "explain", "500")) == 2, timeout=20)
        yield command


async def simulate(command: Command, action: str, body: dict[str, str]) -> None:
    url = f"http://{command.environment['OKGAMES_SIMULATOR_HTTP']}/sim/{action}"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert 200 == response.status


def rows(command: Command, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in command.prints(*arguments, "--json").splitlines()]


async def test_explain_says_why_access_is_on_and_on_which_callbacks_that_rests(played: Command) -> None:
    text = played.prints("explain", "500", "--product", "apples")

    assert text.startswith("apples:\nAccess is on. On trial until ")
    assert " UTC" not in text
    heading, callback = text.splitlines()[-2:]
    assert ["HAPPENED", "LEARNED", "CALLBACK", "OKS", "UNTIL", "TRANSACTION"] == heading.split()
    assert 3 == callback.count(" MSK")
    assert " trial " in callback


async def test_explain_tells_of_all_that_a_player_had(played: Command) -> None:
    assert ["apples", "gold_100"] == [row["product"] for row in rows(played, "explain", "500")]
    assert "gold_100:\nBought once on " in played.prints("explain", "500")
    assert "501 never bought anything and never subscribed to anything.\n" == played.prints("explain", "501")


async def test_the_timeline_says_what_happened_and_when_it_was_learned(played: Command) -> None:
    await wait_until(lambda: len(rows(played, "timeline", "500")) == 5, timeout=20)
    found = rows(played, "timeline", "500")
    heading, *lines = played.prints("timeline", "500").splitlines()

    assert ["callback", "reward", "callback", "entitlement", "reward"] == [item["what"] for item in found]
    assert found == sorted(found, key=lambda item: str(item["occurred_at"]))
    assert ["HAPPENED", "LEARNED", "WHAT", "PRODUCT", "MORE"] == heading.split()
    assert [2] * 5 == [line[:60].count(" MSK") for line in lines]
    bought, gold, tried, access, apples = (line.rstrip() for line in lines)
    assert f"callback     gold_100  purchase, 50 OKs, {found[0]['transaction_id']}" in bought
    assert gold.endswith("reward       gold_100  100 gold, purchase")
    assert "callback     apples    trial, until " in tried
    assert "entitlement  apples    trial, access on, until " in access
    assert access.endswith(" MSK, trial_started")
    assert apples.endswith("reward       apples    3 apple, daily")


async def test_the_timeline_goes_on_to_its_end(played: Command) -> None:
    await remember_deliveries(played, 2100)

    assert 2100 == sum(item["what"] == "delivery" for item in rows(played, "timeline", "500"))
    assert 2100 == played.prints("timeline", "500").count("reward.granted, delivered at attempt 1, status 200, ")


async def remember_deliveries(command: Command, count: int) -> None:
    database = Database(command.environment["OKGAMES_DATABASE_URL"], "subscription_ledger", max_connections=1)
    await database.open()
    async with database.transaction() as tx:
        await tx.execute(
            """
            insert into deliveries (
                event_id, application_key, uid, delivery_id, endpoint_id, carried_event_id, webhook_type,
                was_delivered, attempts, status, occurred_at, learned_at
            )
            select gen_random_uuid(), $1, '500', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
                'reward.granted', true, 1, 200, now(), now()
            from generate_series(1, $2)
            """,
            APPLICATION_KEY,
            count,
        )
    await database.close()


async def test_an_application_is_named_by_key_or_name_or_is_the_only_one(played: Command) -> None:
    config = played.directory / "okgames.toml"
    explained = rows(played, "explain", "500")

    for app in (APPLICATION_KEY, "Backgammon"):
        assert explained == rows(played, "explain", "500", "--app", app)
    config.write_text(config.read_text() + SECOND_APP)
    assert explained == rows(played, "explain", "500", "--app", "Backgammon")
    result = played.run("explain", "500")
    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert f"{APPLICATION_KEY} (Backgammon), CBOTHERKEYABABABAB (Chess)" in result.stderr
    # The API may run elsewhere, with a file of its own.
    config.unlink()
    assert explained == rows(played, "explain", "500", "--app", APPLICATION_KEY)
    result = played.run("explain", "500")
    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "--app" in result.stderr


async def test_what_nobody_knows_is_wrong_input(played: Command) -> None:
    for arguments, complaint in (
        (("explain", "500", "--app", "CBNOBODY"), "no application CBNOBODY"),
        (("explain", "500", "--product", "cherries"), "no product cherries"),
        (("timeline", "500", "--app", "CBNOBODY"), "no application CBNOBODY"),
    ):
        result = played.run(*arguments)

        assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
        assert complaint in result.stderr


@pytest.mark.parametrize("name", ["explain", "timeline"])
def test_a_player_is_asked_for_in_vain_where_nothing_runs(command: Command, name: str) -> None:
    result = command.run(name, "500", "--url", "http://127.0.0.1:1")

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "http://127.0.0.1:1" in result.stderr
