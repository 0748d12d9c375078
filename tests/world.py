"""A studio's set-up as its users see it: processes, HTTP, signals. Nothing here imports a service."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp
from copies import Copy, answers, balancer
from forks import ended
from game import WEBHOOK_SECRET, Game, game_server

from okgames.kafka import KafkaAddress
from okgames.kafka_brokers import free_ports
from okgames.testing import wait_until

APPLICATION_KEY: Final = "CBTESTKEYABABABABA"
SECRET_KEY: Final = "0123456789ABCDEF01234567"
ADMIN_TOKEN: Final = "test-admin-token"
JIRA_USER: Final = "studio"
JIRA_PASSWORD: Final = "test-jira-password"

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

[jira]
url = "http://127.0.0.1:{simulator_port}"
user = "{jira_user}"
password = "{jira_password}"
statuses = {{ "Waiting for developer" = "answer_wanted" }}
projects = [
    {{ task = "OK", key = "OK", mode = "manual" }},
    {{ task = "PROMO", key = "PROMO", mode = "manual" }},
    {{ task = "REPORT", key = "REPORT", mode = "manual" }},
    {{ task = "ADVDOC", key = "ADVDOC", mode = "manual" }},
    {{ task = "DOC", key = "DOC", mode = "manual" }},
]
"""


@dataclass
class World:
    """A system of one or more processes, with OK and the game's server."""

    copies: Mapping[str, Sequence[Copy]]
    """The processes by the service that each of them runs; `up` is all services."""
    simulator: Copy
    game: Game
    http: aiohttp.ClientSession
    callback_url: str
    make_copy: Callable[..., Copy]
    turns: Iterator[int] = field(default_factory=itertools.count)

    @property
    def all_copies(self) -> list[Copy]:
        return [copy for copies in self.copies.values() for copy in copies]

    async def start(self) -> None:
        """Start the system and wait until it is ready."""
        async with asyncio.TaskGroup() as group:
            for copy in self.all_copies:
                group.create_task(copy.start(self.http))

    async def start_simulator(self) -> None:
        self.simulator.spawn()
        await wait_until(lambda: answers(self.http, f"{self.simulator_url}/sim/books"), timeout=60)

    async def stop(self) -> int:
        """Ask the system to end, as an operator does, and return the highest exit code."""
        return max(await asyncio.gather(*(copy.stop() for copy in self.all_copies)))

    async def kill(self) -> None:
        """End the system as the kernel would when memory runs out."""
        await asyncio.gather(*(copy.kill() for copy in self.all_copies))

    def copies_of(self, service: str) -> Sequence[Copy]:
        """Return the processes that run a service, which may run others as well."""
        return self.copies.get(service) or self.copies["up"]

    def another(self, service: str) -> Copy:
        """Return one more copy of a service, which the test starts and ends."""
        return self.make_copy(f"{service}-{next(self.turns)}", "run", service)

    @property
    def directory(self) -> Path:
        return self.simulator.directory

    @property
    def simulator_url(self) -> str:
        return f"http://{self.simulator.environment['OKGAMES_SIMULATOR_HTTP']}"

    async def callback(self, query: str) -> tuple[str | None, str]:
        """Send a callback as OK does; return the Invocation-error header, None on success, and the body."""
        async with self.http.get(f"{self.callback_url}?{query}") as response:
            assert response.status == 200
            return response.headers.get("Invocation-error"), await response.text()

    async def sim(self, action: str, body: Mapping[str, Any]) -> Any:
        async with self.http.post(f"{self.simulator_url}/sim/{action}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def player(self, action: str, uid: str, product: str) -> Any:
        """Let a player purchase, subscribe or unsubscribe on OK."""
        return await self.sim(action, {"application_key": APPLICATION_KEY, "uid": uid, "product": product})

    async def try_player(self, action: str, uid: str, product: str) -> None:
        """As `player`; that it cannot be done just now is a part of life."""
        body = {"application_key": APPLICATION_KEY, "uid": uid, "product": product}
        async with self.http.post(f"{self.simulator_url}/sim/{action}", json=body) as response:
            assert response.status in {200, 409}, await response.text()

    async def advance(self, time: str) -> None:
        await self.sim("clock", {"advance": time})

    async def clock(self) -> Any:
        async with self.http.get(f"{self.simulator_url}/sim/clock") as response:
            return await response.json()

    async def books(self) -> Any:
        async with self.http.get(f"{self.simulator_url}/sim/books") as response:
            return await response.json()

    async def get(self, path: str, **query: str | int) -> Any:
        async with self.http.get(f"{self._url(path)}{path}", params=query, headers=AUTHORIZATION) as response:
            assert response.status == 200, (response.status, await response.text())
            return await response.json()

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        async with self.http.post(f"{self._url(path)}{path}", json=body, headers=AUTHORIZATION) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json()

    async def upload(self, path: str, content: bytes, media_type: str, **query: str) -> Any:
        """Send a file."""
        headers = {**AUTHORIZATION, "Content-Type": media_type}
        async with self.http.post(f"{self._url(path)}{path}", params=query, data=content, headers=headers) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json()

    async def download(self, path: str) -> bytes:
        async with self.http.get(f"{self._url(path)}{path}", headers=AUTHORIZATION) as response:
            assert response.status == 200, (response.status, await response.text())
            return await response.read()

    async def entitlements(self, uid: str) -> dict[str, tuple[str, bool]]:
        """Return the state of each product of a player, and whether the player may have it."""
        answer = await self.get(f"/v1/apps/{APPLICATION_KEY}/users/{uid}/entitlements")
        return {each["product"]: (each["state"], each["entitled"]) for each in answer["entitlements"]}

    async def entitlements_are(self, uid: str, **expected: tuple[str, bool]) -> bool:
        return await self.entitlements(uid) == expected

    def _url(self, path: str) -> str:
        """Return where a copy of the service that answers a path listens, each in turn."""
        service = next((service for prefix, service in ANSWERERS.items() if path.startswith(prefix)), "notifier")
        copies = self.copies_of(service)
        return copies[next(self.turns) % len(copies)].url


AUTHORIZATION: Final = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@asynccontextmanager
async def world(
    directory: Path, *, config: str = CONFIG, environment: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[World]:
    """Set up a game, the system in one process and OK on free ports; end all of them afterwards."""
    async with company_of(directory, config, environment) as company, company.one_process() as one:
        yield one


CLUSTER: Final = MappingProxyType(
    dict.fromkeys(
        ["callback-gateway", "subscription-ledger", "notifier", "promo-scheduler", "jira-desk", "forwarder"], 2
    )
)
ANSWERERS: Final = {
    "/v1/apps/": "subscription-ledger",
    "/v1/promotions": "promo-scheduler",
    "/v1/jira": "jira-desk",
}
"""Who answers the paths that begin so; the notifier answers the others."""


@asynccontextmanager
async def cluster(
    directory: Path,
    *,
    database_url: str,
    kafka: KafkaAddress,
    copies: Mapping[str, int] = CLUSTER,
    config: str = CONFIG,
) -> AsyncIterator[World]:
    """Set up a game, copies of each service on Kafka, and OK on free ports; end all of them afterwards."""
    environment = {"OKGAMES_DATABASE_URL": database_url}
    async with company_of(directory, config, environment) as company, company.cluster(kafka, copies) as one:
        yield one


@dataclass
class Company:
    """What every process of one set-up has in common."""

    directory: Path
    environment: Mapping[str, str]
    game: Game
    http: aiohttp.ClientSession

    @asynccontextmanager
    async def one_process(self) -> AsyncIterator[World]:
        up = self.copy("up", "up")
        async with self._world({"up": [up]}, f"{up.url}/ok/callback") as one:
            yield one

    @asynccontextmanager
    async def one_process_before_a_move(self, kafka: KafkaAddress) -> AsyncIterator["Move"]:
        """Run one process behind a balancer, for a cluster to be started beside it or after it."""
        up = self.copy("up", "up")
        gateways = [up]
        (port,) = free_ports(1)
        async with balancer(gateways, port), self._world({"up": [up]}, f"http://127.0.0.1:{port}/ok/callback") as one:
            try:
                yield Move(self, one, up, gateways, kafka)
            finally:
                await up.end()

    @asynccontextmanager
    async def cluster(self, kafka: KafkaAddress, copies: Mapping[str, int] = CLUSTER) -> AsyncIterator[World]:
        processes = await self.copies_on(kafka, copies)
        (port,) = free_ports(1)
        async with (
            balancer(processes["callback-gateway"], port),
            self._world(processes, f"http://127.0.0.1:{port}/ok/callback") as one,
        ):
            yield one

    async def copies_on(self, kafka: KafkaAddress, counts: Mapping[str, int]) -> Mapping[str, Sequence[Copy]]:
        """Prepare the database and Kafka for so many copies of each service, which are left to be started."""
        self.environment = {**self.environment, "OKGAMES_EVENT_LOG": str(kafka)}
        for arguments in (["migrate"], ["topics", "apply"]):
            await self._run(*arguments)
        copies = {
            service: [self.copy(f"{service}-{number}", "run", service) for number in range(count)]
            for service, count in counts.items()
        }
        for desk in copies["jira-desk"]:
            desk.environment = {**desk.environment, "OKGAMES_API_URL": copies["promo-scheduler"][0].url}
        return copies

    def copy(self, name: str, *arguments: str) -> Copy:
        http, management = free_ports(2)
        own = {"OKGAMES_HTTP": f"127.0.0.1:{http}", "OKGAMES_MANAGEMENT_HTTP": f"127.0.0.1:{management}"}
        return Copy(name, arguments, self.directory, {**self.environment, **own})

    async def _run(self, *arguments: str) -> None:
        """Run a command to its end."""
        copy = self.copy("-".join(arguments), *arguments)
        copy.spawn()
        assert await ended(copy.running) == 0, copy.log.read_text()

    @asynccontextmanager
    async def _world(self, copies: Mapping[str, Sequence[Copy]], callback_url: str) -> AsyncIterator[World]:
        simulator = self.copy("simulator", "simulator", "--callback-url", callback_url)
        one = World(copies, simulator, self.game, self.http, callback_url, self.copy)
        try:
            await one.start()
            await one.start_simulator()
            yield one
        finally:
            await asyncio.gather(*(copy.end() for copy in [*one.all_copies, simulator]))


@dataclass
class Move:
    """A system in one process on Postgres, and the Kafka on which it will be a cluster with the same database."""

    company: Company
    studio: World
    up: Copy
    gateways: list[Copy]
    """Where callbacks go."""
    kafka: KafkaAddress

    async def start_cluster(self) -> None:
        """Start the services over Kafka and let callbacks go to their gateways; leave the one process as it is."""
        self.studio.copies = await self.company.copies_on(self.kafka, CLUSTER)
        await self.studio.start()
        self.gateways[:] = self.studio.copies["callback-gateway"]


def filled(config: str, game_port: int, simulator_port: int) -> str:
    """Return a configuration with the ports at which the game's server and OK listen."""
    return config.format(
        application_key=APPLICATION_KEY,
        secret_key=SECRET_KEY,
        webhook_secret=WEBHOOK_SECRET,
        jira_user=JIRA_USER,
        jira_password=JIRA_PASSWORD,
        game_port=game_port,
        simulator_port=simulator_port,
    )


@asynccontextmanager
async def company_of(directory: Path, config: str, environment: Mapping[str, str]) -> AsyncIterator[Company]:
    game_port, simulator_port = free_ports(2)
    (directory / "okgames.toml").write_text(filled(config, game_port, simulator_port))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OKGAMES_")}
    settings = {
        "OKGAMES_DATA_DIR": str(directory / "var"),
        "OKGAMES_SIMULATOR_HTTP": f"127.0.0.1:{simulator_port}",
        "OKGAMES_OK_API": f"http://127.0.0.1:{simulator_port}",
        "OKGAMES_CLOCK": "movable",
        "OKGAMES_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    game = Game(game_port)
    async with game_server(game), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http:
        yield Company(directory, {**inherited, **settings, **environment}, game, http)
