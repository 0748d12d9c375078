"""The okgames command as a person runs it: a process with arguments, an environment, two outputs and a code."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess, Popen
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import asyncpg
from forks import Fork, ended, okgames
from world import ADMIN_TOKEN, CONFIG, filled

from okgames.kafka_brokers import free_ports
from okgames.testing import wait_until

OKGAMES: Final = Path(sys.executable).parent / "okgames"


def installed(*arguments: str, stdout: Path, stderr: Path, **options: Any) -> "Popen[bytes]":
    """Start the program that pip has installed, which imports what it needs by itself."""
    with stdout.open("ab") as output, stderr.open("ab") as errors:
        return Popen([OKGAMES, *arguments], stdout=output, stderr=errors, **options)


@dataclass(frozen=True)
class Command:
    directory: Path
    environment: Mapping[str, str]
    start: "Callable[..., Fork | Popen[bytes]]" = okgames

    def without(self, name: str) -> "Command":
        """Return the command in an environment that lacks a variable."""
        return replace(self, environment={each: value for each, value in self.environment.items() if each != name})

    def run(self, *arguments: str, **variables: str) -> "CompletedProcess[str]":
        """Run the command to its end."""
        with TemporaryDirectory() as folder:
            outputs = [Path(folder) / name for name in ("stdout", "stderr")]
            process = self._start(arguments, variables, *outputs)
            try:
                code = process.wait(60)
            finally:
                process.kill()
            return CompletedProcess(arguments, code, *(output.read_text() for output in outputs))

    def prints(self, *arguments: str, **variables: str) -> str:
        """Run the command to its end and return its output; it must succeed."""
        result = self.run(*arguments, **variables)
        assert (0, "") == (result.returncode, result.stderr)
        return result.stdout

    @asynccontextmanager
    async def running(self, *arguments: str, **variables: str) -> "AsyncIterator[Fork | Popen[bytes]]":
        """Run the command until it is ready and then for as long as the context lasts."""
        log = self.directory / "log"
        process = self._start(arguments, variables, log, log)

        async def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return await answers(f"http://{self.environment['OKGAMES_MANAGEMENT_HTTP']}/readyz")

        try:
            await wait_until(is_ready, timeout=30, message="the process is not ready")
            yield process
        finally:
            process.terminate()
            await ended(process)

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Open a connection to the command's database."""
        connection = await asyncpg.connect(self.environment["OKGAMES_DATABASE_URL"])
        try:
            yield connection
        finally:
            await connection.close()

    def _start(
        self, arguments: Sequence[str], variables: Mapping[str, str], stdout: Path, stderr: Path
    ) -> "Fork | Popen[bytes]":
        environment = {**self.environment, **variables}
        return self.start(*arguments, cwd=self.directory, env=environment, stdout=stdout, stderr=stderr)


async def answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


def command_in(directory: Path, database_url: str) -> Command:
    game, http, management, simulator = free_ports(4)
    (directory / "okgames.toml").write_text(filled(CONFIG, game, simulator))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OKGAMES_")}
    return Command(
        directory,
        inherited
        | {
            "OKGAMES_DATABASE_URL": database_url,
            "OKGAMES_HTTP": f"127.0.0.1:{http}",
            "OKGAMES_MANAGEMENT_HTTP": f"127.0.0.1:{management}",
            "OKGAMES_SIMULATOR_HTTP": f"127.0.0.1:{simulator}",
            "OKGAMES_OK_API": f"http://127.0.0.1:{simulator}",
            "OKGAMES_CLOCK": "movable",
            "OKGAMES_ADMIN_TOKEN": ADMIN_TOKEN,
        },
    )
