import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final

import asyncpg
from results import Row, at_most_times
from run import Run

from jira_desk.service import service
from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.jira_account import Jira
from okgames.service import Job
from okgames.settings import Settings

_SIZES: Final = (100, 1_000, 10_000)
_CHANGED: Final = 10
_APART: Final = timedelta(minutes=5)


@dataclass
class _Followed:
    """A desk that has read all of a JIRA with so many issues."""

    run: Run
    jira: str
    follow: Job
    connection: asyncpg.Connection
    numbers: count
    began: datetime

    @classmethod
    async def read(cls, run: Run, issues: int) -> "_Followed":
        run.progress.doing(f"reading a JIRA of {issues:,} issues")
        configuration = run.stage.configuration(None)
        jira = await run.stage.serve("jira_server.py", str(configuration), str(issues))
        url = await run.stage.database(f"jira_{issues}")
        projects = [{"task": "DOC", "key": "DOC", "mode": "rest"}]
        account: dict[str, Any] = {"url": f"http://{jira}", "user": "studio", "passwords": ["any"]}
        config = load_config(configuration)
        config = config.model_copy(update={"jira": Jira.model_validate({**account, "projects": projects})})
        desk = service(Settings(database_url=url, config=configuration), config, SystemClock())
        await desk.database.open()
        run.stage.exits.push_async_callback(desk.database.close)
        [follow] = [job for job in desk.jobs if job.name == "follow_jira"]
        connection = await run.stage.connect(url)
        followed = cls(run, jira, follow, connection, count(1), datetime.now(UTC))
        while await followed.told("IssueCreated") < issues:
            await follow.run(followed.began)
        await connection.execute("vacuum analyze")
        return followed

    async def told(self, kind: str) -> int:
        return await self.connection.fetchval("select count(*) from event_log.events where type = $1", kind)

    async def poll(self, polls: int) -> float:
        """Let OK comment on some issues, and read what changed, again and again; return the median milliseconds."""
        before, took = await self.told("CommentAdded"), []
        for number in range(polls):
            turn = next(self.numbers)
            # Some minutes go by in JIRA, so that what is read again is only what was read the last time.
            ahead = turn * int(_APART.total_seconds())
            await self.order("faults", {"jira_silent": True, "jira_clock_ahead_seconds": ahead})
            for each in range(_CHANGED):
                issue = f"DOC-{(turn * _CHANGED + each) % _SIZES[0] + 1}"
                await self.order("jira", {"do": "comment", "issue": issue, "text": f"Comment {number}"})
            began = time.perf_counter()
            await self.follow.run(self.began + turn * _APART)
            took.append(time.perf_counter() - began)
        assert await self.told("CommentAdded") == before + polls * _CHANGED, "not everything was read"
        return statistics.median(took) * 1000

    async def order(self, path: str, body: object) -> None:
        async with self.run.stage.http.post(f"http://{self.jira}/sim/{path}", json=body) as response:
            response.raise_for_status()


async def measure(run: Run) -> None:
    """Measure what it costs to follow a large JIRA."""
    all_sizes = {size: await _Followed.read(run, size) for size in _SIZES}
    costs = await run.interleave(
        "polls of a JIRA in which ten issues changed",
        "ms",
        {f"among {size:,}": partial(each.poll, max(3, run.count(20))) for size, each in all_sizes.items()},
    )
    few, *_, many = costs.values()
    run.found(
        Row(
            "a poll of a JIRA in which ten issues changed, among ten thousand with twenty comments each",
            list(costs.values()),
            [at_most_times(many, 1.25, few)],
            "Flat means that a poll costs at most a quarter more among ten thousand issues than among a hundred. It has"
            " all that a poll takes: the query, the answer of JIRA, which is the simulator in a process of its own, and"
            " what the desk keeps and tells. The ten that were read the last time are seen again each time.",
        )
    )
