"""A studio's set-up as its users see it: processes, HTTP, signals. Nothing here imports a service."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from okgames.testing import wait_until

OKGAMES: Final = str(Path(sys.executable).parent / "okgames")
APPLICATION_KEY: Final = "CBTESTKEYABABABABA"
SECRET_KEY: Final = "0123456789ABCDEF01234567"
WEBHOOK_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ADMIN_TOKEN: Final = "test-admin-token"

CONFIG: Final = """
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "{application_key}"
secret_key = "{secret_key}"
group_id = "70000000000001"

[[apps.endpoints]]
url = "http://127.0.0.1:{game_port}/okgames"
secret = "{webhook_secret}"
events = ["*"]

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50
reward = {{ item = "gold", quantity = 100 }}

[[apps.products]]
code = "gold_500"
name = "A chest of gold"
price = 200
reward = {{ item = "gold", quantity = 500 }}

[[apps.products]]
code = "apples"
name = "Three apples each day"
price = 50
subscription = {{ period = "7d", trial = "3d", after_cancel = "stop", tolerance = "2h" }}
reward = {{ item = "apple", quantity = 3, every = "1d" }}

[[apps.products]]
code = "vip"
name = "VIP"
price = 90
subscription = {{ period = "7d", after_cancel = "until_end" }}
reward = {{ item = "crown", quantity = 1 }}
"""


@dataclass
class Game:
    """The game's server: checks each webhook with an independent library and keeps the first body of each id."""

    port: int
    answers: list[int] = field(default_factory=list)
    """Statuses for the next webhooks; 200 after that."""
    received: dict[str, dict[str, Any]] = field(default_factory=dict)
    times_received: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def on_webhook(self, request: web.Request) -> web.Response:
        body = await request.read()
        message = Webhook(WEBHOOK_SECRET).verify(body, dict(request.headers))
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.Response(status=status)
        webhook_id = request.headers["webhook-id"]
        self.times_received[webhook_id] += 1
        known = self.received.setdefault(webhook_id, message)
        assert known == message, "one id has one body"
        return web.Response()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.received.values() if message["type"] == kind]

    def items(self, uid: str) -> dict[str, int]:
        """Return how many of each item a player was given."""
        given: dict[str, int] = defaultdict(int)
        for reward in self.rewards(uid):
            given[reward["item"]] += reward["quantity"]
        return dict(given)

    def rewards(self, uid: str) -> list[dict[str, Any]]:
        return [reward for reward in self.of_type("reward.granted") if reward["uid"] == uid]

    def states(self, uid: str) -> list[str]:
        return [change["state"] for change in self.of_type("entitlement.changed") if change["uid"] == uid]


@dataclass
class World:
    directory: Path
    environment: Mapping[str, str]
    game: Game
    http: aiohttp.ClientSession
    url: str
    management_url: str
    simulator_url: str
    system: Process | None = None
    simulator: Process | None = None

    async def start(self) -> None:
        """Start the system and wait until it is ready."""
        self.system = await self._spawn("up")
        await wait_until(self._is_ready, timeout=60, message="the system is not ready")

    async def start_simulator(self) -> None:
        self.simulator = await self._spawn("simulator", "--callback-url", f"{self.url}/ok/callback")
        await wait_until(lambda: self._answers(f"{self.simulator_url}/sim/books"), timeout=60)

    async def stop(self) -> int:
        """Ask the system to end, as an operator does, and return its exit code."""
        assert self.system is not None
        self.system.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.system.wait(), 30)

    async def kill(self) -> None:
        """End the system as the kernel would when memory runs out."""
        assert self.system is not None
        self.system.kill()
        await self.system.wait()

    async def callback(self, query: str) -> tuple[str | None, str]:
        """Send a callback as OK does; return the Invocation-error header, None on success, and the body."""
        async with self.http.get(f"{self.url}/ok/callback?{query}") as response:
            assert response.status == 200
            return response.headers.get("Invocation-error"), await response.text()

    async def sim(self, action: str, body: Mapping[str, Any]) -> Any:
        async with self.http.post(f"{self.simulator_url}/sim/{action}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def player(self, action: str, uid: str, product: str) -> Any:
        """Let a player purchase, subscribe or unsubscribe on OK."""
        return await self.sim(action, {"application_key": APPLICATION_KEY, "uid": uid, "product": product})

    async def advance(self, time: str) -> None:
        await self.sim("clock", {"advance": time})

    async def books(self) -> Any:
        async with self.http.get(f"{self.simulator_url}/sim/books") as response:
            return await response.json()

    async def get(self, path: str, **query: str | int) -> Any:
        async with self.http.get(f"{self.url}{path}", params=query, headers=AUTHORIZATION) as response:
            assert response.status == 200, (response.status, await response.text())
            return await response.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self.http.post(f"{self.url}{path}", json=body, headers=AUTHORIZATION) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json()

    async def entitlements(self, uid: str) -> dict[str, tuple[str, bool]]:
        """Return the state of each product of a player, and whether the player may have it."""
        answer = await self.get(f"/v1/apps/{APPLICATION_KEY}/users/{uid}/entitlements")
        return {each["product"]: (each["state"], each["entitled"]) for each in answer["entitlements"]}

    async def entitlements_are(self, uid: str, **expected: tuple[str, bool]) -> bool:
        return await self.entitlements(uid) == expected

    async def _spawn(self, *arguments: str) -> Process:
        log = (self.directory / f"{arguments[0]}.log").open("ab")
        with log:
            return await asyncio.create_subprocess_exec(
                OKGAMES, *arguments, cwd=self.directory, env=self.environment, stdout=log, stderr=log
            )

    async def _is_ready(self) -> bool:
        assert self.system is not None
        assert self.system.returncode is None, (self.directory / "up.log").read_text()[-3000:]
        return await self._answers(f"{self.management_url}/readyz")

    async def _answers(self, url: str) -> bool:
        try:
            async with self.http.get(url) as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False


AUTHORIZATION: Final = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@asynccontextmanager
async def world(
    directory: Path, *, config: str = CONFIG, environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[World]:
    """Set up a game, the system and OK on free ports; end all of them afterwards."""
    game_port, http_port, management_port, simulator_port = free_ports(4)
    (directory / "okgames.toml").write_text(
        config.format(
            application_key=APPLICATION_KEY,
            secret_key=SECRET_KEY,
            game_port=game_port,
            webhook_secret=WEBHOOK_SECRET,
        )
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OKGAMES_")}
    settings = {
        "OKGAMES_DATA_DIR": str(directory / "var"),
        "OKGAMES_HTTP": f"127.0.0.1:{http_port}",
        "OKGAMES_MANAGEMENT_HTTP": f"127.0.0.1:{management_port}",
        "OKGAMES_SIMULATOR_HTTP": f"127.0.0.1:{simulator_port}",
        "OKGAMES_OK_API": f"http://127.0.0.1:{simulator_port}",
        "OKGAMES_CLOCK": "movable",
        "OKGAMES_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    game = Game(game_port)
    async with _game_server(game), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http:
        one = World(
            directory,
            {**inherited, **settings, **environment},
            game,
            http,
            f"http://127.0.0.1:{http_port}",
            f"http://127.0.0.1:{management_port}",
            f"http://127.0.0.1:{simulator_port}",
        )
        try:
            await one.start()
            await one.start_simulator()
            yield one
        finally:
            for process in (one.system, one.simulator):
                if process is not None and process.returncode is None:
                    process.terminate()
                    await asyncio.wait_for(process.wait(), 30)


@asynccontextmanager
async def _game_server(game: Game) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/okgames", game.on_webhook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", game.port).start()
        yield
    finally:
        await runner.cleanup()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
