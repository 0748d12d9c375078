import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar, assert_never

import aiohttp
import structlog
from prometheus_client import Counter

from notifier.domain.post import Allowance, Post, PostKind, PostState, begun, events_of
from notifier.domain.publishing import (
    MAILINGS,
    decide_after_look,
    decide_after_stop,
    decide_outcome,
    is_token_refused,
    require_some_left,
)
from notifier.store.posts import (
    claim_due_posts,
    claim_stopping_posts,
    claim_unknown_posts,
    give_up_cancelled,
    load_allowances,
    lock_attempted,
    update_posts,
)
from okgames.catalogue import App
from okgames.clock import Clock
from okgames.database import Database
from okgames.ok_answer import GroupTopic, NoAnswer, NoToken, NotSent, OkApiError, Outcome, Refused, Unreadable
from okgames.ok_api import OkApi, ok_session
from okgames.outbox import append

LOOK_AFTER: Final = timedelta(minutes=1)
"""Much longer than the call itself may take, and long enough for a post to show in OK's own lists."""

_AT_ONCE: Final = 32
_LOOK_BACK: Final = timedelta(minutes=5)

POSTS: Final = Counter("okgames_posts", "Attempts to publish a post or to send a notification.", ["kind", "state"])

T = TypeVar("T")

logger = structlog.get_logger()


class Publisher:
    """
    Publish posts and send notifications through OK's API, each once.

    That a call is about to be made is committed before it is made. Where its outcome stays unknown, because no answer
    came or the process died, the group is looked at before anything is sent again.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ok_api: str,
        apps: Mapping[str, App],
        alarm: Callable[[str, OkApiError], None],
        *,
        look_after: timedelta = LOOK_AFTER,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ok_api = ok_api
        self._apps = apps
        self._alarm = alarm
        self._look_after = look_after

    async def publish(self, now: datetime) -> bool:
        """Publish what is due; return whether more may be."""
        async with self._database.transaction() as tx:
            claimed = await claim_due_posts(tx, now, _AT_ONCE)
            if not claimed:
                return False
            keys = {post.application_key for post in claimed if not post.kind.is_in_group}
            allowances = await load_allowances(tx, keys, now) if keys else {}
            posts = [self._begun(post, allowances, now) for post in claimed]
            await update_posts(tx, posts, self._look_after)
            await append(tx, *events_of(posts, now))
        self._tell(posts)
        attempted = [post for post in posts if post.state is PostState.ATTEMPTED]
        await self._save(attempted, await self._ask_ok(attempted, self._send), decide_outcome)
        return len(claimed) == _AT_ONCE

    async def look_up(self, _now: datetime) -> bool:
        """Find out what came of attempts of which nobody has written it; return whether more may be left."""
        async with self._database.transaction() as tx:
            unknown = await claim_unknown_posts(tx, _AT_ONCE, self._look_after)
        await self._save(unknown, await self._ask_ok(unknown, self._look), decide_after_look)
        return len(unknown) == _AT_ONCE

    async def stop(self, now: datetime) -> bool:
        """Have OK take back what players see of cancelled promotions; return whether more may be left."""
        async with self._database.transaction() as tx:
            stopping = await claim_stopping_posts(tx, now, _AT_ONCE, self._look_after)
        if not stopping:
            return False
        answers = await self._ask_ok(stopping, self._take_back)
        now = await self._clock.now()
        decided = [decide_after_stop(post, answer, now) for post, answer in zip(stopping, answers, strict=True)]
        async with self._database.transaction() as tx:
            await update_posts(tx, decided)
        self._tell(decided)
        return len(stopping) == _AT_ONCE

    def _begun(self, post: Post, allowances: Mapping[str, Allowance], now: datetime) -> Post:
        if post.application_key not in self._apps:
            return post.drafted("the configuration does not name the application any more")
        return begun(post, allowances.get(post.application_key, Allowance()), now)

    async def _ask_ok(
        self, posts: Sequence[Post], what: Callable[[OkApi, App, Post], Awaitable[T]]
    ) -> list[T | OkApiError]:
        if not posts:
            return []

        async def ask(session: aiohttp.ClientSession, post: Post) -> T | OkApiError:
            app = self._apps.get(post.application_key)
            if app is None:
                return NoToken()
            try:
                return await what(OkApi(session, self._ok_api, app), app, post)
            except OkApiError as error:
                self._judge(app, error)
                return error

        async with ok_session() as session, asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(session, post)) for post in posts]
        return [task.result() for task in tasks]

    async def _save(
        self,
        posts: Sequence[Post],
        answers: Sequence[T | OkApiError],
        decide: Callable[[Post, str | None, T | OkApiError, datetime], Post],
    ) -> None:
        if not posts:
            return
        now = await self._clock.now()
        async with self._database.transaction() as tx:
            # Perhaps a person was faster and has published it by hand.
            held = await lock_attempted(tx, posts)
            decided = [
                decide(post, self._group_id(post), answer, now)
                for post, answer in zip(posts, answers, strict=True)
                if post.id in held
            ]
            changed = [post for post in decided if post.state is not PostState.ATTEMPTED]
            if not changed:
                return
            await update_posts(tx, changed)
            # Perhaps the promotion was cancelled while OK was asked.
            given_up = await give_up_cancelled(tx, [post.id for post in changed], now)
            lasting = [post for post in changed if post.id not in given_up]
            await append(tx, *events_of(lasting, now))
        self._tell(lasting)

    def _group_id(self, post: Post) -> str | None:
        app = self._apps.get(post.application_key)
        return app.group_id if app else None

    async def _send(self, api: OkApi, app: App, post: Post) -> str:
        match post.kind:
            case PostKind.CONDITIONS | PostKind.WINNER:
                if app.group_id is None:
                    raise NoToken
                return await api.post_topic(app.group_id, post.text)
            case PostKind.REHEARSAL | PostKind.NOTIFICATION:
                assert post.expires_at is not None, "a notification has an end"
                await self._require_some_left(api)
                status: Literal["PUBLIC", "ADMINS_ONLY"] = (
                    "PUBLIC" if post.kind is PostKind.NOTIFICATION else "ADMINS_ONLY"
                )
                return await api.send_mass(post.text, post.expires_at, status)
            case _:
                assert_never(post.kind)

    async def _require_some_left(self, api: OkApi) -> None:
        """Raise AllowanceSpent, or NotSent where OK is out of reach; where OK does not tell, it will tell then."""
        try:
            require_some_left(await api.calls_left([MAILINGS]))
        except NoAnswer as error:
            raise NotSent from error
        except Refused as error:
            if error.outcome is Outcome.UNKNOWN:
                raise NotSent from error
        except Unreadable:
            pass

    async def _take_back(self, api: OkApi, _app: App, post: Post) -> bool:
        assert post.ok_id is not None, "OK gave it an id"
        return await api.stop_send_mass(post.ok_id)

    async def _look(self, api: OkApi, app: App, post: Post) -> Sequence[GroupTopic]:
        if app.group_id is None or not post.kind.is_in_group or post.attempted_at is None:
            # OK has no list of an application's notifications.
            raise NoToken
        return await api.group_topics(app.group_id, post.attempted_at - _LOOK_BACK)

    def _judge(self, app: App, error: OkApiError) -> None:
        if is_token_refused(error):
            self._alarm(app.application_key, error)

    def _tell(self, posts: Sequence[Post]) -> None:
        for post in posts:
            POSTS.labels(post.kind, post.state).inc()
            match post.state:
                case PostState.DRAFT:
                    logger.error("post_left_to_a_person", post_id=str(post.id), kind=post.kind, reason=post.reason)
                case PostState.PUBLISHED if post.reason is not None:
                    logger.error("post_left_to_a_person", post_id=str(post.id), kind=post.kind, reason=post.reason)
                case PostState.APPROVED if post.reason is not None:
                    logger.warning("post_waits", post_id=str(post.id), kind=post.kind, reason=post.reason)
                case PostState.STOPPED:
                    logger.info("post_stopped", post_id=str(post.id), kind=post.kind, ok_id=post.ok_id)
                case PostState.PUBLISHED:
                    logger.info("post_published", post_id=str(post.id), kind=post.kind, ok_id=post.ok_id)
