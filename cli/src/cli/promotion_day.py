import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

from PIL import Image

from cli.clients import Okgames, Simulator
from cli.failures import Failed
from cli.lives import Action, Deed
from cli.promotion_book import OurPost, OurPromotion

FROM: Final = timedelta(days=8)
"""The promotion's day is a Tuesday; it ends in the afternoon of the next."""

DAYS: Final = 10
"""A shorter demo has no promotion."""

_LEFT_OKS: Final = 2000
"""On the account before OK adds the prize, so that nothing but okgames would keep OK from paying twice."""

_HOURS_OF_JIRA: Final = [
    (hour // 24, time(hour % 24, 45)) for hour in (*range(-5 * 24 + 10, -3 * 24 + 11), *range(9, 24 + 9))
]
"""While the request and the screenshot are under way: what JIRA refuses is tried again, and hours pass at once here."""

_BY: Final = "Anna"
_SHOPPING: Final = time(12, 10)
_LOOK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 30

T = TypeVar("T")
Scene: TypeAlias = Callable[[], Awaitable[None]]


def purchases(players: Sequence[str], midnight: datetime) -> list[Action]:
    """Let every fourth player buy on the promotion's day because of it; `midnight` is when it begins."""
    at = _moment(midnight, 0, _SHOPPING)
    return [Action(at, uid, Deed.PURCHASE, "gold_100") for uid in players[::4]]


@dataclass
class Manager:
    """
    Do what a community manager does for a promotion, from its plan to the winner's post; `midnight` begins its day.

    The jira-desk does what is to be done in OK's JIRA, where OK's people take hours.
    Where something does not come about, nothing more is done, and the comparison shows how far it came.
    """

    ok: Simulator
    okgames: Okgames
    midnight: datetime
    promotion_id: UUID | None = None
    has_given_up: bool = False

    def scenes(self) -> Mapping[datetime, Scene]:
        """Return what is to be done when."""
        return {
            _moment(self.midnight, days, at): partial(self._play, scene)
            for days, at, scene in (
                *((days, at, self._see_jira) for days, at in _HOURS_OF_JIRA),
                (-5, time(10), self._plan),
                (-3, time(11), self._prepare),
                (-1, time(12), self._see_announced),
                (0, time(), self._see_open),
                (0, time(9), self._see_notified),
                (1, time(9, 30), self._draw),
                (1, time(10), self._see_winner_named),
                (1, time(14, 1), self._see_completed),
            )
        }

    async def _play(self, scene: Scene) -> None:
        if self.has_given_up:
            return
        try:
            await scene()
        except Failed as error:
            if self.promotion_id is None:
                raise
            self.has_given_up = True
            self._tell(f"given up, because {error}")

    async def _plan(self) -> None:
        promotion = await self.okgames.plan_promotion(self.midnight.date(), _BY)
        self.promotion_id = promotion.id
        await self.ok.top_up(_LEFT_OKS)
        self._tell(f"{promotion.name} is planned")

    async def _see_jira(self) -> None:
        """Let the desk do what it can do by now."""

        async def find() -> bool | None:
            return None if await self.okgames.has_business_in_jira(await self.ok.now()) else True

        await _eventually(find, "the jira-desk has business that is due")

    async def _prepare(self) -> None:
        """Approve what is to go out by itself, as OK has approved the promotion."""

        async def find() -> OurPromotion | None:
            promotion = await self._promotion()
            return None if promotion.prize_fund_oks is None else promotion

        await self._wait_for("approved")
        await _eventually(find, "the prize fund is not confirmed")
        for kind in ("conditions", "rehearsal", "notification"):
            await self._approve(kind)
        self._tell("OK has approved it, and its prize fund is confirmed")

    async def _see_announced(self) -> None:
        await self._wait_for("announced")
        await self._published("rehearsal")
        await self._act("evidence", step="placement", note="The launch screen tells of it.")
        self._tell("its conditions are posted in the group")

    async def _see_open(self) -> None:
        await self._wait_for("open")
        self._tell("it is open")

    async def _see_notified(self) -> None:
        await self._wait_for("notified")
        await self.okgames.show_screenshot(self._known_id, _BY, "morning.png", _screenshot())
        self._tell("all players are notified")

    async def _draw(self) -> None:
        promotion = await self._wait_for("closed")
        self._tell(f"it is closed: {promotion.takings.payers} paid {promotion.takings.amount_oks:,} OKs")
        await self._act("draw", name=promotion.name)
        promotion = await self._wait_for("drawn")
        for winner in promotion.winners:
            self._tell(f"{winner.uid} wins {winner.prize_oks:,} OKs")
        await self._approve("winner")

    async def _see_winner_named(self) -> None:
        await self._wait_for("published")
        self._tell("the winner is named in the group")

    async def _see_completed(self) -> None:
        await self._wait_for("completed")
        self._tell("it is completed")

    @property
    def _known_id(self) -> UUID:
        assert self.promotion_id is not None, "it is planned first"
        return self.promotion_id

    async def _act(self, action: str, **body: object) -> None:
        await self.okgames.act_on_promotion(self._known_id, action, {"by": _BY, **body})

    async def _promotion(self) -> OurPromotion:
        return await self.okgames.promotion(self._known_id)

    async def _approve(self, kind: str) -> None:
        post = await self._post(kind, "proposed")
        await self.okgames.approve_post(post.id, _BY)

    async def _published(self, kind: str) -> None:
        await self._post(kind, "published")

    async def _post(self, kind: str, state: str) -> OurPost:
        async def find() -> OurPost | None:
            posts = await self.okgames.posts(self._known_id)
            return next((post for post in posts if (post.kind, post.state) == (kind, state)), None)

        return await _eventually(find, f"the promotion's {kind} is not {state}")

    async def _wait_for(self, state: str) -> OurPromotion:
        async def find() -> OurPromotion | None:
            promotion = await self._promotion()
            return promotion if promotion.state == state else None

        return await _eventually(find, f"the promotion is not {state}")

    def _tell(self, what: str) -> None:
        print(f"the promotion of {self.midnight:%-d %B}: {what}", flush=True)


async def _eventually(find: Callable[[], Awaitable[T | None]], otherwise: str) -> T:
    """Look until something is found, as what the services do takes real time; raise Failed with `otherwise`."""
    loop = asyncio.get_running_loop()
    patient_until = loop.time() + _PATIENCE_SECONDS
    while (found := await find()) is None:
        if loop.time() > patient_until:
            raise Failed(f"{otherwise} after {_PATIENCE_SECONDS} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return found


def _moment(midnight: datetime, days: int, at: time) -> datetime:
    return midnight + timedelta(days=days, hours=at.hour, minutes=at.minute)


def _screenshot() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (320, 180), "orange").save(content, "PNG")
    return content.getvalue()
