import json

from results import Goal, Row
from run import Run
from stage import WrongAnswers
from system import System

_RATE = 500
_SECONDS = 6
_GOAL_MS = 250


async def measure(run: Run, system: System, game: str) -> None:
    """Measure how long a reward takes from OK's callback to the game's server, webhook verified."""
    await system.drain()
    await _arrivals(run, game)
    medians: list[float] = []

    async def p99() -> float:
        load = await run.stage.load(system.address, seconds=run.seconds(_SECONDS), rate=_RATE)
        await system.drain()
        arrived = dict(await _arrivals(run, game))
        if len(arrived) != load.must_be_good().answers:
            raise WrongAnswers(f"{load.answers} callbacks were accepted, but {len(arrived)} rewards came")
        took = sorted(at - (load.began + (number - load.first) / _RATE) for number, at in arrived.items())
        medians.append(took[len(took) // 2] * 1000)
        return took[int(len(took) * 0.99)] * 1000

    found = await run.interleave(f"from callback to verified webhook at {_RATE}/s", "ms", {"p99": p99})
    tail = found["p99"]
    run.found(
        Row(
            f"from callback to verified webhook at {_RATE} callbacks/s, the whole way, everything in one process: p99",
            [tail, found["p99"].of("p50", medians)],
            [Goal(tail.median, _GOAL_MS, "ms", is_least=False)],
            "From when the callback was due until the game's server had verified the signature. None was missing.",
        )
    )


async def _arrivals(run: Run, game: str) -> list[tuple[int, float]]:
    async with run.stage.http.get(f"http://{game}/arrivals") as response:
        return [(number, at) for number, at in json.loads(await response.read())]
