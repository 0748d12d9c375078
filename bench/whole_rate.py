import asyncio
import time
from dataclasses import dataclass, field

from callback_rate import rate_of
from results import Row, Series, at_least_times
from run import Run
from system import System

from okgames.testing import wait_until

_SECONDS = 10
_PEER_SECONDS = 1.5
_CONSTANT = "aiohttp + uvloop answering a constant"
_FASTAPI = "FastAPI + SQLAlchemy, one transaction each"
_OURS = "everything in one process"
_POSTING = "aiohttp + uvloop answering a constant and posting a webhook for each, keeping nothing"
_COUNTED = (
    "the time counts until every group had read every event and no delivery was pending, so that what is left behind"
    " counts as not done."
)


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

    def series(self, ours: Series) -> list[Series]:
        return [
            ours.of("answered", self.accepted),
            ours.of("left behind when the last was answered", self.left, "events and deliveries"),
            ours.of("time to work that off", self.worked_off_in, "s"),
        ]


async def measure_pulling(run: Run, system: System) -> None:
    """Measure how many callbacks a second everything in one process takes for a game that pulls its rewards."""
    peers = await run.peers()
    floods = await _warm(run, system)
    series = await run.interleave(
        f"{_OURS}, for a game that pulls its rewards",
        "/s",
        {
            _CONSTANT: lambda: rate_of(run, peers.constant, _PEER_SECONDS),
            _OURS: floods.whole_way,
            _FASTAPI: lambda: rate_of(run, peers.fastapi, _PEER_SECONDS),
        },
    )
    constant, ours, fastapi = series.values()
    run.found(
        Row(
            f"the same, {_OURS}, for a game that pulls its rewards",
            [ours, constant, fastapi, *floods.series(ours)],
            [at_least_times(ours, 0.35, constant), at_least_times(ours, 15, fastapi)],
            f"64 connections, {run.seconds(_SECONDS):g} s; {_COUNTED}",
        )
    )


async def measure_posting(run: Run, system: System, game: str) -> Series:
    """Measure the same where every reward is brought to the game, beside the least that a process could do for that."""
    peers = await run.peers()
    floods = await _warm(run, system)
    posting = await run.stage.serve("posting_server.py", f"http://{game}/okgames")

    async def post_all() -> float:
        load = await run.closed(posting, _PEER_SECONDS)
        await wait_until(is_done, 120, "not everything was posted")
        return load.answers / (time.perf_counter() - load.began)

    async def is_done() -> bool:
        await asyncio.sleep(0.05)
        async with run.stage.http.get(f"http://{posting}/left") as response:
            return await response.text() == "0"

    series = await run.interleave(
        f"{_OURS}, a webhook for each callback",
        "/s",
        {
            _CONSTANT: lambda: rate_of(run, peers.constant, _PEER_SECONDS),
            _POSTING: post_all,
            _OURS: floods.whole_way,
        },
    )
    constant, ceiling, ours = series.values()
    run.found(
        Row(
            f"the same, {_OURS}, every reward brought to the game by a webhook",
            [ours, ceiling, constant, *floods.series(ours)],
            [at_least_times(ours, 0.35, ceiling)],
            f"64 connections, {run.seconds(_SECONDS):g} s; {_COUNTED} The game's server runs on the same cores, and"
            " posting alone takes longer than several constants: beside a constant, which posts nothing, it is"
            f" {ours.median / constant.median:.3f} x, and what only posts is {ceiling.median / constant.median:.3f} x.",
        )
    )
    return ours


async def _warm(run: Run, system: System) -> _Floods:
    await run.stage.load(system.address, seconds=2, rate=200)
    await system.drain()
    return _Floods(run, system)
