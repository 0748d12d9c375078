import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from studio import ADMIN_TOKEN, write_configuration
from system import Program, System

from okgames.embedded_postgres import embedded_postgres
from okgames.kafka import KafkaAddress
from okgames.kafka_brokers import free_ports
from okgames.testing import wait_until

_HERE: Final = Path(__file__).parent
_OKGAMES: Final = str(Path(sys.executable).parent / "okgames")
_START_SECONDS: Final = 60

GOOD_ANSWER: Final = ">true<"


class NotStarted(Exception):
    """One of the processes ended at its start."""


class WrongAnswers(Exception):
    """What was measured answered wrongly, so that its speed means nothing."""


@dataclass(frozen=True)
class Load:
    """Say what a load generator saw; `began` is of the clock that all processes of a machine share."""

    first: int
    began: float
    took: float
    answers: int
    bad: int
    p50: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        return self.answers / self.took

    def must_be_good(self) -> "Load":
        if self.bad:
            raise WrongAnswers(f"{self.bad} of {self.answers}")
        return self


@dataclass
class Stage:
    """What all measurements stand on: a durable Postgres of their own, a folder, and processes on loopback."""

    folder: Path
    postgres: str
    admin: asyncpg.Connection
    http: aiohttp.ClientSession
    exits: AsyncExitStack
    memory: dict[str, float] = field(default_factory=dict)
    _next_callback: int = 0

    async def database(self, name: str) -> str:
        """Make a migrated database and return its URL."""
        if name != "migrated" and not await self._exists("migrated"):
            await self._migrate(await self.database("migrated"))
        await self.admin.execute(f"create database {name}" + (" template migrated" if name != "migrated" else ""))
        return self._url_of(name)

    def configuration(self, game: str | None) -> Path:
        """Return an okgames.toml, with the game's server as its endpoint if there is one."""
        path = self.folder / ("okgames.toml" if game is None else f"okgames-{game}.toml")
        write_configuration(path, game)
        return path

    async def connect(self, url: str) -> asyncpg.Connection:
        connection = await asyncpg.connect(url)
        self.exits.push_async_callback(connection.close)
        return connection

    async def checkpoint(self) -> None:
        """Write out what earlier measurements have left, so that the next one does not pay for it."""
        await self.admin.execute("checkpoint")

    async def serve(self, script: str, *arguments: str) -> str:
        """Start one of this folder's servers and return its address."""
        (port,) = free_ports(1)
        program = await self.start(script, [sys.executable, str(_HERE / script), str(port), *arguments])
        await self._wait_for(program, port)
        return f"127.0.0.1:{port}"

    async def okgames(
        self, *command: str, database_url: str, game: str | None = None, kafka: KafkaAddress | None = None
    ) -> System:
        """Start `okgames` and wait until it is ready; without an address of Kafka, the log is Postgres."""
        name = f"okgames {' '.join(command)}"
        http_port, management_port = free_ports(2)
        address, management = f"127.0.0.1:{http_port}", f"127.0.0.1:{management_port}"
        environment = self._environment(database_url, game) | {
            "OKGAMES_HTTP": address,
            "OKGAMES_MANAGEMENT_HTTP": management,
        }
        if kafka is not None:
            environment["OKGAMES_EVENT_LOG"] = str(kafka)
        program = await self.start(name, [_OKGAMES, *command], environment)
        await self._wait_for(program, management_port)
        return System(program, address, management, await self.connect(database_url), self.http)

    async def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Program:
        with self._log(name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        program = Program(name, process)
        self.exits.push_async_callback(program.end)
        return program

    async def load(self, address: str, *, seconds: float, connections: int = 64, rate: float | None = None) -> Load:
        """Send callbacks that were never sent before."""
        first = self._next_callback
        self._next_callback += 1_000_000
        arguments = ["--address", address, "--first", str(first), "--good", GOOD_ANSWER]
        arguments += ["--seconds", str(seconds), "--connections", str(connections)]
        if rate is not None:
            arguments += ["--rate", str(rate)]
        return Load(first=first, **await run_script("load.py", *arguments))

    async def end(self, system: System, situation: str) -> None:
        """Stop a system and keep how much memory it had at most."""
        self.memory[f"{system.program.name}: {situation}"] = system.program.peak_megabytes()
        await system.program.end()

    async def _wait_for(self, program: Program, port: int) -> None:
        async def is_up() -> bool:
            if program.process.returncode is not None:
                raise NotStarted(self._log(program.name).read_text()[-2000:])
            return await _listens(port)

        await wait_until(is_up, _START_SECONDS, f"{program.name} does not listen")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    async def _migrate(self, url: str) -> None:
        program = await self.start("okgames migrate", [_OKGAMES, "migrate"], self._environment(url, None))
        if await program.process.wait() != 0:
            raise NotStarted(self._log(program.name).read_text()[-2000:])

    def _environment(self, database_url: str, game: str | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OKGAMES_")}
        return inherited | {
            "OKGAMES_CONFIG": str(self.configuration(game)),
            "OKGAMES_DATABASE_URL": database_url,
            "OKGAMES_ADMIN_TOKEN": ADMIN_TOKEN,
            "OKGAMES_LOG_LEVEL": "warning",
        }

    async def _exists(self, database: str) -> bool:
        return bool(await self.admin.fetchval("select count(*) from pg_database where datname = $1", database))

    def _url_of(self, database: str) -> str:
        parts = urlsplit(self.postgres)
        return f"{parts.scheme}://{parts.netloc}/{database}?{parts.query}"


async def run_script(script: str, *arguments: str) -> dict[str, float]:
    """Run one of this folder's scripts in a process of its own and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_HERE / script), *arguments, stdout=PIPE, stderr=PIPE
    )
    try:
        output, errors = await process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode != 0:
        raise WrongAnswers(f"{script}: {errors.decode()[-2000:]}")
    return json.loads(output)


@asynccontextmanager
async def stage(parent: Path) -> AsyncIterator[Stage]:
    """Set the stage in a new folder; afterwards no process and no file is left."""
    with (
        TemporaryDirectory(prefix="run-", dir=parent) as folder,
        embedded_postgres(Path(folder), durable=True, grace=2) as url,
    ):
        async with AsyncExitStack() as exits:
            http = await exits.enter_async_context(aiohttp.ClientSession())
            admin = await asyncpg.connect(url)
            exits.push_async_callback(admin.close)
            await _age(admin)
            yield Stage(Path(folder), url, admin, http, exits)


async def _age(admin: asyncpg.Connection) -> None:
    """
    Fill the files of the write-ahead log once.

    A Postgres that has run for a day writes over old ones; a new one stops for 20 ms at each 16 MB to make another.
    """
    await admin.execute("create table filler as select repeat('x', 1000) as text from generate_series(1, 500000)")
    await admin.execute("drop table filler")
    await admin.execute("checkpoint")
    await admin.execute("checkpoint")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
