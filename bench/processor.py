"""What processes have cost, as Linux counts it."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """Hold the CPU seconds that each part of the machine has spent up to a time."""

    at: float
    seconds: Mapping[str, float]

    def cores_since(self, before: "Spent") -> dict[str, float]:
        """Return how many cores each part kept busy."""
        return {
            part: (seconds - before.seconds[part]) / (self.at - before.at) for part, seconds in self.seconds.items()
        }


def spent(copies: Iterable[int], postmaster: int) -> Spent:
    """Look at the copies of a service, at Postgres, at the brokers, which are children of ours, and at everything."""
    processes = {pid: fields for pid in _pids() if (fields := _stat(pid)) is not None}
    brokers = [pid for pid, fields in processes.items() if fields.parent == os.getpid() and fields.name == "java"]
    postgres = [postmaster, *(pid for pid, fields in processes.items() if fields.parent == postmaster)]
    return Spent(
        time.perf_counter(),
        {
            "the copies": sum(processes[pid].own for pid in copies),
            # A backend that has ended counts with the one that started it.
            "Postgres": sum(processes[pid].own for pid in postgres) + processes[postmaster].children,
            "the brokers": sum(processes[pid].own for pid in brokers),
            "the whole machine": _busy(),
        },
    )


def parent_of(pid: int) -> int:
    found = _stat(pid)
    assert found is not None
    return found.parent


@dataclass(frozen=True)
class _Process:
    name: str
    parent: int
    own: float
    children: float


def _pids() -> Iterable[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _stat(pid: int) -> _Process | None:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
    except OSError:
        return None
    fields = rest.split()
    user, system, children_user, children_system = (int(each) / _TICK for each in fields[11:15])
    return _Process(name, int(fields[1]), user + system, children_user + children_system)


def _busy() -> float:
    user, nice, system, _idle, _wait, interrupts, soft = Path("/proc/stat").read_text().split()[1:8]
    return sum(map(int, (user, nice, system, interrupts, soft))) / _TICK
