"""OK's JIRA, as the simulator plays it, with so many issues of twenty comments each."""

import argparse
import asyncio
from pathlib import Path

import aiohttp
import uvloop

from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.settings import HttpAddress, Settings
from simulator.service import serve


async def play(port: int, configuration: Path, issues: int) -> None:
    settings = Settings(simulator_http=HttpAddress("127.0.0.1", port))
    body = {"do": "fill", "project": "DOC", "issue_type": "Company", "issues": issues, "comments": 20}
    async with (
        serve(settings, load_config(configuration), "http://127.0.0.1:9/unused", SystemClock()),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        async with session.post("/sim/jira", json=body) as response:
            response.raise_for_status()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("issues", type=int)
    options = parser.parse_args()
    uvloop.run(play(options.port, options.configuration, options.issues))
