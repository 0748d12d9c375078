"""A gateway with a real database, OK that calls it, and a way to the database that can be blocked."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import aiohttp
import asyncpg
from ok_vectors import APPLICATION_KEY, SECRET
from pydantic import SecretStr
from yarl import URL

from callback_gateway.service import service
from okgames.catalogue import Config
from okgames.clock import SystemClock
from okgames.database import Database, session_settings
from okgames.events import EVENT_TYPES, Event
from okgames.ok_protocol import sign
from okgames.postgres_log import PostgresLog
from okgames.runtime import serve
from okgames.settings import HttpAddress, Settings

OTHER_KEY: Final = "CBOTHERKEYABABABA"
OTHER_SECRET: Final = "FEDCBA987654321001234567"

ADMIN_TOKEN: Final = "test-admin-token"

_NUMBERS: Final = itertools.count(1)


def config(**app: object) -> Config:
    """A catalogue with the products of the vectors and another game beside it, which answers in JSON."""
    products = [
        {"code": "gold_100", "name": "A bag of gold", "prices": [{"oks": 50}]},
        {"code": "gold_500", "name": "A chest of gold", "prices": [{"oks": 200}]},
        {
            "code": "apples",
            "name": "Three apples each day",
            "prices": [{"oks": 50}],
            "subscription": {"period": "7d", "trial": "3d"},
        },
    ]
    backgammon = {
        "name": "Backgammon",
        "application_id": "1",
        "application_key": APPLICATION_KEY,
        "secret_keys": [SECRET],
        "products": products,
    }
    chess = {
        "name": "Chess",
        "application_id": "2",
        "application_key": OTHER_KEY,
        "secret_keys": [OTHER_SECRET],
        "answers": "json",
        "products": products[:1],
    }
    proxies = app.pop("trusted_proxies", [])
    return Config.model_validate({"apps": [backgammon | app, chess], "trusted_proxies": proxies})


CONFIG: Final = config()


def purchase(**changes: str | None) -> dict[str, str]:
    """The parameters of a one-time purchase with a transaction of its own; a change to None leaves one out."""
    number = next(_NUMBERS)
    return _changed(
        {
            "uid": "500000000001",
            "amount": "50",
            "application_key": APPLICATION_KEY,
            "transaction_time": "2026-03-02 10:15:30",
            "product_code": "gold_100",
            "method": "callbacks.payment",
            "call_id": str(1772435730000 + number),
            "transaction_id": f"{number}_1772435730000",
        },
        changes,
    )


def subscription(action: str = "reg_subscription", **changes: str | None) -> dict[str, str]:
    """The parameters of a subscription's callback; all but a payment come without transaction_id and amount."""
    attributes = subscription_attributes(action, "09-03-2026 10:20:00")
    parameters = purchase(product_code="apples", extra_attributes=attributes)
    if action != "reg_subscription":
        del parameters["transaction_id"], parameters["amount"]
    return _changed(parameters, changes)


def subscription_attributes(action: str, end_date: str) -> str:
    return f'{{"subscriptionEndDate":"{end_date}","action": "{action}"}}'


def _changed(parameters: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    changed = parameters | {name: value for name, value in changes.items() if value is not None}
    return {name: value for name, value in changed.items() if changes.get(name, value) is not None}


def signed(parameters: dict[str, str], secret: str = SECRET, *, blank: str = "%20") -> str:
    """The query with which OK sends these parameters."""
    escape = quote_plus if blank == "+" else quote
    return "&".join(
        f"{escape(name, safe='')}={escape(value, safe='')}"
        for name, value in {**parameters, "sig": sign(parameters, secret)}.items()
    )


@dataclass(frozen=True)
class Answer:
    """What OK got; `error` is the header's value."""

    status: int
    error: str | None
    content_type: str
    body: bytes

    @property
    def is_true(self) -> bool:
        return self.status == 200 and self.error is None and b"true" in self.body


@dataclass
class Gateway:
    """A gateway that runs, seen from OK and from the operators."""

    base: str
    management: str
    database_url: str
    http: aiohttp.ClientSession

    async def call(self, query: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        url = URL(f"{self.base}/ok/callback?{query}", encoded=True)
        async with self.http.request(method, url, headers=headers) as response:
            body = await response.read()
            return Answer(
                response.status, response.headers.get("Invocation-error"), response.headers["Content-Type"], body
            )

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url, server_settings=session_settings("callback_gateway"))
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def events(self) -> list[Event]:
        rows = await self.fetch("select type, data from event_log.events order by partition, position")
        return [EVENT_TYPES[row["type"]].model_validate_json(row["data"]) for row in rows]

    async def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        async with self.http.get(f"{self.management}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@asynccontextmanager
async def gateway_at(
    database_url: str, of: Config, ports: Callable[[], int], *, watched_at: str | None = None
) -> AsyncIterator[Gateway]:
    """Run a gateway; `watched_at` is the database's address for the test where the gateway's way can be blocked."""
    settings = Settings(
        database_url=database_url,
        http=HttpAddress("127.0.0.1", ports()),
        management_http=HttpAddress("127.0.0.1", ports()),
        admin_token=SecretStr(ADMIN_TOKEN),
    )
    clock = SystemClock()
    async with (
        serve(
            service(settings, of, clock),
            log=PostgresLog(Database(watched_at or database_url, "event_log")),
            settings=settings,
            clock=clock,
            keep_events=timedelta(days=1),
            migrated=True,
        ),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield Gateway(f"http://{settings.http}", f"http://{settings.management_http}", watched_at or database_url, http)


class Barrier:
    """
    The gateway's way to the database.

    Closed, it refuses connections and cuts those there are. Open, each direction can be held up: with `answers_pass`
    cleared the database does what it is told, and nobody hears of it.
    """

    def __init__(self, upstream: str, directory: Path, group: asyncio.TaskGroup) -> None:
        self.requests_pass = asyncio.Event()
        self.answers_pass = asyncio.Event()
        self._upstream = urlsplit(upstream)
        self._socket = directory / ".s.PGSQL.5432"
        self._group = group
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        login = self._upstream.netloc.rpartition("@")[0]
        self.url = f"postgresql://{login}@{self._upstream.path}?host={quote(str(directory))}"

    async def open(self) -> None:
        self.requests_pass.set()
        self.answers_pass.set()
        self._server = await asyncio.start_unix_server(self._accept, self._socket)

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._socket.unlink()
        for connection in self._connections:
            connection.cancel()

    def freeze(self) -> None:
        """Let the connections that there are hang for good, and new ones pass."""
        self.requests_pass.clear()
        self.requests_pass = asyncio.Event()
        self.requests_pass.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._group.create_task(self._connect(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._connect_upstream()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, up_writer, self.requests_pass))
                group.create_task(self._pass(up_reader, writer, self.answers_pass))
        finally:
            up_writer.transport.abort()
            writer.transport.abort()

    async def _connect_upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream.hostname:
            return await asyncio.open_connection(self._upstream.hostname, self._upstream.port or 5432)
        directory = parse_qs(self._upstream.query)["host"][0]
        return await asyncio.open_unix_connection(f"{directory}/.s.PGSQL.5432")

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            while chunk := await reader.read(65536):
                await gate.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            # One side has been cut, and the other is to be cut as well.
            pass
        writer.transport.abort()


@asynccontextmanager
async def barrier_to(database_url: str) -> AsyncIterator[Barrier]:
    """Give an open barrier before the database."""
    with tempfile.TemporaryDirectory(prefix="okg") as directory:
        async with asyncio.TaskGroup() as group:
            barrier = Barrier(database_url, Path(directory), group)
            await barrier.open()
            yield barrier
            barrier.close()
