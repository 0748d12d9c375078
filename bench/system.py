import asyncio
import signal
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families
from studio import ADMIN_TOKEN

from okgames.testing import wait_until

_STOP_SECONDS: Final = 40


@dataclass
class Program:
    """A process of the benchmark's; it is ended with the stage, or before."""

    name: str
    process: Process

    def peak_megabytes(self) -> float:
        """Return the most memory that the process has had (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@dataclass
class System:
    """okgames at work: one service or all of them in one process."""

    program: Program
    address: str
    management: str
    database: asyncpg.Connection
    http: aiohttp.ClientSession

    async def lags(self) -> dict[str, int]:
        """Return how many events each group has not read yet, and how many deliveries are pending."""
        async with self.http.get(f"http://{self.management}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        found = {
            f"{sample.labels['group']} reads {sample.labels['topic']}": int(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "okgames_log_lag_events"
        }
        pending = "select count(*) from notifier.deliveries where state = 'pending'"
        return {**found, "deliveries pending": await self.database.fetchval(pending)}

    async def has_done_all(self) -> bool:
        return not any((await self.lags()).values())

    async def drain(self, seconds: float = 120) -> None:
        """Wait until every event is read and every webhook delivered."""
        await wait_until(self._has_done_all, seconds, f"{self.program.name} is not done")

    async def _has_done_all(self) -> bool:
        await asyncio.sleep(0.05)
        return await self.has_done_all()

    async def call(self, method: str, path: str) -> object:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        async with self.http.request(method, f"http://{self.address}{path}", headers=headers) as response:
            response.raise_for_status()
            return await response.json()
