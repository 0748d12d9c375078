import aiohttp
from command import Command
from kafka_world import fresh_address
from world import APPLICATION_KEY

from okgames.testing import wait_until


def test_topics_are_made_once_and_then_as_they_should_be(command: Command, kafka_servers: list[str]) -> None:
    event_log = str(fresh_address(kafka_servers))
    missing = command.run("topics", "check", OKGAMES_EVENT_LOG=event_log)

    assert 1 == missing.returncode
    assert "okgames.payments.v1: topic: missing, should be 12 partitions" in missing.stderr
    assert "okgames.payments.v1: topic: missing, now 12 partitions" in command.prints(
        "topics", "apply", OKGAMES_EVENT_LOG=event_log
    )
    assert "the topics are as they should be\n" == command.prints("topics", "apply", OKGAMES_EVENT_LOG=event_log)


def test_a_forwarder_without_topics_says_how_to_make_them(command: Command, kafka_servers: list[str]) -> None:
    command.prints("migrate")
    result = command.run("run", "forwarder", OKGAMES_EVENT_LOG=str(fresh_address(kafka_servers)))

    assert 1 == result.returncode
    assert "Traceback" not in result.stderr
    assert "okgames topics apply" in result.stderr


async def test_everything_in_one_process_carries_its_own_events_to_kafka(
    command: Command, kafka_servers: list[str]
) -> None:
    event_log = str(fresh_address(kafka_servers))
    command.prints("topics", "apply", OKGAMES_EVENT_LOG=event_log)

    async with command.running("up", "--simulator", OKGAMES_EVENT_LOG=event_log):
        async with aiohttp.ClientSession(f"http://{command.environment['OKGAMES_SIMULATOR_HTTP']}") as http:
            player = {"application_key": APPLICATION_KEY, "uid": "7", "product": "gold_100"}
            async with http.post("/sim/purchase", json=player) as answer:
                assert "completed" == (await answer.json())["status"]

        async def is_told() -> bool:
            return "reward.granted" in command.prints("deliveries", "list")

        await wait_until(is_told, timeout=60)


def test_the_forwarder_and_topics_want_kafka(program: Command) -> None:
    for arguments in (["run", "forwarder"], ["topics", "check"], ["topics", "apply"]):
        result = program.run(*arguments)

        assert 2 == result.returncode
        assert "okgames: OKGAMES_EVENT_LOG: must be kafka://host:port[,host:port] for this command\n" == result.stderr
