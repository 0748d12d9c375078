"""A game that OK calls, and the simulator as OK, both over HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from okgames.catalogue import Config
from okgames.clock import Clock, MovableClock
from okgames.database import Database
from okgames.jira_account import Jira
from okgames.ok_protocol import CallbackAction, ErrorCode, parse_query, reply, text_parameters, verify
from okgames.settings import HttpAddress, Settings
from simulator.domain.attempts import Policy
from simulator.service import serve

APPLICATION_KEY: Final = "CBTESTKEYABABABABA"
SECRET: Final = "0123456789ABCDEF01234567"
GROUP_ID: Final = "70000000000001"
TOKEN: Final = "tkn-TEST-ACCESS-TOKEN"
START: Final = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)

CONFIG: Final = Config.model_validate(
    {
        "apps": [
            {
                "name": "Backgammon",
                "application_id": "1234567890",
                "application_key": APPLICATION_KEY,
                "secret_keys": [SECRET],
                "group_id": GROUP_ID,
                "access_tokens": [TOKEN],
                "products": [
                    {"code": "gold_100", "name": "A bag of gold", "price": 50},
                    {"code": "gold_500", "name": "A chest of gold", "price": 200},
                    {
                        "code": "gems",
                        "name": "Gems",
                        "prices": [{"oks": 10}, {"from": START + 2 * DAY, "oks": 15}],
                    },
                    {
                        "code": "soon",
                        "name": "A surprise",
                        "prices": [{"from": START + 9 * DAY, "oks": 1}],
                    },
                    {
                        "code": "apples",
                        "name": "Three apples each day",
                        "price": 50,
                        "subscription": {"period": "7d", "trial": "3d"},
                    },
                    {"code": "vip", "name": "VIP", "price": 90, "subscription": {"period": "7d"}},
                    {"code": "brief", "name": "Brief", "price": 1, "subscription": {"period": "1s"}},
                ],
            }
        ]
    }
)


@dataclass(frozen=True)
class Call:
    """One call that reached the game."""

    parameters: Mapping[str, str]
    is_signed: bool

    @property
    def action(self) -> CallbackAction | None:
        attributes = orjson.loads(self.parameters.get("extra_attributes", "{}"))
        return CallbackAction(attributes["action"]) if "action" in attributes else None

    @property
    def ends_at(self) -> str | None:
        end_date: str | None = orjson.loads(self.parameters.get("extra_attributes", "{}")).get("subscriptionEndDate")
        return end_date


Answering = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass
class Game:
    """Keep every call; answer true to what is signed, unless the test has put other answers first."""

    answers: list[Answering] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    url: str = ""

    async def on_callback(self, request: web.Request) -> web.StreamResponse:
        query = parse_query(request.rel_url.raw_query_string)
        call = Call(text_parameters(query), verify(query, [SECRET]))
        self.calls.append(call)
        if not call.is_signed:
            return answer(ErrorCode.PARAM_SIGNATURE)
        return await self.answers.pop(0)(call) if self.answers else answer()

    @property
    def signed(self) -> list[Call]:
        return [call for call in self.calls if call.is_signed]

    def story(self) -> list[tuple[str | None, str]]:
        """Return action and transaction_time of each signed call."""
        return [(call.action, call.parameters["transaction_time"]) for call in self.signed]


def answer(error: ErrorCode | None = None) -> web.Response:
    said = reply("xml", error)
    headers = {"Content-Type": said.content_type} | ({} if error is None else {"Invocation-error": str(int(error))})
    return web.Response(body=said.body, headers=headers)


def refusing(code: ErrorCode) -> Answering:
    async def answering(_call: Call) -> web.Response:
        return answer(code)

    return answering


def failing(status: int) -> Answering:
    async def answering(_call: Call) -> web.Response:
        return web.Response(status=status)

    return answering


async def hanging(_call: Call) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Simulator:
    game: Game
    http: aiohttp.ClientSession
    url: str

    async def post(self, route: str, body: Mapping[str, Any], *, status: int = 200) -> Any:
        async with self.http.post(f"/sim/{route}", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def get(self, route: str) -> Any:
        async with self.http.get(f"/sim/{route}") as response:
            assert response.status == 200
            return await response.json()

    async def player(self, action: str, product: str, uid: str = "1001", *, status: int = 200) -> Any:
        """Let a player purchase, subscribe or unsubscribe."""
        body = {"application_key": APPLICATION_KEY, "uid": uid, "product": product}
        return await self.post(action, body, status=status)

    async def faults(self, **mix: Any) -> None:
        await self.post("faults", mix)

    async def advance(self, time: str) -> Any:
        return await self.post("clock", {"advance": time})

    async def books(self) -> Any:
        return await self.get("books")

    async def subscription(self, product: str = "apples", uid: str = "1001") -> Any:
        rows = (await self.books())["subscriptions"]
        (row,) = [row for row in rows if (row["uid"], row["product"]) == (uid, product)]
        return row


@asynccontextmanager
async def playing(game: Game) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get("/ok/callback", game.on_callback)
    # What hangs at the end of a test is cut.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        game.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ok/callback"
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def simulating(
    clock: Clock,
    *,
    policy: Policy | None = None,
    seed: str = "test",
    callback_url: str | None = None,
    jira: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[Simulator]:
    """Run the simulator, with our account in `jira`, and a game to call unless `callback_url` says otherwise."""
    config = CONFIG.model_copy(update={"jira": Jira.model_validate(jira)})
    game = Game()
    address = HttpAddress("127.0.0.1", free_port())
    settings = Settings(simulator_http=address, config=Path("unused"))
    async with (
        playing(game),
        serve(settings, config, callback_url or game.url, clock, policy=policy, seed=seed),
        aiohttp.ClientSession(f"http://{address}", timeout=aiohttp.ClientTimeout(30)) as http,
    ):
        yield Simulator(game, http, f"http://{address}")


@asynccontextmanager
async def movable_clock(database_url: str) -> AsyncIterator[MovableClock]:
    database = Database(database_url, "okgames")
    await database.open()
    try:
        clock = MovableClock(database)
        await clock.start_at(START)
        yield clock
    finally:
        await database.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
