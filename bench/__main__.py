"""Measure okgames beside the usual ways and the ceilings of this machine, and write bench/RESULTS.md."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import cluster
import daily_rewards
import gateway
import jira_polls
import ledger_batches
import machine
import promotions
import report
import uvloop
import webhook_rate
import whole
from progress import showing
from results import Goal, Row, Series
from run import Run
from stage import stage

from okgames.telemetry import configure_logging

_FOLDER: Final = Path(__file__).parent.parent / "var" / "bench"
_PARTS: Final[dict[str, Callable[[Run], Awaitable[None]]]] = {
    "gateway": gateway.measure,
    "whole": whole.measure,
    "ledger": ledger_batches.measure,
    "notifier": webhook_rate.measure,
    "rewards": daily_rewards.measure,
    "promotions": promotions.measure,
    "jira": jira_polls.measure,
    "kafka": cluster.measure,
}


async def run(parts: list[str], rounds: int, *, quick: bool) -> None:
    with showing() as progress:
        async with stage(_FOLDER) as on_stage:
            this = Run(on_stage, progress, rounds, scale=0.3 if quick else 1)
            described = await machine.describe(on_stage.folder, on_stage.admin)
            for count, part in enumerate(parts, 1):
                await on_stage.checkpoint()
                await _PARTS[part](this)
                # After each part, so that who ends a long run keeps what it has found.
                options = f"rounds: {rounds}{', quick' if quick else ''}, parts: {', '.join(parts[:count])}"
                rows = [*this.rows, *([memory_row(on_stage.memory)] if on_stage.memory else [])]
                report.write(Path(__file__).parent / "RESULTS.md", rows, rounds, described, options)


def memory_row(peaks: dict[str, float]) -> Row:
    """Compare the most memory that any okgames process has had with its goal."""
    series = [Series(what, "MB", [peak]) for what, peak in peaks.items()]
    return Row(
        "memory of each okgames process in all of the above, at its peak",
        series,
        [Goal(max(peaks.values()), 300, "MB", is_least=False)],
        "VmHWM of the one process; Postgres is not counted.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default=",".join(_PARTS), help="parts, with commas: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="shorter rounds, for trying out the benchmarks themselves")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    configure_logging("warning", "json")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        uvloop.run(run(parts, options.rounds, quick=options.quick))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
