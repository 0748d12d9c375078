from results import Goal, Row, Series
from run import Run
from system import System

_SECONDS = 4
_GOAL_MS = 20


async def measure(run: Run, system: System, who: str, maximum: Series) -> None:
    """Measure how long callbacks wait for their answers when they come at half the highest rate, whatever we do."""
    rate = maximum.median / 2
    medians: list[float] = []
    await run.stage.load(system.address, seconds=1, rate=rate)

    async def p99() -> float:
        load = await run.stage.load(system.address, seconds=run.seconds(_SECONDS), rate=rate)
        medians.append(load.must_be_good().p50 * 1000)
        return load.p99 * 1000

    what = f"{who} at {rate:,.0f} callbacks/s, open loop"
    (tail,) = (await run.interleave(what, "ms", {"p99": p99})).values()
    run.found(
        Row(
            f"p99 of the answer at half of its own highest rate, open loop: {who}",
            [tail, tail.of("p50", medians)],
            [Goal(tail.median, _GOAL_MS, "ms", is_least=False)],
            f"{rate:,.0f} callbacks/s over 64 connections; the time counts from when a callback was due, so the load"
            " generator's own delay is in it.",
        )
    )
