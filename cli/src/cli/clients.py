import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import aiohttp
from pydantic import AwareDatetime, BaseModel, ConfigDict

from cli.books import OurCallback, OurEntitlement, OurReward
from cli.failures import Failed
from cli.lives import Action
from cli.ok_books import OkBooks
from cli.promotion_book import OurIssue, OurPost, OurPromotion

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


class _Due(_Answer):
    """Read when something is to be done; of a project that is not read at all, never."""

    next_at: AwareDatetime | None = None


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

    async def top_up(self, oks: int) -> None:
        """Let OK's administration put OKs on the application's cashback account."""
        await self._post("cashback", {"application_key": self._application_key, "oks": oks})

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
    """Ask okgames of an application's players and promotions, as a game, an operator or a community manager would."""

    def __init__(self, session: aiohttp.ClientSession, application_key: str) -> None:
        self._session = session
        self._application_key = application_key
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

    async def plan_promotion(self, day: date, by: str) -> OurPromotion:
        body = {"application_key": self._application_key, "day": str(day), "by": by}
        return OurPromotion.model_validate_json(await self._post("/v1/promotions", json=body))

    async def promotion(self, promotion_id: UUID) -> OurPromotion:
        return OurPromotion.model_validate_json(await self._get(f"/v1/promotions/{promotion_id}", {}))

    async def act_on_promotion(self, promotion_id: UUID, action: str, body: Mapping[str, object]) -> None:
        """Do what a person does: `action` is the last part of its route."""
        await self._post(f"/v1/promotions/{promotion_id}/{action}", json=body)

    async def show_screenshot(self, promotion_id: UUID, by: str, file_name: str, png: bytes) -> None:
        """Upload the picture of the morning notification."""
        await self._post(
            f"/v1/promotions/{promotion_id}/evidence",
            params={"by": by, "step": "screenshot", "file_name": file_name},
            data=png,
            headers={"Content-Type": "image/png"},
        )

    async def posts(self, promotion_id: UUID) -> list[OurPost]:
        """Return a promotion's posts and notifications, the oldest first."""
        items = await self._items("/v1/posts", promotion_id=str(promotion_id))
        return [OurPost.model_validate(item) for item in items]

    async def approve_post(self, post_id: UUID, by: str) -> None:
        await self._post(f"/v1/posts/{post_id}/approve", json={"by": by})

    async def issues(self) -> list[OurIssue]:
        """Return all issues of OK's JIRA that okgames knows."""
        items = await self._items("/v1/jira/issues")
        return [OurIssue.model_validate_json(await self._get(f"/v1/jira/issues/{item['key']}", {})) for item in items]

    async def has_business_in_jira(self, now: datetime) -> bool:
        """Tell whether JIRA is to be read, or something is to be done there, by now."""
        items = [*await self._items("/v1/jira/projects"), *await self._items("/v1/jira/errands", state="due")]
        due = [_Due.model_validate(item).next_at for item in items]
        return any(at is not None and at <= now for at in due)

    async def _items(self, path: str, **chosen: str) -> list[Mapping[str, Any]]:
        items: list[Mapping[str, Any]] = []
        query = {"limit": str(_PAGE), **chosen}
        while True:
            page = _Page.model_validate_json(await self._get(path, query))
            items += page.items
            # A feed always has a cursor: it ends where nothing more is found.
            if page.next is None or not page.items:
                return items
            query["after"] = page.next

    async def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        return await self._request("GET", path, params=query)

    async def _post(self, path: str, **content: Any) -> bytes:
        return await self._request("POST", path, **content)

    async def _request(self, method: str, path: str, **content: Any) -> bytes:
        async with self._session.request(method, path, **content) as response:
            answer = await response.read()
            if not response.ok:
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
