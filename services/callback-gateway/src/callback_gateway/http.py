import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, get_args
from uuid import UUID

import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from prometheus_client import Counter

from callback_gateway import store
from callback_gateway.domain.callback import Reason
from callback_gateway.domain.callers import Caller, Network, caller_of, is_expected
from callback_gateway.domain.journal import FAULTS, Outcome, refusal, to_journal
from callback_gateway.domain.payment import Payment, PaymentPlace
from callback_gateway.domain.verdict import Verdict, is_signed, judge, judge_nameless
from callback_gateway.jobs import Journal, RefusalSamples
from okgames.catalogue import App, Config
from okgames.database import Database
from okgames.http import Problem, cursor_of, page, query_int, query_time, read_cursor, wrong_cursor
from okgames.ok_protocol import AnswerFormat, ErrorCode, Query, parse_query, reply
from okgames.service import Route, Scope

_OK_WAITS_SECONDS: Final = 5.0
_CALLERS_LOGGED: Final = 1000
_PAGE: Final = 1000

ANSWERED: Final = Counter("okgames_callbacks", "Callbacks answered.", ["outcome"])
REFUSED: Final = Counter("okgames_callbacks_refused", "Callbacks refused.", ["code", "reason"])
UNEXPECTED: Final = Counter(
    "okgames_callbacks_from_unexpected_callers", "Signed callbacks from addresses that are not OK's."
)

# A label's child is looked up once, not with each callback.
_ANSWERED: Final = {outcome: ANSWERED.labels(outcome.value) for outcome in Outcome}
_REFUSED: Final = {reason: REFUSED.labels(int(reason.code), reason.value) for reason in Reason}

logger = structlog.get_logger()


class Callbacks:
    """Answer OK's callbacks, of all games at one address."""

    def __init__(
        self,
        apps: Sequence[App],
        trusted_proxies: Sequence[Network],
        journal: Journal,
        refusal_samples: RefusalSamples,
    ) -> None:
        self._apps: Mapping[str, App] = {app.application_key: app for app in apps}
        self._trusted_proxies = trusted_proxies
        self._journal = journal
        self._refusal_samples = refusal_samples
        self._callers_logged: set[str] = set()
        # OK calls from few addresses, and finding out whether one is in a network takes as long as a signature.
        self._is_expected = lru_cache(maxsize=1024)(self._look_up_caller)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one callback, always with status 200; `true` only for what is in the journal."""
        # As it came: what was decoded before would be decoded twice, and hashed wrongly.
        raw = request.raw_path.partition("?")[2]
        query = parse_query(raw)
        app = self._apps.get(query.parameters.get("application_key", ""))
        try:
            error = await self._decide(request, raw, query, app)
        except Exception:
            logger.exception("callback_failed")
            _ANSWERED[Outcome.FAILED].inc()
            error = ErrorCode.UNKNOWN
        return _response(request, app.answers if app else "xml", error)

    async def _decide(self, request: web.Request, raw: str, query: Query, app: App | None) -> ErrorCode | None:
        deadline = time.monotonic() + _OK_WAITS_SECONDS
        caller = self._caller(request)
        verdict = self._judge(query, app, caller)
        received = to_journal(verdict, raw, caller.text)
        outcome = await self._journal.record(received) if received else Outcome.REFUSED
        _ANSWERED[outcome].inc()
        if received and outcome in (Outcome.NEW, Outcome.REPEATED):
            if request.transport is None or time.monotonic() > deadline:
                self._journal.note_ack_uncertain(received.identity.id)
            return None
        reason = refusal(verdict, outcome)
        if reason is None:
            return FAULTS[outcome]
        _REFUSED[reason].inc()
        is_sampled = self._refusal_samples.take(reason, caller.text, raw)
        if is_sampled and reason.code is ErrorCode.CALLBACK_INVALID_PAYMENT:
            # OK signed it: most likely our catalogue is wrong, and a player lost a purchase.
            callback_id = received.identity.id if received else None
            application_key = app.application_key if app else None
            logger.warning(
                "callback_refused", reason=reason.value, application_key=application_key, callback_id=callback_id
            )
        return reason.code

    def _caller(self, request: web.Request) -> Caller:
        if not self._trusted_proxies:
            return caller_of(request.remote, (), ())
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        return caller_of(request.remote, forwarded, self._trusted_proxies)

    def _judge(self, query: Query, app: App | None, caller: Caller) -> Verdict:
        if app is None:
            return judge_nameless(query, self._apps.values())
        caller_is_expected = self._is_expected(caller.text, app.application_key)
        verdict = judge(query, app, caller_is_expected=caller_is_expected)
        if not caller_is_expected and is_signed(verdict):
            self._note_unexpected(caller, app)
        return verdict

    def _look_up_caller(self, caller: str, application_key: str) -> bool:
        return is_expected(caller_of(caller, (), ()), self._apps[application_key])

    def _note_unexpected(self, caller: Caller, app: App) -> None:
        UNEXPECTED.inc()
        if caller.text not in self._callers_logged and len(self._callers_logged) < _CALLERS_LOGGED:
            self._callers_logged.add(caller.text)
            logger.warning("caller_not_expected", caller=caller.text, application_key=app.application_key)


class _ReadyResponse(web.StreamResponse):
    """
    Send an answer that was put together beforehand; one object answers any number of callbacks.

    Putting it together anew each time, as aiohttp does, costs as much as judging the callback. It is for HTTP/1.1
    and connections that stay open.
    """

    def __init__(self, form: AnswerFormat, error: ErrorCode | None) -> None:
        super().__init__()
        body, headers = reply(form, error).body, _headers(form, error)
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        self._before = f"HTTP/1.1 200 OK\r\n{''.join(lines)}Server: {SERVER_SOFTWARE}\r\nDate: ".encode()
        self._after = b"\r\n\r\n" + body
        self._date = ""
        self._whole = b""

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        date = rfc822_formatted_time()
        if date is not self._date:
            self._date, self._whole = date, b"%b%b%b" % (self._before, date.encode(), self._after)
        transport.write(self._whole)
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the whole answer has been sent."""


def _headers(form: AnswerFormat, error: ErrorCode | None) -> Mapping[str, str]:
    said = reply(form, error)
    headers = {"Content-Type": said.content_type, "Content-Length": str(len(said.body))}
    return headers if error is None else headers | {"Invocation-error": str(int(error))}


_READY: Final = {
    (form, error): _ReadyResponse(form, error) for form in get_args(AnswerFormat) for error in (None, *ErrorCode)
}


def _response(request: web.Request, form: AnswerFormat, error: ErrorCode | None) -> web.StreamResponse:
    if request.keep_alive and request.version == HttpVersion11:
        return _READY[form, error]
    return web.Response(body=reply(form, error).body, headers=_headers(form, error))


@dataclass(frozen=True)
class Api:
    """Answer what the journal knows of payments, for those who compare it with OK's books."""

    config: Config
    database: Database

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/payments", self.payments, Scope.PAYMENTS_READ)]

    async def payments(self, request: web.Request) -> web.Response:
        """Answer an application's payments with a transaction_time `from` one moment on and before another, `to`."""
        application_key = request.query.get("application_key", "")
        if self.config.app(application_key) is None:
            raise Problem(400, "Wrong parameter", f"application_key: the configuration has no {application_key!r}")
        since, before = query_time(request, "from"), query_time(request, "to")
        if since is None or before is None:
            raise Problem(400, "Wrong parameter", "from and to must be there, both RFC 3339 times")
        limit = query_int(request, "limit", default=100, minimum=1, maximum=_PAGE)
        after = _place(request.query.get("after"))
        async with self.database.connection() as connection:
            found = await store.find_payments(connection, application_key, since, before, after, limit + 1)
        return page(
            [_shown(payment) for payment in found[:limit]],
            cursor_of([*found[limit - 1].place]) if len(found) > limit else None,
        )


def _place(text: str | None) -> PaymentPlace | None:
    if text is None:
        return None
    match read_cursor(text):
        case [str() as time, str() as payment_id]:
            try:
                place = PaymentPlace(datetime.fromisoformat(time), UUID(payment_id))
            except ValueError as error:
                raise wrong_cursor() from error
            if place.occurred_at.tzinfo is not None:
                return place
    raise wrong_cursor()


def _shown(payment: Payment) -> dict[str, object]:
    return {
        "id": payment.place.id,
        "type": payment.type,
        "transaction_id": payment.transaction_id,
        "occurred_at": payment.place.occurred_at,
        "received_at": payment.received_at,
        "uid": payment.uid,
        "product": payment.product,
        "amount_oks": payment.amount_oks,
        "ack_uncertain": payment.ack_uncertain,
    }
