"""The jira-desk as a process of its own: killed while it reads a large JIRA for the first time, and stopped."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.kafka_brokers import free_ports
from okgames.settings import HttpAddress, Settings
from okgames.testing import wait_until
from simulator.service import serve

COMMENTS: Final = 20
MOST_MEGABYTES: Final = 150
CONFIG: Final = """
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"

[jira]
url = "http://127.0.0.1:{port}"
user = "studio"
password = "secret"
every = "1s"

[[jira.projects]]
task = "DOC"
key = "DOC"
mode = "rest"
"""


@dataclass
class Reader:
    """The jira-desk as a process of its own."""

    folder: Path
    database_url: str
    process: Process | None = None
    peaks: list[float] = field(default_factory=list)

    async def start(self) -> None:
        http, management = free_ports(2)
        environment = {
            "OKGAMES_CONFIG": str(self.folder / "okgames.toml"),
            "OKGAMES_DATABASE_URL": self.database_url,
            "OKGAMES_HTTP": f"127.0.0.1:{http}",
            "OKGAMES_MANAGEMENT_HTTP": f"127.0.0.1:{management}",
            "PYTHONPATH": ":".join(sys.path),
        }
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "jira_desk", env=environment, stdout=log, stderr=log
            )

    async def stop(self) -> None:
        """Ask the process to end, and wait until it has."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        await self.process.wait()

    async def kill(self) -> None:
        """End the process at once, and note the most memory that it has had."""
        assert self.process is not None
        assert self.process.returncode is None, (self.folder / "log").read_text()
        self.peaks.append(peak_megabytes(self.process.pid))
        self.process.kill()
        await self.process.wait()
        self.process = None


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process has had (Linux)."""
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1024


@pytest.fixture
async def database(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "jira_desk"})
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def jira_of(folder: Path, issues: int) -> AsyncIterator[aiohttp.ClientSession]:
    address = HttpAddress("127.0.0.1", *free_ports(1))
    path = folder / "okgames.toml"
    path.write_text(CONFIG.format(port=address.port))
    async with (
        serve(Settings(simulator_http=address), load_config(path), "http://127.0.0.1:9/unused", SystemClock()),
        aiohttp.ClientSession(f"http://{address}") as ok,
    ):
        body = {"do": "fill", "project": "DOC", "issue_type": "Company", "issues": issues, "comments": COMMENTS}
        async with ok.post("/sim/jira", json=body) as response:
            assert 200 == response.status, await response.text()
        yield ok


async def ours(database: "asyncpg.Connection[asyncpg.Record]") -> dict[str, Any]:
    comments: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in await database.fetch(
        "select issue_id, id, text from comments where deleted_at is null order by id::int"
    ):
        comments[row["issue_id"]].append((row["id"], row["text"]))
    return {
        row["key"]: (row["status"], comments[row["id"]])
        for row in await database.fetch("select id, key, status from issues")
    }


async def theirs(ok: aiohttp.ClientSession) -> dict[str, Any]:
    async with ok.get("/sim/books") as response:
        books = await response.json()
    return {
        issue["key"]: (issue["status"], [(comment["id"], comment["body"]) for comment in issue["comments"]])
        for issue in books["jira_issues"]
    }


@pytest.mark.timeout(1800)
async def test_a_large_jira_is_read_in_bounded_memory_however_often_the_desk_is_killed(
    tmp_path: Path, database_url: str, database: "asyncpg.Connection[asyncpg.Record]", soak: bool
) -> None:
    issues = 10_000 if soak else 600
    reader = Reader(tmp_path, database_url)

    async def has_read(count: int) -> bool:
        assert reader.process is not None
        assert reader.process.returncode is None, (tmp_path / "log").read_text()
        return bool(await database.fetchval("select count(*) from issues") >= count)

    async with jira_of(tmp_path, issues) as ok:
        for share in (0.1, 0.3, 0.7, 1.0):
            await reader.start()
            await wait_until(lambda least=int(share * issues): has_read(least), timeout=900)
            await reader.kill()
        assert await theirs(ok) == await ours(database)

    told = await database.fetch("select type, count(*) from event_log.events group by type")
    assert {"IssueCreated": issues, "CommentAdded": issues * COMMENTS} == {row["type"]: row["count"] for row in told}
    assert max(reader.peaks) < MOST_MEGABYTES, reader.peaks


async def test_a_desk_whose_call_hangs_ends_when_it_is_told_to(tmp_path: Path, database_url: str) -> None:
    called, ended = asyncio.Event(), asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await ended.wait()
        writer.close()

    reader = Reader(tmp_path, database_url)
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server, asyncio.timeout(25):
        (tmp_path / "okgames.toml").write_text(CONFIG.format(port=server.sockets[0].getsockname()[1]))
        await reader.start()
        await called.wait()
        await reader.stop()
        ended.set()
