import json
from datetime import UTC, datetime, timedelta

from command import Command
from game import WEBHOOK_SECRET
from hypothesis import given
from hypothesis import strategies as st
from kafka_world import fresh_address
from test_operations import park_payment_of, purchase
from world import ADMIN_TOKEN, SECRET_KEY

from cli.database_examination import clocks_apart
from okgames.testing import wait_until

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def findings(command: Command, code: int, **variables: str) -> dict[tuple[str, str], str]:
    """Return what was found by level and part, of each the last; the command must end with `code`."""
    result = command.run("doctor", "--json", **variables)
    assert (code, "") == (result.returncode, result.stderr)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(row["to_do"] for row in rows if row["level"] != "ok")
    return {(row["level"], row["what"]): row["found"] for row in rows}


def levels(found: dict[tuple[str, str], str]) -> dict[str, str]:
    return {what: level for level, what in found}


async def test_all_is_well_where_okgames_runs_and_nothing_waits(command: Command) -> None:
    (command.directory / "okgames.toml").chmod(0o600)
    async with command.running("up"):
        found = findings(command, 0)
        table = command.prints("doctor")

    assert {
        "configuration",
        "secrets",
        "disk",
        "database",
        "clocks",
        "migrations",
        "answers",
        "readers",
        "endpoints",
        "deliveries",
        "dead letters",
        "process",
    } == {what for level, what in found if level == "ok"}
    assert {"configuration"} >= {what for level, what in found if level != "ok"}
    assert ["LEVEL", "WHAT", "FOUND", "WHAT", "TO", "DO"] == table.splitlines()[0].split()
    for secret in (SECRET_KEY, WEBHOOK_SECRET, ADMIN_TOKEN):
        assert secret not in table


async def test_what_waits_for_somebody_is_found(command: Command) -> None:
    async with command.running("up", "--simulator"):
        await purchase(command)
        await wait_until(lambda: command.prints("deliveries", "list", "--json"), timeout=20)
        await park_payment_of("sold_no_more", command)
        endpoint = json.loads(command.prints("endpoints", "list", "--json"))
        command.prints("endpoints", "pause", endpoint["id"])
    async with command.database() as connection:
        await connection.execute(
            """
            update notifier.deliveries set created_at = now() - interval '2 hours';
            update callback_gateway.callbacks set ack_uncertain = true;
            update event_log.events set recorded_at = now() - interval '1 hour';
            update event_log.cursors set position = 0 where reader_group = 'subscription-ledger';
            """
        )

    found = findings(command, 1)

    assert "1 of subscription-ledger" == found["wrong", "dead letters"]
    assert found["wrong", "readers"].startswith("subscription-ledger has not read okgames.payments.v1 for 1:00:")
    assert endpoint["url"] in found["warning", "endpoints"]
    assert found["warning", "deliveries"].startswith("one waits since ")
    assert "OK may not have heard 1" == found["warning", "answers"]
    assert found["warning", "process"].startswith("nothing answers at ")
    async with command.database() as connection:
        await connection.execute("update notifier.endpoints set paused_reason = 'failing'")
    assert endpoint["url"] in findings(command, 1)["wrong", "endpoints"]


async def test_an_empty_database_is_left_empty(command: Command) -> None:
    found = findings(command, 1)

    assert "subscription_ledger/0001_ledger" in found["wrong", "migrations"]
    async with command.database() as connection:
        schemas = await connection.fetch("select nspname from pg_namespace where nspname !~ '^pg_'")
    assert {"information_schema", "public"} == {name for (name,) in schemas}


def test_an_embedded_database_that_is_not_there_is_not_made(command: Command) -> None:
    found = findings(command, 0, OKGAMES_DATABASE_URL="")

    assert "there is none in var yet" == found["warning", "database"]
    assert not (command.directory / "var").exists()


def test_a_database_out_of_reach_is_wrong_and_the_rest_is_told(command: Command) -> None:
    found = findings(command, 1, OKGAMES_DATABASE_URL="postgresql://okgames:hush@127.0.0.1:1/okgames")

    assert "hush" not in str(found)
    assert ("wrong", "database") in found
    assert ("ok", "disk") in found


def test_a_broken_configuration_is_wrong_and_the_rest_is_told(command: Command) -> None:
    (command.directory / "okgames.toml").write_text("[[apps")

    found = findings(command, 1)

    assert found["wrong", "configuration"].startswith("okgames.toml:1: ")
    assert ("ok", "database") in found


def test_a_wrong_variable_is_named(command: Command) -> None:
    assert {"environment": "wrong"} == levels(found := findings(command, 1, OKGAMES_HTTP="everywhere"))
    assert "OKGAMES_HTTP" in found["wrong", "environment"]


def test_files_with_secrets_that_everybody_can_read_are_named(command: Command) -> None:
    token, key = command.directory / "token", command.directory / "key"
    token.write_text("an-admin-token")
    key.write_text(SECRET_KEY)
    config = command.directory / "okgames.toml"
    config.write_text(config.read_text().replace(f'secret_key = "{SECRET_KEY}"', 'secret_key_file = "key"'))
    named = {}

    for path in (token, key, config):
        for each in (token, key, config):
            each.chmod(0o644 if each == path else 0o640)
        variables = {"OKGAMES_ADMIN_TOKEN": "", "OKGAMES_ADMIN_TOKEN_FILE": str(token)}
        named[path] = findings(command, 1, **variables)["warning", "secrets"]

    assert [True] * 3 == [path.name in text.split()[0] for path, text in named.items()]


def test_a_kafka_out_of_reach_is_wrong(command: Command) -> None:
    found = findings(command, 1, OKGAMES_EVENT_LOG="kafka://127.0.0.1:1")

    assert "kafka://127.0.0.1:1" in found["wrong", "Kafka"]


def test_topics_that_are_missing_are_wrong_and_made_ones_are_well(command: Command, kafka_servers: list[str]) -> None:
    event_log = str(fresh_address(kafka_servers))

    assert "missing" in findings(command, 1, OKGAMES_EVENT_LOG=event_log)["wrong", "topics"]
    command.prints("topics", "apply", OKGAMES_EVENT_LOG=event_log)
    command.prints("migrate")
    assert ("ok", "Kafka") in findings(command, 0, OKGAMES_EVENT_LOG=event_log)


@given(ours=st.integers(-100, 100), there=st.integers(-100, 100), took=st.integers(0, 100))
def test_clocks_are_only_said_to_differ_by_what_the_question_cannot_have_taken(
    ours: int, there: int, took: int
) -> None:
    before, read, after = (NOON + timedelta(seconds=each) for each in (ours, there, ours + took))

    apart = clocks_apart(before, read, after)

    assert (apart == timedelta()) == (before <= read <= after)
    assert timedelta() <= apart <= abs(read - before)
