import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import aiohttp
import structlog

from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database, Tx, is_unavailable
from okgames.events import Discount
from okgames.ok_answer import Answer, NotSent, OkApiError, UserInfo
from okgames.ok_api import OkApi, ok_session
from okgames.outbox import append
from promo_scheduler.domain.actions import Said, word_on_draw
from promo_scheduler.domain.discounts import prices_in
from promo_scheduler.domain.draw import (
    WHAT_TO_LOOK_AT,
    Conclusion,
    alarms,
    conclude,
    name_winners,
    not_sent,
    unresolved,
)
from promo_scheduler.domain.promotion import Evidence, EvidenceKind, Promotion, State
from promo_scheduler.domain.timing import pass_time
from promo_scheduler.store import draws, promotions

_PROMOTIONS_AT_ONCE: Final = 500
_DRAWS_AT_ONCE: Final = 8
_TRY_AGAIN: Final = timedelta(minutes=5)
_NAMES_WITHIN: Final = timedelta(minutes=30)
"""How long OK is asked for a winner's name before the post is made without it."""

_GRACE_SECONDS: Final = 10
"""How long a call that pays may go on when the process is told to stop."""

_PAUSE_SECONDS: Final = 0.5
_PROFILE: Final = "https://ok.ru/profile/"

logger = structlog.get_logger()


@dataclass(frozen=True)
class Ticking:
    """Do to promotions what the time alone does: reminders, windows, automatic draws."""

    database: Database
    config: Config

    async def tick(self, now: datetime) -> bool:
        """Take some promotions that are due a step further; all statements are for all of them at once."""
        async with self.database.transaction() as tx:
            due = await promotions.claim_due_promotions(tx, now, _PROMOTIONS_AT_ONCE)
            changes = [pass_time(promotion, now, self._discounts(promotion)) for promotion in due]
            await promotions.save_changes(tx, {promotion.id: promotion for promotion in due}, changes)
            await draws.save_begun_draws(tx, changes, now)
            await append(tx, *(event for change in changes for event in change.events))
        if due:
            logger.debug("promotions_moved", count=len(due))
        return len(due) == _PROMOTIONS_AT_ONCE

    def _discounts(self, promotion: Promotion) -> Sequence[Discount]:
        app = self.config.app(promotion.application_key)
        return () if app is None else prices_in(app, promotion.opens_at, promotion.closes_at).discounts


@dataclass(frozen=True)
class Drawing:
    """
    Make the one call that pays, for each promotion at most once.

    Everything rests on what is committed before and after it: the attempt before, the answer before it is read. A
    draw that was attempted and has no answer is never called again; when its process is gone, a person is asked.
    """

    database: Database
    clock: Clock
    config: Config
    ok_api: str

    async def look(self, _now: datetime) -> bool:
        """Stop what was abandoned, read what was answered, and make the calls that are to be made."""
        await self._stop_abandoned()
        async with self.database.connection() as connection:
            is_any_to_attempt = await draws.is_any_to_attempt(connection)
        has_more = is_any_to_attempt and await self._attempt()
        return await self._read_answers() or has_more

    async def _attempt(self) -> bool:
        # While this connection lasts, other copies of the service know that an answer may still come.
        present = await self.database.connect()
        try:
            number = await draws.enter_presence(present)
            attempts = await draws.attempt_draws(present, number, await self.clock.now(), _DRAWS_AT_ONCE)
            async with ok_session() as session:
                await _finish([self._draw(session, attempt) for attempt in attempts])
        finally:
            present.terminate()
        return len(attempts) == _DRAWS_AT_ONCE

    async def _draw(self, session: aiohttp.ClientSession, attempt: draws.Attempt) -> None:
        log = logger.bind(promotion_id=str(attempt.promotion_id), application_key=attempt.application_key)
        app = self.config.app(attempt.application_key)
        try:
            if app is None:
                raise NotSent("the configuration has no such application")
            log.info("draw_attempted", prizes_oks=attempt.prizes_oks)
            api = OkApi(session, self.ok_api, app)
            answer = await api.award_cashback(attempt.opens_at, attempt.closes_at, attempt.prizes_oks)
        except NotSent as error:
            log.warning("draw_not_sent", error=str(error))
            await self._take_back(attempt, str(error))
        except OkApiError as error:
            await self._stop(attempt, f"No answer can be read: {error!r}")
        else:
            await self._keep(attempt.promotion_id, answer)
            log.info("draw_answered", status=answer.status, invocation_error=answer.invocation_error)

    async def _keep(self, promotion_id: UUID, answer: Answer) -> None:
        """Commit the answer, however long the database is out of reach: there will be no other."""
        while True:
            try:
                async with self.database.transaction() as tx:
                    await draws.save_answer(tx, promotion_id, answer, await self.clock.now())
                return
            except Exception as error:
                if not is_unavailable(error):
                    raise
                logger.error("draw_answer_not_kept", promotion_id=str(promotion_id), body=_text(answer.body))
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _take_back(self, attempt: draws.Attempt, reason: str) -> None:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            found = await promotions.lock_promotions(tx, [attempt.promotion_id])
            promotion = found[attempt.promotion_id]
            if promotion.state is State.DRAWING:
                said = Said("okgames", EvidenceKind.ANSWER, f"OK was not reached: {reason}", now)
                change = not_sent(promotion, now + _TRY_AGAIN, word_on_draw(promotion, said, now))
                await draws.take_back_draw(tx, promotion.id)
                await promotions.save_changes(tx, found, [change])

    async def _stop(self, attempt: draws.Attempt, reason: str) -> None:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            found = await promotions.lock_promotions(tx, [attempt.promotion_id])
            promotion = found[attempt.promotion_id]
            if promotion.state is State.DRAWING:
                await self._save(tx, found, [_stopped(promotion, reason, attempt.attempted_at, now)], now)

    async def _stop_abandoned(self) -> None:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            abandoned = dict(await draws.find_abandoned_draws(tx, _PROMOTIONS_AT_ONCE))
            found = await promotions.lock_promotions(tx, list(abandoned))
            reason = "The process that called OK ended before it had an answer."
            concluded = [_stopped(each, reason, abandoned[each.id], now) for each in found.values()]
            await self._save(tx, found, concluded, now)

    async def _read_answers(self) -> bool:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            answered = await draws.find_answered_draws(tx, _PROMOTIONS_AT_ONCE)
            found = await promotions.lock_promotions(tx, [promotion_id for promotion_id, _, _ in answered])
            concluded = [
                conclude(found[promotion_id], answer, attempted_at, _heard(found[promotion_id], answer, now))
                for promotion_id, attempted_at, answer in answered
            ]
            await self._save(tx, found, concluded, now)
        return len(answered) == _PROMOTIONS_AT_ONCE

    async def _save(
        self, tx: Tx, before: Mapping[UUID, Promotion], concluded: Sequence[Conclusion], now: datetime
    ) -> None:
        changes = [each.change for each in concluded]
        await promotions.save_changes(tx, before, changes)
        await draws.save_drawn(tx, {each.change.promotion.id: each.winners for each in concluded}, now)
        await append(tx, *(event for change in changes for event in change.events))
        for change in changes:
            _log_conclusion(change.promotion)


@dataclass(frozen=True)
class Naming:
    """Ask OK for the winners' names and links, and tell others who won."""

    database: Database
    clock: Clock
    config: Config
    ok_api: str

    async def look(self, now: datetime) -> bool:
        async with self.database.connection() as connection:
            nameless = await draws.find_nameless(connection, _PROMOTIONS_AT_ONCE)
        of_app: dict[str, set[str]] = defaultdict(set)
        for application_key, _, uids in nameless.values():
            of_app[application_key].update(uids)
        known = {key: await self._users(key, uids) for key, uids in of_app.items()}
        for promotion_id, (application_key, drawn_at, uids) in nameless.items():
            users = known[application_key]
            if users is None and now < drawn_at + _NAMES_WITHIN:
                continue
            by_uid = {user.uid: user for user in users or ()}
            await self._tell(promotion_id, [by_uid.get(uid) or _stranger(uid) for uid in uids], now)
        return False

    async def _users(self, application_key: str, uids: set[str]) -> Sequence[UserInfo] | None:
        """Return what OK says of players, None where it could not be asked."""
        app = self.config.app(application_key)
        if app is None:
            return None
        wanted = sorted(uids)
        try:
            async with ok_session() as session:
                api = OkApi(session, self.ok_api, app)
                pages = [await api.users_info(wanted[start : start + 100]) for start in range(0, len(wanted), 100)]
        except OkApiError as error:
            logger.warning("winner_not_named", application_key=application_key, error=repr(error))
            return None
        return [user for page in pages for user in page]

    async def _tell(self, promotion_id: UUID, users: Sequence[UserInfo], now: datetime) -> None:
        async with self.database.transaction() as tx:
            found = await promotions.lock_promotions(tx, [promotion_id])
            winners = await draws.save_names(tx, promotion_id, users, now)
            if not winners:
                return
            change = name_winners(found[promotion_id], winners, now)
            await promotions.save_changes(tx, found, [change])
            await append(tx, *change.events)
        for uid in alarms(winners):
            logger.error("winner_not_among_payers", promotion_id=str(promotion_id), uid=uid)
        logger.info("winners_named", promotion_id=str(promotion_id), count=len(winners))


async def _finish(calls: Sequence[Coroutine[None, None, None]]) -> None:
    """Await all calls; when told to stop, give those under way some time to bring their answers home."""
    all_of_them = asyncio.ensure_future(asyncio.gather(*calls, return_exceptions=True))
    try:
        outcomes = await asyncio.shield(all_of_them)
    except asyncio.CancelledError:
        await asyncio.wait([all_of_them], timeout=_GRACE_SECONDS)
        all_of_them.cancel()
        raise
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


def _stopped(promotion: Promotion, reason: str, attempted_at: datetime, now: datetime) -> Conclusion:
    said = Said("okgames", EvidenceKind.ANSWER, reason, now)
    return unresolved(promotion, reason, attempted_at, word_on_draw(promotion, said, now))


def _heard(promotion: Promotion, answer: Answer, now: datetime) -> Evidence:
    header = "" if answer.invocation_error is None else f"Invocation-Error: {answer.invocation_error}\n"
    said = Said("OK", EvidenceKind.ANSWER, f"HTTP {answer.status}\n{header}\n{_text(answer.body)}", now)
    return word_on_draw(promotion, said, now)


def _text(body: bytes) -> str:
    return body[:10_000].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _stranger(uid: str) -> UserInfo:
    """Name a player of whom OK says nothing by the link alone."""
    return UserInfo(uid, None, f"{_PROFILE}{uid}")


def _log_conclusion(promotion: Promotion) -> None:
    log = logger.bind(promotion_id=str(promotion.id), application_key=promotion.application_key)
    if promotion.state is State.UNRESOLVED:
        log.error("draw_unresolved", reason=promotion.reason, what_to_look_at=WHAT_TO_LOOK_AT)
    else:
        log.info("winners_drawn")
