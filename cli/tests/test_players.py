import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from command import Command
from world import APPLICATION_KEY

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
    """A running system in which a player bought gold and tried apples."""
    async with command.running("up", "--simulator"):
        for action, product in (("purchase", "gold_100"), ("subscribe", "apples")):
            await play(command, action, product)
        await wait_until(lambda: len(rows(command, "explain", "500")) == 2, timeout=20)
        yield command


async def play(command: Command, action: str, product: str) -> None:
    url = f"http://{command.environment['OKGAMES_SIMULATOR_HTTP']}/sim/{action}"
    body = {"application_key": APPLICATION_KEY, "uid": "500", "product": product}
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
    ):
        result = played.run(*arguments)

        assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
        assert complaint in result.stderr


@pytest.mark.parametrize("name", ["explain"])
def test_a_player_is_asked_for_in_vain_where_nothing_runs(command: Command, name: str) -> None:
    result = command.run(name, "500", "--url", "http://127.0.0.1:1")

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "http://127.0.0.1:1" in result.stderr
