import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import aiohttp
from pydantic import AwareDatetime, BaseModel, ConfigDict

from cli.books import OurCallback, OurEntitlement, OurReward
from cli.failures import Failed
from cli.lives import Action
from cli.ok_books import OkBooks

AT_ONCE: Final = 16
_PAGE: Final = 1000

S = TypeVar("S")
T = TypeVar("T")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Page(_Answer):
    items: tuple[Mapping[str, Any], ...]
    next: str | None


class _Clock(_Answer):
    now: AwareDatetime


class _Entitlements(_Answer):
    entitlements: tuple[OurEntitlement, ...]


class Simulator:
    """Drive the simulator over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, application_key: str) -> None:
        self._session = session
        self._application_key = application_key

    async def set_faults(self, mix: Mapping[str, object]) -> None:
        await self._post("faults", mix)

    async def now(self) -> datetime:
        async with self._session.get("/sim/clock") as response:
            return _Clock.model_validate_json(await response.read()).now

    async def move(self, move: Mapping[str, str]) -> None:
        """Move the clock through everything that falls due."""
        await self._post("clock", move)

    async def act(self, action: Action) -> None:
        """Let a player do something; that it can't be done just now is a part of life."""
        body = {"application_key": self._application_key, "uid": action.uid, "product": action.product}
        await self._post(action.deed, body, may_be_refused=True)

    async def books(self) -> OkBooks:
        async with self._session.get("/sim/books") as response:
            return OkBooks.model_validate_json(await response.read())

    async def _post(self, route: str, body: Mapping[str, object], *, may_be_refused: bool = False) -> bytes:
        async with self._session.post(f"/sim/{route}", json=body) as response:
            answer = await response.read()
            if response.status != 200 and not (may_be_refused and response.status == 409):
                raise Failed(f"the simulator: /sim/{route}: {response.status} {answer.decode()}")
            return answer


class Okgames:
    """Read what okgames says of an application's players, as a game or an operator would."""

    def __init__(self, session: aiohttp.ClientSession, application_key: str) -> None:
        self._session = session
        self._app = f"/v1/apps/{application_key}"

    async def callbacks(self, uid: str) -> list[OurCallback]:
        """Return what the timeline says that OK told of a player."""
        items = await self._items(f"{self._app}/users/{uid}/timeline")
        return [OurCallback.model_validate(item) for item in items if item["what"] == "callback"]

    async def entitlements(self, uid: str) -> Sequence[OurEntitlement]:
        answer = await self._get(f"{self._app}/users/{uid}/entitlements", {})
        return _Entitlements.model_validate_json(answer).entitlements

    async def rewards(self) -> list[OurReward]:
        """Return the rewards of all players, from the feed of changes."""
        items = await self._items(f"{self._app}/changes")
        return [OurReward.model_validate(item["data"]) for item in items if item["type"] == "RewardGranted"]

    async def has_pending_deliveries(self) -> bool:
        answer = await self._get("/v1/deliveries", {"state": "pending", "limit": "1"})
        return bool(_Page.model_validate_json(answer).items)

    async def _items(self, path: str) -> list[Mapping[str, Any]]:
        items: list[Mapping[str, Any]] = []
        query = {"limit": str(_PAGE)}
        while True:
            page = _Page.model_validate_json(await self._get(path, query))
            items += page.items
            # A feed always has a cursor: it ends where nothing more is found.
            if page.next is None or not page.items:
                return items
            query["after"] = page.next

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        async with self._session.get(path, params=query) as response:
            answer = await response.read()
            if response.status != 200:
                raise Failed(f"okgames: {path}: {response.status} {answer.decode()}")
            return answer


async def some_at_once(ask: Callable[[S], Awaitable[T]], subjects: Iterable[S]) -> list[T]:
    """Ask for each, a few at the same time; return the answers in the same order."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(subject: S) -> T:
        async with room:
            return await ask(subject)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(subject)) for subject in subjects]
    return [task.result() for task in tasks]
