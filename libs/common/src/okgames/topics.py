from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from okgames.kafka import KafkaAddress
from okgames.log import LogUnavailable

SHIPPED: Final = Path(str(files("okgames") / "topics.yaml"))
"""The topics that services write, as they come with okgames."""

_DYNAMIC_TOPIC_CONFIG: Final = 1
_REQUEST_MS: Final = 10_000


class TopicsError(Exception):
    """The topics are not, or cannot be made, what they should be; the text has a line for each difference."""


class TopicPlan(BaseModel):
    """Say what a topic should be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partitions: int = Field(ge=1)
    replication: int = Field(ge=1)
    settings: Mapping[str, str | int]

    @property
    def texts(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.settings.items()}


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """Say what a topic is; `own_settings` are those that were set for it, `settings` all that count."""

    partitions: int
    replication: int
    settings: Mapping[str, str]
    own_settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """Say where a topic is not as planned, and whether `apply` puts that right."""

    topic: str
    what: str
    planned: str
    found: str
    remedy: str | None = None

    def __str__(self) -> str:
        text = f"{self.topic}: {self.what}: {self.found}, should be {self.planned}"
        return text if self.remedy is None else f"{text}: {self.remedy}"


def load_plans(path: Path = SHIPPED, *, brokers: int | None = None) -> dict[str, TopicPlan]:
    """
    Read what the topics should be; raise TopicsError.

    With fewer `brokers` than the file wants replicas, for a laptop, there are as many replicas as brokers.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        defaults, topics = content["defaults"], content["topics"]
        plans = {
            name: TopicPlan.model_validate(
                defaults | (own or {}) | {"settings": defaults["settings"] | (own or {}).get("settings", {})}
            )
            for name, own in topics.items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise TopicsError(f"{path}: {error}") from error
    return {name: _fitting(plan, brokers) for name, plan in plans.items()}


def _fitting(plan: TopicPlan, brokers: int | None) -> TopicPlan:
    if brokers is None or brokers >= plan.replication:
        return plan
    in_sync = min(int(plan.settings.get("min.insync.replicas", 1)), brokers)
    settings = {**plan.settings, "min.insync.replicas": in_sync}
    return plan.model_copy(update={"replication": brokers, "settings": settings})


def differences(plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Compare topics with their plans."""
    return [each for name, plan in plans.items() for each in _differences(name, plan, found.get(name))]


def _differences(name: str, plan: TopicPlan, found: FoundTopic | None) -> list[Difference]:
    if found is None:
        return [Difference(name, "topic", f"{plan.partitions} partitions", "missing")]
    differing = []
    if found.partitions != plan.partitions:
        remedy = "left as it is, because keys would move to other partitions and lose their order: make a new topic"
        differing.append(Difference(name, "partitions", str(plan.partitions), str(found.partitions), remedy))
    if found.replication != plan.replication:
        remedy = "left as it is: move replicas with kafka-reassign-partitions"
        differing.append(Difference(name, "replication", str(plan.replication), str(found.replication), remedy))
    for setting, planned in plan.texts.items():
        is_set = found.settings.get(setting, "not set")
        if is_set != planned:
            differing.append(Difference(name, setting, planned, is_set))
    return differing


def unsafe(plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]) -> list[Difference]:
    """Return those differences with which events could be lost, and of which the forwarder will have none."""
    names = ("topic", "min.insync.replicas", "message.timestamp.type", "cleanup.policy")
    fitting = {name: _fitting(plan, found[name].replication if name in found else None) for name, plan in plans.items()}
    return [
        each
        for each in differences(fitting, found)
        if each.what in names and not (each.what == "min.insync.replicas" and int(each.found) > int(each.planned))
    ]


async def check(address: KafkaAddress, plans: Mapping[str, TopicPlan]) -> list[Difference]:
    """Return where Kafka's topics are not as planned; raise LogUnavailable."""
    async with _admin(address) as admin:
        return differences(plans, await _found(admin, address, plans))


async def require_safe(address: KafkaAddress) -> None:
    """Raise TopicsError if the topics are missing or could lose events, LogUnavailable if Kafka does not answer."""
    plans = load_plans()
    async with _admin(address) as admin:
        wrong = unsafe(plans, await _found(admin, address, plans))
    if wrong:
        raise TopicsError("\n".join([*map(str, wrong), "make the topics with: okgames topics apply"]))


async def apply(address: KafkaAddress, plans: Mapping[str, TopicPlan]) -> tuple[list[Difference], list[Difference]]:
    """
    Make missing topics and change settings; return what was put right and what was left.

    Partitions are left, because keys would move to other ones and lose their order, and so are replicas. Settings
    that the plans do not name stay as they are. Raise TopicsError where Kafka refuses, and LogUnavailable.
    """
    async with _admin(address) as admin:
        found = await _found(admin, address, plans)
        differing = differences(plans, found)
        missing = [name for name in plans if name not in found]
        if missing:
            await _create(admin, address, {name: plans[name] for name in missing})
        changed = {each.topic for each in differing if each.remedy is None} - set(missing)
        if changed:
            await _alter(
                admin, address, {name: {**found[name].own_settings, **plans[name].texts} for name in sorted(changed)}
            )
    return [each for each in differing if each.remedy is None], [each for each in differing if each.remedy is not None]


async def _create(admin: AIOKafkaAdminClient, address: KafkaAddress, plans: Mapping[str, TopicPlan]) -> None:
    wanted = [
        NewTopic(address.topic(name), plan.partitions, plan.replication, topic_configs=plan.texts)
        for name, plan in plans.items()
    ]
    answer = await admin.create_topics(wanted)
    # Another one may be making them at the same time, or has, and not every broker has heard of it yet.
    _raise_refusals([each for each in answer.topic_errors if for_code(each[1]) is not TopicAlreadyExistsError])


async def _alter(admin: AIOKafkaAdminClient, address: KafkaAddress, settings: Mapping[str, Mapping[str, str]]) -> None:
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, address.topic(name), dict(configs))
        for name, configs in settings.items()
    ]
    for answer in await admin.alter_configs(resources):
        _raise_refusals([(topic, code, message) for code, message, _, topic in answer.resources])


def _raise_refusals(outcomes: Sequence[tuple[str, int, str | None]]) -> None:
    refusals = [f"{topic}: {for_code(code).__name__}: {message}" for topic, code, message in outcomes if code]
    if refusals:
        raise TopicsError("\n".join(refusals))


async def _found(
    admin: AIOKafkaAdminClient, address: KafkaAddress, names: Mapping[str, object]
) -> dict[str, FoundTopic]:
    # Of all topics, because asking for one that is missing may make it.
    described = {each["topic"]: each for each in await admin.describe_topics()}
    there = {name: described[address.topic(name)] for name in names if address.topic(name) in described}
    if not there:
        return {}
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, address.topic(name)) for name in there]
    )
    entries = {topic: found for answer in answers for _, _, _, topic, found in answer.resources}
    return {name: _found_topic(topic, entries[address.topic(name)]) for name, topic in there.items()}


def _found_topic(topic: Mapping[str, Any], entries: Sequence[tuple[Any, ...]]) -> FoundTopic:
    return FoundTopic(
        len(topic["partitions"]),
        len(topic["partitions"][0]["replicas"]),
        {name: value for name, value, *_ in entries},
        {name: value for name, value, _, source, *_ in entries if source == _DYNAMIC_TOPIC_CONFIG},
    )


@asynccontextmanager
async def _admin(address: KafkaAddress) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(address.servers), request_timeout_ms=_REQUEST_MS)
    try:
        await admin.start()
        yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise LogUnavailable(f"Kafka at {address}: {error!r}") from error
    finally:
        await admin.close()
