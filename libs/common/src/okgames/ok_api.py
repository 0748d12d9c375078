import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

import aiohttp
import orjson
import structlog
from prometheus_client import Counter

from okgames.catalogue import App
from okgames.ok_answer import (
    PASSING,
    Answer,
    CallsLeft,
    GroupTopic,
    NoAnswer,
    NoToken,
    NotSent,
    OkApiError,
    Refused,
    StatementPage,
    Unreadable,
    UserInfo,
    bare_flag_of,
    bare_id_of,
    calls_left_of,
    result_of,
    statement_of,
    topic_ids_of,
    topics_of,
    users_of,
)
from okgames.ok_protocol import session_secret, sign

MOSCOW: Final = ZoneInfo("Europe/Moscow")
"""The zone of `expires`, as OK's page on notifications.sendMass says, and of a promotion's day, as its rules are."""

ANSWER_WITHIN: Final = timedelta(seconds=10)
CASHBACK_WITHIN: Final = timedelta(seconds=60)
"""An unknown outcome of the one call that pays costs a person's day, so it gets more time."""

_WAITS: Final = (timedelta(seconds=0.5), timedelta(seconds=2), timedelta(seconds=5))
_CONNECT_SECONDS: Final = 5.0
_MOST_BYTES: Final = 2**20
_AT_ONCE: Final = 32
_USERS_AT_ONCE: Final = 100
_TOPICS_AT_ONCE: Final = 50

CALLS: Final = Counter("okgames_ok_calls", "Calls to OK's API.", ["method", "outcome"])

logger = structlog.get_logger()


@asynccontextmanager
async def ok_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open what calls to OK go out through; it serves all applications."""
    # A connection of its own for each call: on a kept one that OK has just closed, the outcome would stay unknown.
    connector = aiohttp.TCPConnector(limit=_AT_ONCE, force_close=True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class OkApi:
    """
    Call OK's own API for one application.

    Every method but `award_cashback` returns its result or raises a kind of OkApiError, whose `outcome` says whether
    OK may have done what was asked. What only reads, or may be asked twice, is tried up to four times where OK is
    out of reach or answers 1 or 2; anything else is called once. Parameters travel in the body, so that no address
    and no log of a proxy holds a token.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        app: App,
        *,
        answer_within: timedelta = ANSWER_WITHIN,
        cashback_within: timedelta = CASHBACK_WITHIN,
        waits: Sequence[timedelta] = _WAITS,
    ) -> None:
        self._session = session
        self._url = f"{base_url}/fb.do"
        self._app = app
        self._answer_within = answer_within
        self._cashback_within = cashback_within
        self._waits = waits

    async def award_cashback(self, from_: datetime, to: datetime, prizes_oks: Sequence[int]) -> Answer:
        """
        Call payment.appCashback once: draw and pay a winner for each prize.

        They are drawn among those who paid at `from_` or later and before `to`, both in whole minutes.
        Each call draws and pays again. The answer comes back unread, for the caller to keep before `winners_of` reads
        it; raise NotSent where the call surely did not reach OK, NoAnswer where nobody can know.
        """
        parameters = {
            "from": _minute(from_),
            "to": _minute(to),
            "amount": ",".join(map(str, prizes_oks)),
        }
        return await self._call("payment.appCashback", parameters, self._cashback_within)

    async def daily_transactions(self, day: date, anchor: str | None = None) -> StatementPage:
        """Return up to 100 rows of OK's statistics of a day, from an earlier page's `anchor` on."""
        parameters = {"date": f"{day:%Y.%m.%d}", "count": "100", "direction": "FORWARD"}
        if anchor is not None:
            parameters["anchor"] = anchor
        return statement_of(await self._ask("payment.getDailyTransactionsFromServer", parameters))

    async def users_info(self, uids: Sequence[str]) -> tuple[UserInfo, ...]:
        """Return names and profile links of up to 100 players; those whom OK does not know are left out."""
        if not 0 < len(uids) <= _USERS_AT_ONCE:
            raise ValueError(f"users.getInfo takes 1 to {_USERS_AT_ONCE} uids, not {len(uids)}")
        parameters = {"uids": ",".join(uids), "fields": "uid,first_name,last_name,name,url_profile"}
        return users_of(await self._ask("users.getInfo", parameters))

    async def post_topic(self, group_id: str, text: str) -> str:
        """Publish a post on behalf of the group, which wants a token with GROUP_CONTENT; return its id."""
        attachment = {"media": [{"type": "text", "text": text}], "onBehalfOfGroup": "true"}
        parameters = {"gid": group_id, "type": "GROUP_THEME", "attachment": orjson.dumps(attachment).decode()}
        return bare_id_of(await self._tell("mediatopic.post", parameters, with_token=True))

    async def group_topics(self, group_id: str, since: datetime) -> tuple[GroupTopic, ...]:
        """Return the newest posts in a group, 50 at most, that were published at `since` or later."""
        listed = await self._ask(
            "group.getStatTopics",
            {
                "gid": group_id,
                "fields": "ID,CREATED_MS",
                "count": str(_TOPICS_AT_ONCE),
                "start_time": str(int(since.timestamp() * 1000)),
            },
            with_token=True,
        )
        ids = topic_ids_of(listed)
        if not ids:
            return ()
        parameters = {"topic_ids": ",".join(ids), "fields": "media_topic.*"}
        return topics_of(await self._ask("mediatopic.getByIds", parameters, with_token=True))

    async def send_mass(self, text: str, expires_at: datetime, status: Literal["PUBLIC", "ADMINS_ONLY"]) -> str:
        """Notify all players, or the game's developers only; return the id by which it can be stopped."""
        parameters = {"text": text, "expires": _minute(expires_at), "status": status}
        return bare_id_of(await self._tell("notifications.sendMass", parameters))

    async def stop_send_mass(self, notification_id: str) -> bool:
        """Take a notification of all players back."""
        return bare_flag_of(await self._ask("notifications.stopSendMass", {"id": notification_id}))

    async def send_simple(self, uid: str, text: str) -> bool:
        """Notify one player."""
        return bare_flag_of(await self._tell("notifications.sendSimple", {"uid": uid, "text": text}))

    async def calls_left(self, methods: Sequence[str]) -> tuple[CallsLeft, ...]:
        """Return what is left of the allowances of some methods."""
        return calls_left_of(await self._ask("users.getCallsLeft", {"methods": ",".join(methods)}))

    async def touch_session(self) -> None:
        """Make the access token last for another 30 days; what OK answers is not documented."""
        await self._ask("auth.touchSession", {}, with_token=True)

    async def _ask(self, method: str, parameters: Mapping[str, str], *, with_token: bool = False) -> object:
        """Make a call that may be made again."""
        for wait in self._waits:
            try:
                return await self._tell(method, parameters, with_token=with_token)
            except NoToken:
                raise
            except (NotSent, NoAnswer, Unreadable):
                pass
            except Refused as error:
                if error.code not in PASSING:
                    raise
            await asyncio.sleep(wait.total_seconds())
        return await self._tell(method, parameters, with_token=with_token)

    async def _tell(self, method: str, parameters: Mapping[str, str], *, with_token: bool = False) -> object:
        """Make a call once and return its result."""
        answer = await self._call(method, parameters, self._answer_within, with_token=with_token)
        try:
            return result_of(answer)
        except OkApiError as error:
            logger.warning(
                "ok_call_failed", method=method, application_key=self._app.application_key, error=repr(error)
            )
            raise

    async def _call(
        self, method: str, parameters: Mapping[str, str], within: timedelta, *, with_token: bool = False
    ) -> Answer:
        form = self._signed(method, parameters, with_token=with_token)
        try:
            answer = await self._post(form, within)
        except OkApiError as error:
            CALLS.labels(method, error.outcome).inc()
            logger.warning(
                "ok_call_failed", method=method, application_key=self._app.application_key, error=repr(error)
            )
            raise
        CALLS.labels(method, "refused" if answer.invocation_error is not None else "answered").inc()
        return answer

    def _signed(self, method: str, parameters: Mapping[str, str], *, with_token: bool) -> dict[str, str]:
        secret = self._app.secret_keys[0].get_secret_value()
        form = {"application_key": self._app.application_key, "format": "json", "method": method, **parameters}
        if not with_token:
            return form | {"sig": sign(form, secret)}
        if self._app.access_token is None:
            raise NoToken(method)
        token = self._app.access_token.get_secret_value()
        return form | {"sig": sign(form, session_secret(token, secret)), "access_token": token}

    async def _post(self, form: Mapping[str, str], within: timedelta) -> Answer:
        timeout = aiohttp.ClientTimeout(total=within.total_seconds(), connect=_CONNECT_SECONDS)
        try:
            # A redirect that keeps the method would make the call a second time.
            async with self._session.post(self._url, data=form, timeout=timeout, allow_redirects=False) as response:
                return Answer(
                    status=response.status,
                    invocation_error=response.headers.get("Invocation-Error"),
                    content_type=response.content_type,
                    body=await _bounded(response),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(type(error).__name__) from error
        except TimeoutError as error:
            raise NoAnswer(f"none within {within.total_seconds():g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(type(error).__name__) from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    taken = bytearray()
    async for chunk in response.content.iter_any():
        taken += chunk
        if len(taken) > _MOST_BYTES:
            raise Unreadable(f"more than {_MOST_BYTES} bytes")
    return bytes(taken)


def _minute(time: datetime) -> str:
    """Write `yyyy.MM.dd HH:mm`, the format of payment.appCashback and of notifications.sendMass."""
    return f"{time.astimezone(MOSCOW):%Y.%m.%d %H:%M}"
