import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final, TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from okgames.database import Database, is_unavailable
from okgames.http import json_response
from okgames.log import LogUnavailable
from okgames.settings import HttpAddress
from okgames.shortcut import LONGEST_LINE, Connections, Shortcut
from okgames.telemetry import LAG

_GRACE_SECONDS: Final = 5

Lags: TypeAlias = Callable[[], Awaitable[Mapping[tuple[str, str], int]]]
"""Count what each (group, topic) has not read yet; raise LogUnavailable."""


def management(databases: Sequence[Database], lags: Lags) -> web.Application:
    """Tell whether the process lives, whether it can reach its databases, and how it is getting on."""

    async def livez(_request: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        # At the same time: who asks does not wait a second for each.
        faults = await asyncio.gather(*map(_fault, databases))
        failing = {
            database.schema: fault for database, fault in zip(databases, faults, strict=True) if fault is not None
        }
        return json_response({"status": "failing" if failing else "ok", "failing": failing}, 503 if failing else 200)

    async def metrics(_request: web.Request) -> web.Response:
        try:
            for labels, lag in (await lags()).items():
                LAG.labels(*labels).set(lag)
        except Exception as error:
            if not (is_unavailable(error) or isinstance(error, LogUnavailable)):
                raise
            # Better no figure than an old one.
            LAG.clear()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


async def _fault(database: Database) -> str | None:
    """Return why a database cannot be used, None where it answers within a second."""
    try:
        async with asyncio.timeout(1), database.connection(timeout=1) as connection:
            await connection.execute("select 1")
    except Exception as error:
        if not is_unavailable(error):
            raise
        return repr(error)
    return None


@asynccontextmanager
async def http_server(
    app: web.Application, address: HttpAddress, shortcuts: Mapping[str, Shortcut] = MappingProxyType({})
) -> AsyncIterator[None]:
    """
    Serve for as long as the context lasts; on leaving, requests under way get five seconds.

    `shortcuts` answer GET requests to some of the application's paths, by path, as its own handlers would.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=_GRACE_SECONDS, max_line_size=LONGEST_LINE
    )
    await runner.setup()
    assert runner.server is not None
    connections = Connections(shortcuts, runner.server)
    try:
        listening = await asyncio.get_running_loop().create_server(
            connections if shortcuts else runner.server, address.host, address.port, backlog=1024
        )
        try:
            yield
        finally:
            listening.close()
            await connections.close(_GRACE_SECONDS)
    finally:
        await runner.cleanup()
