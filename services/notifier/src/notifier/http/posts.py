from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from notifier.domain.post import LONGEST_POST, NotNow, Post, PostState, events_of
from notifier.http.parameters import path_id, query_id, query_state
from notifier.store.posts import find_posts, load_post, lock_post, update_posts
from okgames.clock import Clock
from okgames.database import Database
from okgames.http import Problem, json_response, page, query_int, read_body
from okgames.outbox import append
from okgames.service import Route, Scope

Person = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Edit(_Body):
    text: Annotated[str, Field(max_length=LONGEST_POST)]


class Approval(_Body):
    by: Person


class ByHand(_Body):
    """Say that `by` has published a post, which can be seen at `url`; a notification has no address."""

    by: Person
    url: Annotated[str, Field(max_length=512)] | None = None


class PostsApi:
    """Show what is told to players, and let people word it, approve it and publish it by hand."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/posts", self.show_some, Scope.POSTS_READ),
            Route("GET", "/v1/posts/{id}", self.show, Scope.POSTS_READ),
            Route("POST", "/v1/posts/{id}/edit", self.edit, Scope.POSTS_WRITE),
            Route("POST", "/v1/posts/{id}/approve", self.approve, Scope.POSTS_WRITE),
            Route("POST", "/v1/posts/{id}/published", self.note_published, Scope.POSTS_WRITE),
        ]

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with chosen posts and notifications, the oldest first."""
        query = request.query
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = query_int(request, "after", default=0, minimum=0, maximum=10**18)
        promotion_id = query_id(query["promotion_id"]) if "promotion_id" in query else None
        state = query_state(query["state"], PostState) if "state" in query else None
        async with self._database.connection() as connection:
            found = await find_posts(connection, query.get("application_key"), promotion_id, state, after, limit + 1)
        shown, more = found[:limit], len(found) > limit
        return page([asdict(post) for _, post in shown], str(shown[-1][0]) if more else None)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with one post or notification."""
        post_id = path_id(request)
        async with self._database.connection() as connection:
            post = await load_post(connection, post_id)
        return json_response(_present(post, post_id))

    async def edit(self, request: web.Request) -> web.Response:
        """Give a post another text, which wants another approval."""
        wanted = await read_body(request, Edit)
        return await self._change(request, lambda post, _: post.edited(wanted.text))

    async def approve(self, request: web.Request) -> web.Response:
        """Let okgames publish a post when its time comes."""
        wanted = await read_body(request, Approval)
        return await self._change(request, lambda post, now: post.approved(wanted.by, now))

    async def note_published(self, request: web.Request) -> web.Response:
        """Note that a person has published a post."""
        wanted = await read_body(request, ByHand)
        return await self._change(request, lambda post, now: post.published_by_hand(wanted.by, wanted.url, now))

    async def _change(self, request: web.Request, change: Callable[[Post, datetime], Post]) -> web.Response:
        now, post_id = await self._clock.now(), path_id(request)
        async with self._database.transaction() as tx:
            before = await lock_post(tx, post_id)
            if before is None:
                raise Problem(404, "Unknown post", str(post_id))
            try:
                post = change(before, now)
            except NotNow as error:
                raise Problem(409, "Not now", str(error)) from error
            await update_posts(tx, [post])
            if post.state is PostState.PUBLISHED:
                await append(tx, *events_of([post], now))
        return json_response(asdict(post))


def _present(post: Post | None, post_id: UUID) -> dict[str, object]:
    if post is None:
        raise Problem(404, "Unknown post", str(post_id))
    return asdict(post)
