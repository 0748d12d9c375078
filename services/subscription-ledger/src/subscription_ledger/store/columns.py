from collections.abc import Iterable, Sequence
from typing import TypeAlias

PlayerKey: TypeAlias = tuple[str, str]
"""application_key and uid."""


def columns(rows: Iterable[Sequence[object]]) -> Iterable[Sequence[object]]:
    """Turn rows, at least one, into the arrays that unnest wants."""
    return zip(*rows, strict=True)
