import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog
import uvloop

import callback_gateway.service
import jira_desk.service
import notifier.service
import promo_scheduler.service
import simulator.service
import subscription_ledger.service
from cli.installation import installation, kafka_address, migrated_installation, plain_errors
from okgames.clock import MovableClock
from okgames.forwarder import GROUP
from okgames.kafka import KafkaAddress
from okgames.migrations import migrate
from okgames.process import Build, Surroundings
from okgames.runtime import forwarding, serve, serve_forwarder
from okgames.service import Service

BUILDS: Final[Mapping[str, Build]] = {
    "callback-gateway": callback_gateway.service.service,
    "subscription-ledger": subscription_ledger.service.service,
    "notifier": notifier.service.service,
    "promo-scheduler": promo_scheduler.service.service,
    "jira-desk": jira_desk.service.service,
}

logger = structlog.get_logger()


def up(*, with_simulator: bool) -> None:
    """Run all that there is in this process, and the simulator if wanted, until SIGTERM or SIGINT."""
    with plain_errors(), installation() as found:
        if found.settings.admin_token is None:
            logger.warning(
                "admin_token_missing", what_to_do="set OKGAMES_ADMIN_TOKEN, or: okgames token create NAME --scope SCOPE"
            )
        uvloop.run(_run(found, list(BUILDS.values()), is_everything=True, with_simulator=with_simulator))


def run(service: str) -> None:
    """Run one service, or the forwarder, until SIGTERM or SIGINT; the database must be migrated."""
    with plain_errors(), installation() as found:
        if service == GROUP:
            uvloop.run(_forward(found))
            return
        uvloop.run(_run(found, [BUILDS[service]], is_everything=False, with_simulator=False))


def simulate(callback_url: str | None) -> None:
    """Play OK until SIGTERM or SIGINT."""
    with plain_errors(), migrated_installation() as found:
        uvloop.run(_simulate(found, callback_url))


def migrate_all() -> int:
    """Bring the database up to date and return how many steps were applied."""
    with plain_errors(), installation() as found:
        services = [build(found.settings, found.config, found.clock) for build in BUILDS.values()]
        schemas = [(service.database.schema, service.migrations) for service in services]
        return migrate(found.settings.resolved_database_url, schemas)


async def _run(found: Surroundings, builds: list[Build], *, is_everything: bool, with_simulator: bool) -> None:
    stop = _stop_signal()
    services: list[Service] = [build(found.settings, found.config, found.clock) for build in builds]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            serve(
                *services,
                log=found.log,
                settings=found.settings,
                clock=found.clock,
                keep_events=found.config.event_retention,
                migrated=not is_everything,
            )
        )
        if is_everything and isinstance(found.settings.event_log, KafkaAddress):
            await stack.enter_async_context(
                forwarding(found.settings.event_log, settings=found.settings, keep_events=found.config.event_retention)
            )
        if with_simulator:
            await stack.enter_async_context(
                simulator.service.serve(found.settings, found.config, _callback_url(found), found.clock)
            )
        await stop.wait()
        logger.info("stopping")


async def _forward(found: Surroundings) -> None:
    stop = _stop_signal()
    async with serve_forwarder(
        kafka_address(found.settings), settings=found.settings, keep_events=found.config.event_retention
    ):
        await stop.wait()
        logger.info("stopping")


async def _simulate(found: Surroundings, callback_url: str | None) -> None:
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        if isinstance(found.clock, MovableClock):
            await found.clock.database.open()
            stack.push_async_callback(found.clock.database.close)
        await stack.enter_async_context(
            simulator.service.serve(found.settings, found.config, callback_url or _callback_url(found), found.clock)
        )
        await stop.wait()


def _callback_url(found: Surroundings) -> str:
    return f"http://{found.settings.http}/ok/callback"


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
