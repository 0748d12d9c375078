import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from okgames.kafka_brokers import KafkaNotStarted, given_brokers, kafka_brokers
from okgames.testing import wait_until

USER = """
from okgames.kafka_brokers import kafka_brokers
with kafka_brokers(1) as brokers:
    print(brokers.servers[0], flush=True)
    input()
"""


def test_without_docker_java_and_maven_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with (
        pytest.raises(KafkaNotStarted, match=r"java and mvn not found\..*OKGAMES_TEST_KAFKA.*openjdk-17"),
        kafka_brokers(),
    ):
        pass


def test_brokers_that_are_named_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKGAMES_TEST_KAFKA", "127.0.0.1:1")

    with pytest.raises(KafkaNotStarted, match=r"OKGAMES_TEST_KAFKA names brokers that do not answer: 127\.0\.0\.1:1"):
        given_brokers()


def test_brokers_that_are_named_and_answer_are_taken(monkeypatch: pytest.MonkeyPatch, kafka_servers: list[str]) -> None:
    monkeypatch.setenv("OKGAMES_TEST_KAFKA", f"kafka://{','.join(kafka_servers)}")

    assert kafka_servers == given_brokers()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_brokers_end_with_the_process_that_started_them(number: signal.Signals) -> None:
    user = await asyncio.create_subprocess_exec(sys.executable, "-c", USER, stdin=PIPE, stdout=PIPE)
    assert user.stdout is not None
    assert (await user.stdout.readline()).startswith(b"127.0.0.1:")
    brokers = children(user.pid)
    user.send_signal(number)
    await user.communicate()
    assert brokers
    await wait_until(lambda: not any(map(is_running, brokers)))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
