import re
from collections.abc import Sequence
from typing import Final

Path = Sequence[str | int]

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY: Final = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))\s*=""")


def line_of(text: str, path: Path) -> int:
    """
    Return the line, from 1, on which a key stands in a TOML text, or that of the nearest table around it.

    `path` is that of a validation error: names of tables and keys, and places in arrays. tomllib keeps no lines.
    """
    best, best_depth = 1, 0
    table: list[str | int] = []
    counts: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _table(header[1] == "[[", [name.strip().strip("\"'") for name in header[2].split(".")], counts)
            here = table
        elif key := _KEY.match(line):
            here = [*table, next(filter(None, key.groups()))]
        else:
            continue
        depth = len(here)
        if depth > best_depth and list(path[:depth]) == here:
            best, best_depth = number, depth
    return best


def _table(is_array: bool, names: Sequence[str], counts: dict[tuple[str | int, ...], int]) -> list[str | int]:
    path: list[str | int] = []
    for place, name in enumerate(names):
        path.append(name)
        is_last = place == len(names) - 1
        if is_last and is_array:
            counts[tuple(path)] = counts.get(tuple(path), -1) + 1
        if tuple(path) in counts:
            path.append(counts[tuple(path)])
    return path
