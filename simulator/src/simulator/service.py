import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.settings import Settings
from simulator.api import Api
from simulator.caller import caller
from simulator.chance import Chance
from simulator.domain.agenda import Agenda
from simulator.domain.api_books import ApiBooks
from simulator.domain.api_methods import ApiMethods
from simulator.domain.attempts import Policy
from simulator.domain.books import Books
from simulator.domain.faults import FaultMix, Mischief
from simulator.domain.jira_books import JiraBooks
from simulator.domain.jira_moderator import Moderator
from simulator.http import application
from simulator.jira import Jira
from simulator.pace import Pace
from simulator.platform import Platform
from simulator.stepping import Stepper
from simulator.telling import Teller

logger = structlog.get_logger()


@asynccontextmanager
async def serve(
    settings: Settings,
    config: Config,
    callback_url: str,
    clock: Clock,
    *,
    policy: Policy | None = None,
    seed: str = "okgames",
) -> AsyncIterator[Platform]:
    """
    Play OK for the configured apps as long as the context lasts, at `settings.simulator_http`.

    A movable clock's database is the caller's to open. The books live in memory and end with the context; the same
    `seed` gives the same faults to the same players.
    """
    policy = policy or Policy()
    pace = Pace(clock)
    books, api_books = Books(), ApiBooks()
    mischief = Mischief(FaultMix())
    async with AsyncExitStack() as stack:
        calls = await stack.enter_async_context(caller(callback_url, policy.timeout))
        teller = Teller(config, calls, pace, policy, mischief, books.extra_calls)
        agenda, jira_books = Agenda(), JiraBooks()
        moderator = Moderator(jira_books, api_books, agenda, mischief, Chance(seed, "moderator"))
        platform = Platform(config, pace, teller, mischief, books, Chance(seed), agenda, moderator)
        stepper = Stepper(platform, pace)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(stepper.follow())
            api = Api(config, pace, mischief, ApiMethods(mischief, books, api_books), Chance(seed, "api"))
            jira = Jira(config.jira, f"http://{settings.simulator_http}", pace, mischief, jira_books, moderator, seed)
            routes = application(platform, stepper, pace, api, api_books, jira)
            runner = web.AppRunner(routes, access_log=None, handle_signals=False)
            await runner.setup()
            try:
                address = settings.simulator_http
                await web.TCPSite(runner, address.host, address.port).start()
                logger.info("simulator_started", http=str(address), callback_url=callback_url)
                yield platform
            finally:
                await runner.cleanup()
                following.cancel()
