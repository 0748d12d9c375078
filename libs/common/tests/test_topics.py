from pathlib import Path

import pytest
from kafka_world import fresh_address

from okgames.events import Topic
from okgames.kafka import KafkaAddress
from okgames.log import LogUnavailable
from okgames.testing import wait_until
from okgames.topics import (
    SHIPPED,
    Difference,
    FoundTopic,
    TopicPlan,
    TopicsError,
    apply,
    check,
    differences,
    load_plans,
    require_safe,
    unsafe,
)

SETTINGS = {
    "min.insync.replicas": "2",
    "message.timestamp.type": "LogAppendTime",
    "cleanup.policy": "delete",
    "retention.ms": "1000",
}
PLAN = TopicPlan(partitions=2, replication=3, settings=SETTINGS)


def found(partitions: int = 2, replication: int = 3, **settings: str) -> FoundTopic:
    every = SETTINGS | {name.replace("_", "."): value for name, value in settings.items()}
    return FoundTopic(partitions, replication, every, every)


@pytest.fixture
def address(kafka_servers: list[str]) -> KafkaAddress:
    return fresh_address(kafka_servers)


def test_the_file_has_every_topic_that_a_service_writes() -> None:
    assert set(Topic) == set(load_plans())


def test_the_file_stands_where_operators_look_for_it() -> None:
    assert SHIPPED.read_text() == (Path(__file__).parents[3] / "deploy/kafka/topics.yaml").read_text()


def test_events_are_kept_by_the_time_of_their_arrival_on_two_of_three_brokers() -> None:
    for plan in load_plans().values():
        assert ("LogAppendTime", "2", 3) == (
            plan.texts["message.timestamp.type"],
            plan.texts["min.insync.replicas"],
            plan.replication,
        )


def test_on_a_laptop_there_are_as_many_replicas_as_brokers() -> None:
    for plan in load_plans(brokers=1).values():
        assert (1, "1") == (plan.replication, plan.texts["min.insync.replicas"])


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (None, [("topic", "2 partitions", "missing")]),
        (found(), []),
        (found(partitions=3), [("partitions", "2", "3")]),
        (found(replication=1), [("replication", "3", "1")]),
        (found(retention_ms="5"), [("retention.ms", "1000", "5")]),
    ],
)
def test_differences_say_what_is_and_what_should_be(
    topic: FoundTopic | None, expected: list[tuple[str, str, str]]
) -> None:
    told = differences({"payments": PLAN}, {} if topic is None else {"payments": topic})

    assert expected == [(each.what, each.planned, each.found) for each in told]


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (None, ["topic"]),
        (found(), []),
        (found(partitions=3, retention_ms="5"), []),
        (found(min_insync_replicas="1"), ["min.insync.replicas"]),
        (found(min_insync_replicas="3"), []),
        (found(message_timestamp_type="CreateTime"), ["message.timestamp.type"]),
        (found(cleanup_policy="compact"), ["cleanup.policy"]),
        (found(replication=1, min_insync_replicas="1"), []),
    ],
)
def test_what_could_lose_events_is_unsafe(topic: FoundTopic | None, expected: list[str]) -> None:
    told = unsafe({"payments": PLAN}, {} if topic is None else {"payments": topic})

    assert expected == [each.what for each in told]


async def made(address: KafkaAddress, plans: dict[str, TopicPlan]) -> list[Difference]:
    """Apply the plans and wait until every broker that is asked has heard of it."""
    done, left = await apply(address, plans)
    assert [] == left

    async def are_known() -> bool:
        return [[]] * 5 == [await check(address, plans) for _ in range(5)]

    await wait_until(are_known)
    return done


async def test_applied_topics_are_as_they_should_be(address: KafkaAddress) -> None:
    plans = load_plans()
    assert set(plans) == {each.topic for each in await made(address, plans)}
    assert ([], []) == await apply(address, plans)
    await require_safe(address)


async def test_a_setting_that_differs_is_changed_and_others_of_the_topic_stay(address: KafkaAddress) -> None:
    before = {"a": PLAN.model_copy(update={"settings": SETTINGS | {"segment.ms": "600000"}})}
    await made(address, before)
    done = await made(address, {"a": PLAN.model_copy(update={"settings": SETTINGS | {"retention.ms": 2000}})})

    assert [Difference("a", "retention.ms", "2000", "1000")] == done
    assert ["retention.ms"] == [each.what for each in await check(address, before)]


async def test_partitions_are_never_added(address: KafkaAddress) -> None:
    await made(address, {"a": PLAN})
    more = {"a": PLAN.model_copy(update={"partitions": 4})}
    done, left = await apply(address, more)

    assert ([], ["partitions"]) == (done, [each.what for each in left])
    assert "keys would move" in str(left[0])
    assert ["partitions"] == [each.what for each in await check(address, more)]


async def test_missing_topics_are_told_with_the_command_that_makes_them(address: KafkaAddress) -> None:
    with pytest.raises(TopicsError, match=r"payments\.v1: topic: missing.*\n(.*\n)*.*okgames topics apply"):
        await require_safe(address)


async def test_a_kafka_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(LogUnavailable, match=r"kafka://127\.0\.0\.1:1"):
        await require_safe(KafkaAddress(("127.0.0.1:1",)))


@pytest.mark.parametrize("text", ["", "topics: {}", "defaults: {}\ntopics: {a: }", "a: [", "- a"])
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "topics.yaml").write_text(text)

    with pytest.raises(TopicsError, match=r"topics\.yaml"):
        load_plans(tmp_path / "topics.yaml")
