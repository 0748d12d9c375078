import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Show(Protocol):
    """Show how far the demo is."""

    def __call__(self, day: int, callbacks: int, rewards: int, deliveries: int) -> None: ...


@contextmanager
def showing(days: int) -> Iterator[Show]:
    """Give what shows the progress: a line that moves on a terminal, otherwise a line every five days."""
    if not sys.stdout.isatty():
        yield _lines(days)
        return
    columns = (
        TextColumn("day"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("", total=days, counts="")

        def move(day: int, callbacks: int, rewards: int, deliveries: int) -> None:
            bar.update(task, completed=day, counts=_counts(callbacks, rewards, deliveries))

        yield move


def _lines(days: int) -> Show:
    shown = 0

    def print_line(day: int, callbacks: int, rewards: int, deliveries: int) -> None:
        nonlocal shown
        if day >= shown + 5 or day == days:
            shown = day
            print(f"day {day:2} of {days}: {_counts(callbacks, rewards, deliveries)}", flush=True)

    return print_line


def _counts(callbacks: int, rewards: int, deliveries: int) -> str:
    return f"{callbacks:,} callbacks, {rewards:,} rewards, {deliveries:,} deliveries"
