from results import Row, Series, at_least_times
from run import Run
from stage import WrongAnswers
from system import System

_SECONDS = 3


async def measure(run: Run, gateway: System) -> Series:
    """Measure how many callbacks a second one gateway process accepts, beside the ceiling and the usual way."""
    peers = await run.peers()
    accepted = 0

    async def ours() -> float:
        nonlocal accepted
        load = await run.closed(gateway.address, _SECONDS)
        accepted += load.answers
        return load.rate

    series = await run.interleave(
        "callbacks accepted, 64 connections",
        "/s",
        {
            "aiohttp + uvloop answering a constant": lambda: rate_of(run, peers.constant),
            "one gateway process": ours,
            "FastAPI + SQLAlchemy, one transaction each": lambda: rate_of(run, peers.fastapi),
        },
    )
    await _must_be_kept(gateway, accepted)
    constant, rate, fastapi = series.values()
    run.found(
        Row(
            "callbacks accepted by one gateway process, journal and event committed before each answer, 64 connections",
            [rate, constant, fastapi],
            [at_least_times(rate, 0.50, constant), at_least_times(rate, 20, fastapi)],
            "All callbacks are distinct one-time purchases. Afterwards each one that was answered stood in the journal"
            " and in the log.",
        )
    )
    return rate


async def rate_of(run: Run, address: str, seconds: float = _SECONDS) -> float:
    return (await run.closed(address, seconds)).rate


async def _must_be_kept(gateway: System, accepted: int) -> None:
    for table in ("callback_gateway.callbacks", "event_log.events"):
        kept = await gateway.database.fetchval(f"select count(*) from {table}")
        if kept != accepted:
            raise WrongAnswers(f"{accepted} callbacks were accepted, but {table} has {kept}")
