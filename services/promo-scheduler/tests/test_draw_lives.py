import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Final

import hypothesis.strategies as st
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from promo_world import DAY, PLANNED, Ok, Refusal, Scheduler, app, config, msk, payment, scheduling

from okgames.database import Database

GAMES: Final = 40


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def nonsense(_request: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def refusing(_request: web.Request) -> web.Response:
    body = {"error_code": 2, "error_msg": "SERVICE", "error_data": None}
    return web.json_response(body, headers={"Invocation-Error": "2"})


ANSWERS: Final = {"ok answers": None, "ok cuts": cut, "ok talks nonsense": nonsense, "ok refuses": refusing}
NUMBERS: Final = count(1)


@dataclass
class Life:
    """One game's promotion at the time of its draw, and what may happen to it."""

    scheduler: Scheduler
    application_key: str
    promotion_id: str
    refusals: list[int] = field(default_factory=list)

    async def live(self, move: str) -> None:
        if move in ANSWERS:
            self.scheduler.ok.paying = ANSWERS[move]
            return
        deeds: dict[str, Callable[[], Awaitable[object]]] = {
            "the time passes": lambda: self.scheduler.tick(self.scheduler.clock.time + timedelta(hours=3)),
            "a payment is told late": self.pay,
            "a person begins": lambda: self.post("draw", name=f"Game {self.application_key} {DAY}"),
            "three copies draw": lambda: asyncio.gather(*(self.scheduler.draw() for _ in range(3))),
            "a copy loses its lock": self.lose_the_lock,
            "ok is out of reach": replace(self.scheduler, ok=Ok(url="http://127.0.0.1:1")).draw,
            "a person resolves": lambda: self.post("resolve", evidence="asked OK", winners=["501"]),
            "a person cancels": lambda: self.post("cancel", reason="no"),
            "winners are named": self.scheduler.name_winners,
        }
        try:
            await deeds[move]()
        except Refusal as refusal:
            self.refusals.append(refusal.status)

    async def post(self, action: str, **body: object) -> None:
        await self.scheduler.post(f"/{self.promotion_id}/{action}", **body)

    async def pay(self) -> None:
        event = payment("501", next(NUMBERS), msk(3, 9), application_key=self.application_key)
        await self.scheduler.learn(event)

    async def lose_the_lock(self) -> None:
        """Let the connection of whoever is calling OK end during the call, as it does when a process is killed."""
        asked, answering = asyncio.Event(), self.scheduler.ok.paying

        async def slow(request: web.Request) -> web.StreamResponse:
            asked.set()
            await self.scheduler.rows(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
            )
            await asyncio.gather(*(self.scheduler.draw() for _ in range(2)))
            return await answering(request) if answering else web.json_response({"users": ["501"]})

        self.scheduler.ok.paying = slow
        await self.scheduler.draw()
        self.scheduler.ok.paying = answering


MOVES: Final = st.lists(
    st.sampled_from(
        [
            *ANSWERS,
            "the time passes",
            "a payment is told late",
            *["a person begins"] * 4,
            *["three copies draw"] * 4,
            "a copy loses its lock",
            "ok is out of reach",
            "a person resolves",
            "a person cancels",
            "winners are named",
        ]
    ),
    min_size=8,
    max_size=25,
)


@pytest.fixture
async def games(database: Database, ok: Ok) -> AsyncIterator[Scheduler]:
    """A scheduler of many games, every other of which draws by itself."""
    of = [app(str(n), f"Game {n}", draw="automatic" if n % 2 else "confirmed") for n in range(GAMES)]
    async with scheduling(database, config(*of), ok) as one:
        yield one


@pytest.mark.timeout(600)
@given(moves=MOVES, pays=st.sampled_from([True, True, True, False]))
@settings(max_examples=settings.default.max_examples * 3 // 5, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_happens_around_a_draw_ok_is_asked_to_pay_once_at_most(
    games: Scheduler, moves: list[str], pays: bool
) -> None:
    application_key = str(next(NUMBERS) % GAMES)
    games.clock.time = PLANNED
    for earlier in (await games.get(application_key=application_key))["items"]:
        await games.rows("delete from draws where promotion_id = $1", earlier["id"])
        await games.rows("update promotions set state = 'cancelled', next_at = null where id = $1", earlier["id"])
    before = Counter(call["application_key"] for call in games.ok.paid)
    life = Life(games, application_key, await games.approved(application_key))
    if pays:
        await life.pay()
    games.ok.paying = None
    await games.tick(msk(4, 0, 20))
    for move in moves:
        await life.live(move)
    calls = Counter(call["application_key"] for call in games.ok.paid) - before

    assert calls[application_key] <= 1
    assert {409} >= set(life.refusals)
    if calls[application_key]:
        games.ok.paying = None
        await games.draw()
        state = await games.state(life.promotion_id)
        assert state in {"drawn", "unresolved", "completed"}, "never silently open"
