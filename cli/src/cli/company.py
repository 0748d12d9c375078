import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import aiohttp

import simulator.service
from cli.books import AccountBook, differences, game_accounts, our_accounts
from cli.clients import Okgames, Simulator, some_at_once
from cli.game_server import GameServer, serving
from cli.ok_books import OkBooks, ok_accounts
from cli.processes import BUILDS
from cli.promotion_book import PromotionRow, promotion_differences, promotion_rows
from cli.report import Report, print_report
from cli.stage import ADMIN_TOKEN, APPLICATION_KEY, WEBHOOK_SECRET, Stage
from okgames.catalogue import App
from okgames.clock import MovableClock
from okgames.database import Database
from okgames.runtime import serve
from simulator.chance import Chance
from simulator.platform import Platform

MIDNIGHT: Final = datetime(2026, 3, 2, tzinfo=ZoneInfo("Europe/Moscow"))
GAME_FAILS: Final = 0.05

_STEP: Final = {"advance": "30m"}
_STEPS_AT_MOST: Final = 48
_QUIET: Final = timedelta(minutes=5)
_LOOKS: Final = 50
_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Company:
    """Hold everybody who plays: OK, okgames and the game."""

    app: App
    ok: Simulator
    okgames: Okgames
    game: GameServer
    platform: Platform
    journal: Database

    def counts(self) -> tuple[int, int, int]:
        """Return how many callbacks OK has told, and how many rewards and webhooks the game has."""
        return len(self.platform.books.notices), len(self.game.books.rewards), len(self.game.books.webhooks)

    async def come_to_rest(self) -> None:
        """Let nothing fail any more, and time pass until the game has everything: a day at most."""
        await self.ok.set_faults({})
        self.game.failing = 0
        self.game.is_out = False
        for _ in range(_STEPS_AT_MOST):
            if await self._is_at_rest():
                return
            await self.ok.move(_STEP)

    async def _is_at_rest(self) -> bool:
        told, now = await self.ok.books(), await self.ok.now()
        if told.has_pending:
            return False
        expected = [_count_rewards(ok_accounts(told, self.app, time)) for time in (now, now + _QUIET)]
        for _ in range(_LOOKS):
            is_complete = [len(self.game.books.rewards)] * 2 == expected
            if is_complete and not await self.okgames.has_pending_deliveries():
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def report(self, players: Sequence[str], days: int, began: float, promotion_id: UUID | None = None) -> Report:
        """Read all books and compare them, those of a promotion too where there was one."""
        told, now = await self.ok.books(), await self.ok.now()
        ok = ok_accounts(told, self.app, now)
        ours = our_accounts(
            dict(zip(players, await some_at_once(self.okgames.callbacks, players), strict=True)),
            dict(zip(players, await some_at_once(self.okgames.entitlements, players), strict=True)),
            await self.okgames.rewards(),
        )
        game = self._game_book()
        journaled = await self._count_journaled()
        promotion = () if promotion_id is None else await self._promotion_rows(promotion_id, told)
        differing = [*differences(ok, ours, game), *promotion_differences(promotion)]
        calls, webhooks = told.extra_calls, self.game
        report = Report(
            agreement=not differing
            and not webhooks.books.wrong
            and not calls.duplicates_answered_differently
            and not calls.forgeries_accepted
            and journaled == told.accepted,
            players=len(players),
            days=days,
            seconds=round(time.perf_counter() - began, 1),
            callbacks=told.callbacks,
            callbacks_accepted=told.accepted,
            journaled=journaled,
            attempts=told.attempts,
            attempts_failed=told.attempts_failed,
            duplicates=calls.duplicates,
            duplicates_answered_differently=calls.duplicates_answered_differently,
            forgeries=calls.forgeries,
            forgeries_accepted=calls.forgeries_accepted,
            payments=sum(len(account.payments) for account in ok.accounts.values()),
            oks=sum(sum(account.payments.values()) for account in ok.accounts.values()),
            refunds=len(told.refunds),
            granted_though_ok_gave_up=told.granted_though_given_up,
            rewards=len(webhooks.books.rewards),
            deliveries=len(webhooks.books.webhooks),
            delivery_attempts=webhooks.requests,
            delivery_attempts_failed=webhooks.failed + webhooks.rejected,
            wrong_at_the_game=tuple(webhooks.books.wrong),
            promotion=promotion,
            differing_rows=tuple(differing),
        )
        print_report(report, ok, ours, game)
        return report

    async def _promotion_rows(self, promotion_id: UUID, told: OkBooks) -> tuple[PromotionRow, ...]:
        ours = await self.okgames.promotion(promotion_id)
        issues, posts = await self.okgames.issues(), await self.okgames.posts(promotion_id)
        return promotion_rows(told, ours, issues, posts, self.game.books)

    def _game_book(self) -> AccountBook:
        known = self.game.books
        return game_accounts(
            [
                ((uid, each.product), each.state, each.until)
                for uid, change in known.players.items()
                for each in change.entitlements
            ],
            [(each.reward_id, (each.uid, each.product), each.quantity) for each in known.rewards.values()],
        )

    async def _count_journaled(self) -> int:
        async with self.journal.connection() as connection:
            count: int = await connection.fetchval("select count(*) from callbacks")
            return count


def _count_rewards(book: AccountBook) -> int:
    return sum(account.rewards for account in book.accounts.values())


@asynccontextmanager
async def company_of(on: Stage, seed: str) -> AsyncIterator[Company]:
    """Start OK, all services and the game's server in this process; the clock begins at MIDNIGHT."""
    found = on.found
    assert isinstance(found.clock, MovableClock), "the stage has a movable clock"
    app = found.config.app(APPLICATION_KEY)
    assert app is not None, "the stage has one application"
    await _set_clock(found.settings.resolved_database_url)
    game = GameServer(WEBHOOK_SECRET, Chance(seed, "game"), GAME_FAILS)
    services = [build(found.settings, found.config, found.clock) for build in BUILDS.values()]
    callback_url = f"http://{found.settings.http}/ok/callback"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(game, on.game))
        await stack.enter_async_context(
            serve(
                *services,
                log=found.log,
                settings=found.settings,
                clock=found.clock,
                keep_events=found.config.event_retention,
            )
        )
        platform = await stack.enter_async_context(
            simulator.service.serve(found.settings, found.config, callback_url, found.clock, seed=seed)
        )
        to_ok = await stack.enter_async_context(_session(str(found.settings.simulator_http)))
        to_okgames = await stack.enter_async_context(
            _session(str(found.settings.http), {"Authorization": f"Bearer {ADMIN_TOKEN}"})
        )
        yield Company(
            app,
            Simulator(to_ok, APPLICATION_KEY),
            Okgames(to_okgames, APPLICATION_KEY),
            game,
            platform,
            next(service.database for service in services if service.name == "callback-gateway"),
        )


async def _set_clock(url: str) -> None:
    database = Database(url, "okgames")
    await database.open()
    try:
        await MovableClock(database).start_at(MIDNIGHT)
    finally:
        await database.close()


def _session(address: str, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    # A leap of the clock may take long, as all that falls due happens in it.
    return aiohttp.ClientSession(f"http://{address}", headers=headers, timeout=aiohttp.ClientTimeout(total=600))
