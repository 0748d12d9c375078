from collections.abc import Iterator, Sequence
from pathlib import Path

from machine import Machine
from results import Goal, Row, number


def write(path: Path, rows: Sequence[Row], rounds: int, machine: Machine, options: str) -> None:
    """Write what a run has found for people."""
    path.write_text("\n".join(_lines(rows, rounds, machine, options)) + "\n", encoding="utf-8")


def _lines(rows: Sequence[Row], rounds: int, machine: Machine, options: str) -> Iterator[str]:
    yield "# Results"
    yield ""
    yield f"Written by `make bench` ({options}). Everything ran on one machine, side by side: figures are medians of"
    yield f"{rounds} rounds with the lowest and highest in brackets, and the rounds of what is compared took turns."
    yield "Take the ratios with you; the figures are this machine's."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in machine.facts.items():
        yield f"| {name} | {value} |"
    yield ""
    yield "| measured | result | goal | |"
    yield "|---|---|---|---|"
    for row in rows:
        for place, goal in enumerate(row.goals):
            yield f"| {row.measured if place == 0 else ''} | {_value(goal)} | {_bound(goal)} | {_verdict(goal)} |"
    for row in rows:
        yield ""
        yield f"## {row.measured[0].upper()}{row.measured[1:]}"
        yield ""
        yield "| | median (lowest to highest) |"
        yield "|---|---|"
        for series in row.series:
            yield f"| {series.what} | {series} |"
        yield ""
        yield row.note


def _value(goal: Goal) -> str:
    return f"{number(goal.value)} {goal.unit}"


def _bound(goal: Goal) -> str:
    return f"{'at least' if goal.is_least else 'at most'} {goal.bound:,g}"


def _verdict(goal: Goal) -> str:
    return "met" if goal.is_met else "**not met**"
