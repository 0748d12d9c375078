import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, get_args
from uuid import UUID

import structlog
from aiohttp import hdrs, web
from prometheus_client import Counter

from callback_gateway import store
from callback_gateway.domain.callback import Reason
from callback_gateway.domain.callers import Caller, Network, caller_of, is_expected
from callback_gateway.domain.journal import Outcome, error_of, refusal, to_journal
from callback_gateway.domain.payment import Payment, PaymentPlace
from callback_gateway.domain.verdict import Verdict, is_signed, judge, judge_nameless
from callback_gateway.jobs import Journal, RefusalSamples
from okgames.catalogue import App, Config
from okgames.database import Database
from okgames.http import Problem, cursor_of, page, query_int, query_time, read_cursor, wrong_cursor
from okgames.ok_protocol import AnswerFormat, ErrorCode, Query, parse_query, reply
from okgames.service import Route, Scope
from okgames.shortcut import Answer, Asked

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

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one callback, always with status 200; `true` only for what is in the journal."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # As it came: what was decoded before would be decoded twice, and hashed wrongly.
        query = request.raw_path.partition("?")[2]
        forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        asked = Asked(query, request.remote, forwarded, lambda: request.transport is None)
        self.shortcut(asked, lambda answer: None if answered.done() else answered.set_result(answer))
        answer = await answered
        return web.Response(body=answer.body, headers=answer.headers)

    def shortcut(self, asked: Asked, say: Callable[[Answer], None]) -> None:
        """Do the same without aiohttp's request and response, which take longer than all the rest."""
        deadline = time.monotonic() + _OK_WAITS_SECONDS
        query = parse_query(asked.query)
        app = self._apps.get(query.parameters.get("application_key", ""))
        answers = _ANSWERS[app.answers if app else "xml"]
        try:
            caller = caller_of(asked.peer, asked.forwarded, self._trusted_proxies)
            verdict = self._judge(query, app, caller)
            received = to_journal(verdict, asked.query, caller.text)

            def tell(outcome: Outcome) -> None:
                say(answers[error_of(verdict, outcome)])
                try:
                    # What is only for ourselves comes after the answer, and cannot change it.
                    self._note(asked, app, caller, verdict, outcome, deadline)
                except Exception:
                    logger.exception("callback_not_noted")

            if received is None:
                tell(Outcome.REFUSED)
            else:
                self._journal.record(received, tell)
        except Exception:
            logger.exception("callback_failed")
            _ANSWERED[Outcome.FAILED].inc()
            say(answers[ErrorCode.UNKNOWN])

    def _note(
        self, asked: Asked, app: App | None, caller: Caller, verdict: Verdict, outcome: Outcome, deadline: float
    ) -> None:
        _ANSWERED[outcome].inc()
        identity = verdict.identity
        if identity and outcome in (Outcome.NEW, Outcome.REPEATED):
            if asked.has_left() or time.monotonic() > deadline:
                self._journal.note_ack_uncertain(identity.id)
            return
        reason = refusal(verdict, outcome)
        if reason is None:
            return
        _REFUSED[reason].inc()
        is_sampled = self._refusal_samples.take(reason, caller.text, asked.query)
        if is_sampled and reason.code is ErrorCode.CALLBACK_INVALID_PAYMENT:
            # OK signed it: most likely our catalogue is wrong, and a player lost a purchase.
            logger.warning(
                "callback_refused",
                reason=reason.value,
                application_key=app.application_key if app else None,
                callback_id=identity.id if identity else None,
            )

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


def _answer(form: AnswerFormat, error: ErrorCode | None) -> Answer:
    said = reply(form, error)
    headers = {"Content-Type": said.content_type}
    return Answer(headers if error is None else headers | {"Invocation-error": str(int(error))}, said.body)


_ANSWERS: Final = {
    form: {error: _answer(form, error) for error in (None, *ErrorCode)} for form in get_args(AnswerFormat)
}


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
