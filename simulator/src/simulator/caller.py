import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from yarl import URL

from simulator.domain.attempts import Answer, Silence


class Caller:
    """Call a game's callback URL as OK's servers do: GET, no redirects, each call on a connection of its own."""

    def __init__(self, session: aiohttp.ClientSession, callback_url: str, timeout: timedelta) -> None:
        self._session = session
        self._callback_url = callback_url
        self._timeout = timeout.total_seconds()

    async def call(self, query: str, *, delay: float = 0) -> Answer | Silence:
        """Make one call; `delay` is how many of the seconds of its time-out are gone before it reaches the game."""
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.sleep(delay)
                # Already encoded, in OK's way and not in that of the client library.
                url = URL(f"{self._callback_url}?{query}", encoded=True)
                async with self._session.get(url, allow_redirects=False) as response:
                    return Answer(
                        response.status,
                        response.headers.get("Invocation-error"),
                        response.content_type,
                        await response.read(),
                    )
        except TimeoutError:
            return Silence("no answer in time")
        except aiohttp.ClientError as error:
            return Silence(f"{type(error).__name__}: {error}")


@asynccontextmanager
async def caller(callback_url: str, timeout: timedelta) -> AsyncIterator[Caller]:
    """Open what the calls go out through, and close it afterwards."""
    # The library would repeat a GET by itself on a connection that it kept and the game has closed.
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield Caller(session, callback_url, timeout)
