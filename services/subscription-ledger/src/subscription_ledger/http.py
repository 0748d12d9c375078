import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from aiohttp import web

from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Entitlement
from okgames.http import Problem, cursor_of, json_response, page, query_int, query_time, read_cursor, wrong_cursor
from okgames.outbox import PARTITIONS
from okgames.service import Route, Scope
from subscription_ledger.domain.entitlement import entitlement
from subscription_ledger.domain.entry import Entry
from subscription_ledger.domain.explanation import Explanation, explain
from subscription_ledger.domain.player import Player
from subscription_ledger.domain.subscription import fold
from subscription_ledger.jobs import Watch
from subscription_ledger.store import entries, feed, players, timeline
from subscription_ledger.store.columns import PlayerKey

_LONGEST_WAIT: Final = 60
_HIGHEST_VERSION: Final = 2**53
_PAGE: Final = 1000
_PAGES_AT_MOST: Final = 50


@dataclass(frozen=True)
class Api:
    """Answer what games and support ask of the ledger; every answer is as of the clock's time."""

    config: Config
    clock: Clock
    database: Database
    watch: Watch

    def routes(self) -> list[Route]:
        player = "/v1/apps/{application_key}/users/{uid}"
        return [
            Route("GET", f"{player}/entitlements", self.entitlements, Scope.ENTITLEMENTS_READ),
            Route("GET", f"{player}/timeline", self.timeline, Scope.ENTITLEMENTS_READ),
            Route("GET", f"{player}/explain", self.explain, Scope.ENTITLEMENTS_READ),
            Route("GET", "/v1/apps/{application_key}/changes", self.changes, Scope.ENTITLEMENTS_READ),
        ]

    async def entitlements(self, request: web.Request) -> web.Response:
        """Answer what a player may have: now or `at` a time, and after `wait_version` has come or `timeout` passed."""
        key = self._player_key(request)
        at = query_time(request, "at")
        version = query_int(request, "wait_version", default=0, minimum=0, maximum=_HIGHEST_VERSION)
        timeout = query_int(request, "timeout", default=10, minimum=0, maximum=_LONGEST_WAIT)
        player = await self._find_player(key)
        if player.version < version and timeout:
            await self.watch.version(key, version, timeout)
            player = await self._find_player(key)
        found = await self._entitlements(player) if at is None else await self._entitlements_at(player, at)
        return json_response(
            {
                "uid": player.uid,
                "version": player.version,
                "entitlements": [each.model_dump() for each in found],
            }
        )

    async def _entitlements(self, player: Player) -> list[Entitlement]:
        now = await self.clock.now()
        return [
            # What OK's clock puts ahead of ours counts at once.
            entitlement(product, standing.subscription, max(now, standing.told_at))
            for product, standing in sorted(player.standings.items())
        ]

    async def _entitlements_at(self, player: Player, at: datetime) -> list[Entitlement]:
        async with self.database.connection() as connection:
            known = await entries.find_entries(connection, player.key)
        found = []
        for product, standing in sorted(player.standings.items()):
            facts = [fact for entry in known if entry.product == product and (fact := entry.fact) is not None]
            subscription = fold((fact for fact in facts if fact.occurred_at <= at), standing.terms)
            if subscription is not None:
                found.append(entitlement(product, subscription, at))
        return found

    async def timeline(self, request: web.Request) -> web.Response:
        """Answer what happened to a player and when we learned it, oldest first."""
        key = self._player_key(request)
        limit = query_int(request, "limit", default=100, minimum=1, maximum=_PAGE)
        after = _timeline_place(request.query.get("after"))
        async with self.database.connection() as connection:
            items = await timeline.find_timeline(connection, key, after, limit + 1)
        return page(
            [
                {
                    "what": item.what,
                    "id": str(item_id),
                    "occurred_at": occurred_at,
                    "learned_at": item.learned_at,
                    **orjson.loads(item.details),
                }
                for item in items[:limit]
                for occurred_at, _, item_id in [item.place]
            ],
            _timeline_cursor(items[limit - 1].place) if len(items) > limit else None,
        )

    async def explain(self, request: web.Request) -> web.Response:
        """Answer why access is on or off, of one `product` or of all that the player ever had."""
        key = self._player_key(request)
        player = await self._find_player(key)
        async with self.database.connection() as connection:
            known = await entries.find_entries(connection, key)
        wanted = request.query.get("product")
        had = sorted({entry.product for entry in known})
        app = self.config.app(player.application_key)
        if wanted is not None and wanted not in had and (app is None or app.product(wanted) is None):
            raise Problem(404, "Unknown product", f"The catalogue has no product {wanted}, nor had the player.")
        products = had if wanted is None else [wanted]
        now = await self.clock.now()
        return json_response(
            {
                "uid": player.uid,
                "version": player.version,
                "explanations": [
                    _explanation(explain(product, [entry for entry in known if entry.product == product], terms, now))
                    for product in products
                    for standing in [player.standings.get(product)]
                    for terms in [None if standing is None else standing.terms]
                ],
            }
        )

    async def changes(self, request: web.Request) -> web.Response:
        """Answer entitlement and reward events `after` a cursor; with `wait`, as soon as there are any."""
        application_key = self._application_key(request)
        limit = query_int(request, "limit", default=100, minimum=1, maximum=_PAGE)
        wait = query_int(request, "wait", default=0, minimum=0, maximum=_LONGEST_WAIT)
        cursor = await self._feed_cursor(request.query.get("after"))
        deadline = asyncio.get_running_loop().time() + wait
        items, cursor = await self._read_feed(application_key, cursor, limit)
        while not items and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await self.watch.news(left)
            items, cursor = await self._read_feed(application_key, cursor, limit)
        return page(
            [
                {
                    "id": str(item.id),
                    "type": item.type,
                    "occurred_at": item.occurred_at,
                    "recorded_at": item.recorded_at,
                    "data": orjson.Fragment(item.data or "null"),
                }
                for item in items
            ],
            cursor_of(cursor),
        )

    async def _read_feed(
        self, application_key: str, cursor: Sequence[int], limit: int
    ) -> tuple[list[feed.FeedItem], list[int]]:
        """Return one application's events, and the cursor after them and after all others before the last of them."""
        moved, size = list(cursor), limit
        for _ in range(_PAGES_AT_MOST):
            async with self.database.connection() as connection:
                try:
                    news = await feed.find_news(connection, application_key, moved, size)
                except feed.CursorTooOld as error:
                    raise Problem(
                        410, "Cursor too old", "Events after it were deleted; read the entitlements and start anew."
                    ) from error
            items: list[feed.FeedItem] = []
            for item in news:
                moved[item.partition] = item.position
                if item.data is not None:
                    items.append(item)
                    if len(items) == limit:
                        break
            if items or len(news) < size:
                return items, moved
            size = _PAGE
        return [], moved

    async def _feed_cursor(self, text: str | None) -> list[int]:
        if text is None:
            async with self.database.connection() as connection:
                return await feed.find_start(connection, PARTITIONS)
        match read_cursor(text):
            case list() as positions if len(positions) == PARTITIONS and all(_is_position(each) for each in positions):
                return positions
        raise wrong_cursor()

    async def _find_player(self, key: PlayerKey) -> Player:
        async with self.database.connection() as connection:
            return await players.find_player(connection, key) or Player(*key)

    def _player_key(self, request: web.Request) -> PlayerKey:
        return self._application_key(request), request.match_info["uid"]

    def _application_key(self, request: web.Request) -> str:
        application_key = request.match_info["application_key"]
        if self.config.app(application_key) is None:
            raise Problem(404, "Unknown application", f"The configuration has no application {application_key}.")
        return application_key


def _explanation(explanation: Explanation) -> dict[str, object]:
    found = explanation.entitlement
    return {
        "product": explanation.product,
        "entitlement": None if found is None else found.model_dump(),
        "sentences": explanation.sentences,
        "rests_on": [_callback(entry) for entry in explanation.rests_on],
    }


def _callback(entry: Entry) -> dict[str, object]:
    return {
        "id": str(entry.id),
        "kind": entry.kind,
        "occurred_at": entry.occurred_at,
        "learned_at": entry.learned_at,
        "ends_at": entry.ends_at,
        "amount_oks": entry.amount_oks,
        "transaction_id": entry.transaction_id,
    }


def _timeline_cursor(place: timeline.TimelinePlace) -> str:
    time, rank, item_id = place
    return cursor_of([time, rank, str(item_id)])


def _timeline_place(text: str | None) -> timeline.TimelinePlace | None:
    if text is None:
        return None
    match read_cursor(text):
        case [str() as time, int() as rank, str() as item_id]:
            try:
                return datetime.fromisoformat(time), rank, UUID(item_id)
            except ValueError as error:
                raise wrong_cursor() from error
    raise wrong_cursor()


def _is_position(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63
