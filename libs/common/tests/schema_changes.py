from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

_WORDS = {"title", "description", "default", "$schema", "$defs"}


def breaking_changes(published: Schema, current: Schema) -> list[str]:
    """
    Return what somebody who holds one schema cannot read of events written under the other, empty if there is nothing.

    Both directions count: while a new version is rolled out, old services read new events, and afterwards new ones
    still find old events in the log and among the dead letters. A reader passes over fields that it does not know.
    """
    if published["x-topic"] != current["x-topic"]:
        return [f"the topic was {published['x-topic']} and is {current['x-topic']}"]
    return list(_changes("", published, published, current, current))


def _changes(at: str, published: Schema, old_root: Schema, current: Schema, new_root: Schema) -> Iterator[str]:
    old, new = _resolved(published, old_root), _resolved(current, new_root)
    if "properties" in old and "properties" in new:
        yield from _field_changes(at, old, old_root, new, new_root)
    elif "items" in old and "items" in new:
        yield from _changes(f"{at}[]", old["items"], old_root, new["items"], new_root)
    elif len(old.get("anyOf", ())) == len(new.get("anyOf", ())) > 0:
        for before, after in zip(old["anyOf"], new["anyOf"], strict=True):
            yield from _changes(at, before, old_root, after, new_root)
    elif "enum" in old and "enum" in new:
        before, after = old["enum"], new["enum"]
        yield from (f"{at} can no longer be {value}" for value in before if value not in after)
        yield from (f"{at} can be {value}, which old readers refuse" for value in after if value not in before)
    elif _without_words(old) != _without_words(new):
        yield f"{at} was {_without_words(old)} and is {_without_words(new)}"


def _field_changes(at: str, old: Schema, old_root: Schema, new: Schema, new_root: Schema) -> Iterator[str]:
    for name, field in old["properties"].items():
        if name not in new["properties"]:
            yield f"{at}.{name} is gone, which old readers want"
        else:
            yield from _changes(f"{at}.{name}", field, old_root, new["properties"][name], new_root)
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{at}.{name} is required, which old events lack"


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    return schema if reference is None else root["$defs"][reference.removeprefix("#/$defs/")]


def _without_words(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name not in _WORDS}
