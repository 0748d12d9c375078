import asyncio
import signal
import socket

import pytest
from command import Command, answers
from forks import ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_up_ends_in_order_when_it_is_told_to(program: Command, number: signal.Signals) -> None:
    async with program.running("up") as process:
        process.send_signal(number)

        assert 0 == await ended(process)


async def test_up_brings_its_own_postgres_and_takes_it_away(program: Command) -> None:
    async with program.without("OKGAMES_DATABASE_URL").running("up", OKGAMES_DATA_DIR="var") as process:
        process.terminate()

        assert 0 == await ended(process)
    assert (program.directory / "var" / "postgres" / "data" / "PG_VERSION").exists()
    assert not (program.directory / "var" / "postgres" / "data" / "postmaster.pid").exists()


async def test_up_without_an_admin_token_starts_and_says_how_to_make_one(program: Command) -> None:
    async with program.without("OKGAMES_ADMIN_TOKEN").running("up"):
        pass

    assert "okgames token create" in (program.directory / "log").read_text()


async def test_up_with_the_simulator_plays_ok_beside_it(program: Command) -> None:
    async with program.running("up", "--simulator"):
        assert await answers(f"http://{program.environment['OKGAMES_SIMULATOR_HTTP']}/sim/books")


@pytest.mark.parametrize(
    "service", ["callback-gateway", "subscription-ledger", "notifier", "promo-scheduler", "jira-desk"]
)
async def test_one_service_runs_in_a_process_of_its_own(command: Command, program: Command, service: str) -> None:
    command.prints("migrate")
    async with program.running("run", service) as process:
        process.terminate()

        assert 0 == await ended(process)


async def test_address_in_use_is_one_line_and_ends_with_1(program: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = await asyncio.to_thread(program.run, "up", OKGAMES_HTTP=address)

    assert 1 == result.returncode
    assert "Traceback" not in result.stderr
    assert address.replace(":", "', ") in result.stderr


def test_migrating_twice_changes_nothing_the_second_time(program: Command) -> None:
    assert "steps applied\n" in program.prints("migrate")
    assert "the database is up to date\n" == program.prints("migrate")


@pytest.mark.parametrize("arguments", [["migrate"], ["up"], ["token", "list"]])
def test_database_out_of_reach_is_one_line_and_ends_with_1(program: Command, arguments: list[str]) -> None:
    result = program.run(*arguments, OKGAMES_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("okgames: the database: ")
    assert 1 == result.stderr.count("\n")
