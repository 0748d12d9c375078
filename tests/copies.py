"""Processes of okgames, which run the commands that the images' entry points are, and what stands before them."""

import itertools
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from forks import Fork, ended, okgames

from okgames.testing import wait_until


@dataclass
class Copy:
    """One process of the system; `name` is its log's."""

    name: str
    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    process: Fork | None = None

    @property
    def url(self) -> str:
        return f"http://{self.environment['OKGAMES_HTTP']}"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def running(self) -> Fork:
        assert self.process is not None
        return self.process

    def spawn(self) -> None:
        self.process = okgames(
            *self.arguments, cwd=self.directory, env=self.environment, stdout=self.log, stderr=self.log
        )

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Start the process and wait until it is ready."""
        self.spawn()
        await wait_until(lambda: self._is_ready(http), timeout=60, message=f"{self.name} is not ready")

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        assert self.running.poll() is None, self.log.read_text()[-3000:]
        return await answers(http, f"http://{self.environment['OKGAMES_MANAGEMENT_HTTP']}/readyz")

    async def stop(self) -> int:
        """Ask the process to end, as an operator does, and return its exit code."""
        self.running.terminate()
        return await ended(self.running)

    async def kill(self) -> None:
        """End the process as the kernel would when memory runs out."""
        self.running.kill()
        await ended(self.running)

    def freeze(self) -> None:
        self.running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.running.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            await self.stop()


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


@asynccontextmanager
async def balancer(gateways: Sequence[Copy], port: int) -> AsyncIterator[None]:
    """Stand before several gateways: each callback goes to the next of them that takes the connection."""
    turns = itertools.count()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:

        async def pass_on(request: web.Request) -> web.Response:
            first = next(turns)
            for turn in range(len(gateways)):
                gateway = gateways[(first + turn) % len(gateways)]
                try:
                    async with http.get(f"{gateway.url}{request.rel_url}", headers=request.headers) as answer:
                        body = await answer.read()
                        return web.Response(status=answer.status, headers=answer.headers, body=body)
                except aiohttp.ClientConnectorError:
                    continue
                except aiohttp.ClientError:
                    break
            # As whoever calls a gateway that is killed sees it.
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=502)

        app = web.Application()
        app.router.add_get("/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield
        finally:
            await runner.cleanup()
