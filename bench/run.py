from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from progress import Progress
from results import Row, Series
from stage import Load, Stage


@dataclass(frozen=True)
class Peers:
    """Addresses of what the gateway is compared with."""

    constant: str
    fastapi: str


@dataclass
class Run:
    """One run of the benchmarks: where it happens, how thorough it is, and what it has found."""

    stage: Stage
    progress: Progress
    rounds: int
    scale: float
    rows: list[Row] = field(default_factory=list)
    _peers: Peers | None = None

    def seconds(self, full: float) -> float:
        return full * self.scale

    def count(self, full: int) -> int:
        return int(full * self.scale)

    def found(self, row: Row) -> None:
        self.rows.append(row)
        for goal in row.goals:
            verdict = "met" if goal.is_met else "NOT MET"
            self.progress.measured(f"==> {row.measured}: {goal.value:,.3g} {goal.unit}: {verdict}")

    async def peers(self) -> Peers:
        """Start the constant server and the FastAPI handler, once."""
        if self._peers is None:
            url = await self.stage.database("fastapi")
            self._peers = Peers(
                await self.stage.serve("constant_server.py"), await self.stage.serve("fastapi_server.py", url)
            )
        return self._peers

    async def interleave(
        self, what: str, unit: str, measurements: dict[str, Callable[[], Awaitable[float]]]
    ) -> dict[str, Series]:
        """Measure one after the other, round by round, so that a machine that drifts drifts for all."""
        found: dict[str, list[float]] = {name: [] for name in measurements}
        for number in range(1, self.rounds + 1):
            for name, measure in measurements.items():
                self.progress.doing(f"{what}, round {number} of {self.rounds}: {name}")
                found[name].append(await measure())
        series = {name: Series(name, unit, values) for name, values in found.items()}
        for each in series.values():
            self.progress.measured(f"{what}: {each.what}: {each}")
        return series

    async def closed(self, address: str, seconds: float, *, connections: int = 64) -> Load:
        load = await self.stage.load(address, seconds=self.seconds(seconds), connections=connections)
        return load.must_be_good()
