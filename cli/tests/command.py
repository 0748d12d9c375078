"""The okgames command as a person runs it: a process with arguments, an environment, two outputs and a code."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from world import ADMIN_TOKEN, CONFIG, filled, free_ports

from okgames.testing import wait_until

OKGAMES: Final = Path(sys.executable).parent / "okgames"


@dataclass(frozen=True)
class Command:
    directory: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end."""
        return subprocess.run(
            [OKGAMES, *arguments],
            cwd=self.directory,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def prints(self, *arguments: str, **variables: str) -> str:
        """Run the command to its end and return its output; it must succeed."""
        result = self.run(*arguments, **variables)
        assert (0, "") == (result.returncode, result.stderr)
        return result.stdout

    @asynccontextmanager
    async def running(self, *arguments: str, **variables: str) -> AsyncIterator[Process]:
        """Run the command until it is ready and then for as long as the context lasts."""
        log = self.directory / "log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                OKGAMES,
                *arguments,
                cwd=self.directory,
                env={**self.environment, **variables},
                stdout=output,
                stderr=output,
            )

        async def is_ready() -> bool:
            assert process.returncode is None, log.read_text()
            return await answers(f"http://{self.environment['OKGAMES_MANAGEMENT_HTTP']}/readyz")

        try:
            await wait_until(is_ready, timeout=30, message="the process is not ready")
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), 30)


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
