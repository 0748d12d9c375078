import os
import platform
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

_WAL_SEGMENT: Final = 2**24


@dataclass(frozen=True)
class Machine:
    """Say where and when it was measured."""

    facts: dict[str, str]


async def describe(folder: Path, postgres: asyncpg.Connection) -> Machine:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    settings = [f"{name}={await postgres.fetchval(f'show {name}')}" for name in ("fsync", "synchronous_commit")]
    return Machine(
        {
            "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "machine": f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, {platform.system()}",
            "load average at the start": f"{os.getloadavg()[0]:.1f}",
            "Python": platform.python_version(),
            "Postgres": f"{await postgres.fetchval('show server_version')}, {', '.join(settings)}",
            "fdatasync of 8 KB": f"{_fdatasync_seconds(folder) * 1000:.2f} ms",
        }
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _fdatasync_seconds(folder: Path) -> float:
    took = []
    with (folder / "fdatasync").open("wb", buffering=0) as file:
        file.write(bytes(_WAL_SEGMENT))
        os.fsync(file.fileno())
        for place in range(100):
            # As in a segment of the write-ahead log, which has its full length before.
            file.seek(place * 8192)
            file.write(bytes(8192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)
