import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

from cli.api import Row

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object a line, instead of a table.")
]
LimitOption: TypeAlias = Annotated[int, typer.Option("--limit", min=1, help="Show this many at most.")]

_MOSCOW: Final = ZoneInfo("Europe/Moscow")
_UNLIMITED: Final = 100_000


def print_rows(rows: Sequence[Row], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print a list: as a table of `columns` (title to field), or as JSON, one object a line and whole."""
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(field)) for field in columns.values()))
    # Where a program reads the output, lines must not be cut to the width of a terminal.
    width = None if sys.stdout.isatty() else _UNLIMITED
    Console(width=width, highlight=False, markup=False).print(table)


def print_row(row: Row, *, as_json: bool) -> None:
    """Print one object: a line for each field that is no list, or as JSON."""
    if as_json:
        print(json.dumps(row, ensure_ascii=False))
        return
    shown = {field: _cell(value) for field, value in row.items() if not isinstance(value, list)}
    width = max(map(len, shown))
    for field, text in shown.items():
        print(f"{field:<{width}}  {text}")


def moscow(time: datetime) -> str:
    return f"{time.astimezone(_MOSCOW):%Y-%m-%d %H:%M:%S} MSK"


def moscow_text(text: str) -> str:
    """Return a time that the API gave as people in Moscow read it."""
    return moscow(datetime.fromisoformat(text))


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return _time_or_text(value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _time_or_text(text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return moscow(time) if time.tzinfo is not None else text
