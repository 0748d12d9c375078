"""The ceiling: aiohttp on uvloop that answers a constant."""

import argparse
import asyncio

import uvloop
from aiohttp import web

from okgames.ok_protocol import reply


async def serve(port: int) -> None:
    body = reply("xml").body

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/xml")

    app = web.Application()
    app.router.add_get("/ok/callback", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))
