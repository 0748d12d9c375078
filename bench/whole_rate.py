import time
from dataclasses import dataclass, field

from callback_rate import rate_of
from results import Row, Series, at_least_times
from run import Run
from stage import Load
from system import System

_CLOSED_SECONDS = 2.5
_SECONDS = 5
_PEER_SECONDS = 1.5
_MOST_BEHIND_SECONDS = 0.5
_STEP = 1.12
_PROBES = 7


@dataclass(frozen=True)
class Trial:
    """Say what came of callbacks at a fixed rate; `behind` is what was not done when the last one was answered."""

    rate: float
    load: Load
    behind: int

    @property
    def is_sustained(self) -> bool:
        """Tell whether next to nothing had piled up, before the gateway or behind it."""
        keeps_pace = not self.load.bad and self.load.rate >= 0.97 * self.rate
        return keeps_pace and self.behind <= self.rate * _MOST_BEHIND_SECONDS


@dataclass
class _Floods:
    """What came of callbacks that were sent as fast as they were answered."""

    accepted: list[float] = field(default_factory=list)
    drained_in: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)


async def measure(run: Run, system: System, what: str) -> Series:
    """Measure how many callbacks a second everything in one process takes, with ledger and notifier keeping up."""
    peers = await run.peers()
    await run.stage.load(system.address, seconds=2, rate=200)
    await system.drain()
    floods = _Floods()

    async def flood() -> float:
        return await _flood(run, system, floods)

    found = await run.interleave(f"flooded, {what}", "/s", {"through the whole way, drained": flood})
    start = found["through the whole way, drained"].median
    rate = await _find_sustained(run, system, what, start)
    trials: list[Trial] = []

    async def sustain() -> float:
        trials.append(await _try(run, system, rate))
        return trials[-1].load.rate

    measurements = {"aiohttp + uvloop answering a constant": lambda: rate_of(run, peers.constant, _PEER_SECONDS)}
    measurements["everything in one process, sustained"] = sustain
    measurements["FastAPI + SQLAlchemy, one transaction each"] = lambda: rate_of(run, peers.fastapi, _PEER_SECONDS)
    series = await run.interleave(f"everything in one process, {what}", "/s", measurements)
    constant, sustained, fastapi = series.values()
    kept = sum(trial.is_sustained for trial in trials)
    run.found(
        Row(
            f"the same, everything in one process, {what}: the highest rate at which lag stays bounded",
            [
                sustained,
                constant,
                fastapi,
                sustained.of(
                    "behind at the end of a round", [trial.behind for trial in trials], "events and deliveries"
                ),
                sustained.of("accepted when flooded over 64 connections", floods.accepted),
                sustained.of("left behind by such a flood", floods.left, "events and deliveries"),
                sustained.of("time to work that off", floods.drained_in, "s"),
                sustained.of("through the whole way when flooded", found["through the whole way, drained"].values),
            ],
            [at_least_times(sustained, 0.35, constant), at_least_times(sustained, 15, fastapi)],
            f"Sustained: open loop at a fixed rate for {run.seconds(_SECONDS):g} s; callbacks were answered as fast as"
            " they came, and at the end the events that a group had not read and the deliveries that were pending were"
            f" together fewer than the callbacks of {_MOST_BEHIND_SECONDS:g} s. So it was in {kept} of {len(trials)}"
            " rounds. The rate was searched for in steps of an eighth. Flooded: as fast as answers came; the whole way"
            " counts the time until nothing was left.",
        )
    )
    return sustained


async def _flood(run: Run, system: System, floods: _Floods) -> float:
    load = await run.closed(system.address, _CLOSED_SECONDS)
    floods.left.append(sum((await system.lags()).values()))
    await system.drain()
    whole = time.perf_counter() - load.began
    floods.accepted.append(load.rate)
    floods.drained_in.append(whole - load.took)
    return load.answers / whole


async def _find_sustained(run: Run, system: System, what: str, rate: float) -> float:
    """Walk up or down from a rate to the highest that is sustained."""
    best: float | None = None
    for _ in range(_PROBES):
        run.progress.doing(f"trying {rate:,.0f} callbacks/s, {what}")
        trial = await _try(run, system, rate)
        word = "sustained" if trial.is_sustained else "too many"
        run.progress.measured(f"{rate:,.0f} callbacks/s: {trial.behind:,} behind after {trial.load.took:.1f} s: {word}")
        if trial.is_sustained:
            if best is not None and rate < best:
                break
            best, rate = rate, rate * _STEP
        elif best is None:
            rate /= _STEP
        else:
            break
    return best or rate


async def _try(run: Run, system: System, rate: float) -> Trial:
    load = await run.stage.load(system.address, seconds=run.seconds(_SECONDS), rate=rate)
    behind = sum((await system.lags()).values())
    await system.drain()
    return Trial(rate, load, behind)
