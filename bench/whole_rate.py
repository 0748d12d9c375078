import time
from dataclasses import dataclass, field

from callback_rate import rate_of
from results import Row, Series, at_least_times
from run import Run
from system import System

_SECONDS = 5
_PEER_SECONDS = 1.5


@dataclass
class _Floods:
    """What came of callbacks that were sent as fast as they were answered."""

    run: Run
    system: System
    accepted: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    worked_off_in: list[float] = field(default_factory=list)

    async def whole_way(self) -> float:
        """Return the callbacks a second, counted until nothing is unread and no delivery pending."""
        load = await self.run.closed(self.system.address, _SECONDS)
        self.left.append(sum((await self.system.lags()).values()))
        await self.system.drain()
        whole = time.perf_counter() - load.began
        self.accepted.append(load.rate)
        self.worked_off_in.append(whole - load.took)
        return load.answers / whole


async def measure(run: Run, system: System, what: str) -> Series:
    """Measure how many callbacks a second everything in one process takes, with ledger and notifier keeping up."""
    peers = await run.peers()
    await run.stage.load(system.address, seconds=2, rate=200)
    await system.drain()
    floods = _Floods(run, system)
    series = await run.interleave(
        f"everything in one process, {what}",
        "/s",
        {
            "aiohttp + uvloop answering a constant": lambda: rate_of(run, peers.constant, _PEER_SECONDS),
            "everything in one process": floods.whole_way,
            "FastAPI + SQLAlchemy, one transaction each": lambda: rate_of(run, peers.fastapi, _PEER_SECONDS),
        },
    )
    constant, ours, fastapi = series.values()
    run.found(
        Row(
            f"the same, everything in one process, {what}",
            [
                ours,
                constant,
                fastapi,
                ours.of("answered", floods.accepted),
                ours.of("left behind when the last was answered", floods.left, "events and deliveries"),
                ours.of("time to work that off", floods.worked_off_in, "s"),
            ],
            [at_least_times(ours, 0.35, constant), at_least_times(ours, 15, fastapi)],
            f"64 connections, {run.seconds(_SECONDS):g} s; the time counts until every group had read every event and"
            " no delivery was pending, so that what is left behind counts as not done.",
        )
    )
    return ours
