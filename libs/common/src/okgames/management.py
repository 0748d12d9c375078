import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from okgames.database import Database, is_unavailable
from okgames.http import HttpHandler, json_response
from okgames.log import LogUnavailable
from okgames.settings import HttpAddress
from okgames.telemetry import LAG

_Answer: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

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
    app: web.Application, address: HttpAddress, shortcuts: Mapping[tuple[str, str], HttpHandler] = MappingProxyType({})
) -> AsyncIterator[None]:
    """
    Serve for as long as the context lasts; on leaving, requests under way get five seconds.

    `shortcuts` are handlers of the application's own, by method and path, that are called without asking its router.
    """
    # OK's callbacks carry a text of the game's own in the URL, where each Cyrillic letter takes six characters.
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5, max_line_size=65536)
    await runner.setup()
    if shortcuts:
        assert runner.server is not None
        runner.server.request_handler = _with_shortcuts(shortcuts, runner.server.request_handler)
    try:
        await web.TCPSite(runner, address.host, address.port, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()


def _with_shortcuts(shortcuts: Mapping[tuple[str, str], HttpHandler], others: _Answer) -> _Answer:
    def answer(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        path, _, _ = request.raw_path.partition("?")
        shortcut = shortcuts.get((request.method, path))
        if shortcut is not None and isinstance(request, web.Request):
            return shortcut(request)
        return others(request)

    return answer
