import copy
import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError
from schema_changes import breaking_changes

from okgames.events import EVENT_TYPES, Event, PlayerEvent, Topic

PUBLISHED = Path(__file__).parent / "published_schemas"
"""What the last release wrote; CONTRIBUTING.md says when they are copied here."""


def schema_of(event: type[Event]) -> dict[str, Any]:
    return {"x-topic": str(event.topic)} | event.model_json_schema()


@pytest.mark.parametrize("published", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_released_services_can_read_todays_events_and_todays_services_released_ones(published: Path) -> None:
    event = EVENT_TYPES.get(published.stem)

    assert event is not None, "an event that was released once may still be in the log"
    assert [] == breaking_changes(json.loads(published.read_text()), schema_of(event))


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Bag(PlayerEvent):
    topic = Topic.PAYMENTS

    size: Size
    apples: int
    note: str | None
    weights: tuple[int, ...]
    spare: Size | None


PUBLISHED_BAG = schema_of(Bag)


def with_a_change(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    schema = copy.deepcopy(PUBLISHED_BAG)
    change(schema)
    return schema


def rename(schema: dict[str, Any]) -> None:
    schema["properties"]["pears"] = schema["properties"].pop("apples")
    schema["required"][schema["required"].index("apples")] = "pears"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda schema: schema["properties"].pop("note"), [".note is gone, which old readers want"]),
        (rename, [".apples is gone, which old readers want", ".pears is required, which old events lack"]),
        (
            lambda schema: schema["properties"]["apples"].update(type="string"),
            [".apples was {'type': 'integer'} and is {'type': 'string'}"],
        ),
        (
            lambda schema: schema["properties"]["weights"]["items"].update(type="number"),
            [".weights[] was {'type': 'integer'} and is {'type': 'number'}"],
        ),
        (
            lambda schema: schema["properties"]["note"].pop("anyOf"),
            [".note was {'anyOf': [{'type': 'string'}, {'type': 'null'}]} and is {}"],
        ),
        (
            lambda schema: schema["$defs"]["Size"]["enum"].remove("large"),
            [".size can no longer be large", ".spare can no longer be large"],
        ),
        (
            lambda schema: schema["$defs"]["Size"]["enum"].append("huge"),
            [".size can be huge, which old readers refuse", ".spare can be huge, which old readers refuse"],
        ),
        (
            lambda schema: schema.update({"x-topic": "okgames.jira.v1"}),
            ["the topic was okgames.payments.v1 and is okgames.jira.v1"],
        ),
    ],
    ids=["removed", "renamed", "type", "type within a list", "no longer null", "narrowed", "widened", "topic"],
)
def test_a_change_that_readers_cannot_take_is_seen(
    change: Callable[[dict[str, Any]], None], expected: list[str]
) -> None:
    assert expected == breaking_changes(PUBLISHED_BAG, with_a_change(change))


def test_a_new_required_field_is_seen() -> None:
    class Bag2(Bag):
        colour: str

    assert [".colour is required, which old events lack"] == breaking_changes(PUBLISHED_BAG, schema_of(Bag2))


def test_a_new_field_with_a_default_and_other_words_are_fine() -> None:
    class Bag2(Bag):
        """Another docstring."""

        colour: str = Field(default="red", description="A new one.")

    assert [] == breaking_changes(PUBLISHED_BAG, schema_of(Bag2))


def test_a_field_that_a_reader_does_not_know_is_passed_over() -> None:
    class Bag2(Bag):
        colour: str = "red"

    written = Bag2(
        id="00000000-0000-0000-0000-000000000001",
        occurred_at="2026-03-02T10:15:30+03:00",
        application_key="CBTESTKEYABABABABA",
        uid="1",
        size=Size.SMALL,
        apples=3,
        note=None,
        weights=(1, 2),
        spare=None,
    ).model_dump_json()

    assert 3 == Bag.model_validate_json(written).apples
    assert "colour" not in Bag.model_validate_json(written).model_dump()


def test_what_the_comparison_calls_widened_is_really_refused_by_old_readers() -> None:
    with pytest.raises(ValidationError, match="small"):
        Bag.model_validate({"size": "huge"})
