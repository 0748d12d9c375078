import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from okgames.catalogue import App, Config
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.http import Problem, json_response, page, query_int, read_body, wrong_input
from okgames.outbox import append
from okgames.picture import MOST_BYTES, NoPicture
from okgames.service import Route, Scope
from promo_scheduler.domain import actions
from promo_scheduler.domain.calendar import NoDay, Verdict, check_day
from promo_scheduler.domain.discounts import prices_in
from promo_scheduler.domain.ics import calendar_of
from promo_scheduler.domain.orders import ORDERS, Draw, Name, Order, Show, ShowPicture
from promo_scheduler.domain.picture import to_keep
from promo_scheduler.domain.promotion import CALLED_OFF, Change, NotNow, Promotion, State
from promo_scheduler.domain.report import report_of
from promo_scheduler.domain.timing import pass_time
from promo_scheduler.store import draws, evidence, promotions
from promo_scheduler.store.reports import full_report

_IN_CALENDAR: Final = 1000
_PICTURES: Final = frozenset({"image/png", "image/jpeg"})


class Plan(BaseModel):
    """Say who wants a promotion of which application on which day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    application_key: str
    day: str
    by: Name


@dataclass(frozen=True)
class Api:
    """Plan promotions, show them, and take people's word on their steps."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        """Return the routes, fixed names before what could be an id."""
        one = "/v1/promotions/{id}"
        return [
            Route("GET", "/v1/promotions", self.show_some, Scope.PROMOTIONS_READ),
            Route("POST", "/v1/promotions", self.plan, Scope.PROMOTIONS_WRITE),
            Route("GET", "/v1/promotions/calendar.ics", self.calendar, Scope.PROMOTIONS_READ),
            Route("GET", "/v1/promotions/verdict", self.verdict, Scope.PROMOTIONS_READ),
            Route("GET", one, self.show, Scope.PROMOTIONS_READ),
            Route("GET", f"{one}/evidence/{{evidence_id}}", self.picture, Scope.PROMOTIONS_READ),
            Route("POST", f"{one}/{{action}}", self.act, Scope.PROMOTIONS_WRITE),
        ]

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with promotions by day, the earliest first: of an `application_key`, in a `state`."""
        query = request.query
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = _place(query["after"]) if "after" in query else None
        state = _state(query["state"]) if "state" in query else None
        async with self.database.connection() as connection:
            found = await promotions.find_promotions(connection, query.get("application_key"), state, after, limit + 1)
        shown = found[:limit]
        cursor = f"{shown[-1].day}_{shown[-1].id}" if len(found) > limit else None
        return page([report_of(promotion) for promotion in shown], cursor)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with all that is known of one promotion."""
        promotion_id = _id(request.match_info["id"])
        async with self.database.connection() as connection:
            return json_response(await self._report(connection, promotion_id))

    async def picture(self, request: web.Request) -> web.Response:
        """Answer with the picture of one piece of evidence."""
        ids = _id(request.match_info["id"]), _id(request.match_info["evidence_id"])
        async with self.database.connection() as connection:
            found = await evidence.find_picture(connection, *ids)
        if found is None:
            raise Problem(404, "Unknown picture", "This promotion has no such picture.")
        headers = {"Content-Type": found.media_type, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=found.content, headers=headers)

    async def calendar(self, request: web.Request) -> web.Response:
        """Answer with promotions and their open deadlines as an iCalendar file."""
        async with self.database.connection() as connection:
            found = await promotions.find_promotions(
                connection, request.query.get("application_key"), None, None, _IN_CALENDAR
            )
        planned = [promotion for promotion in found if promotion.state not in CALLED_OFF]
        return web.Response(body=calendar_of(planned, await self.clock.now()), content_type="text/calendar")

    async def verdict(self, request: web.Request) -> web.Response:
        """Answer whether an application can have a promotion on a day, and if not, why and when it can."""
        app = self._app(request.query.get("application_key", ""))
        async with self.database.connection() as connection:
            verdict, _ = await self._check(connection, app, request.query.get("day", ""), await self.clock.now())
        return json_response({"is_possible": verdict.is_possible, **asdict(verdict)})

    async def plan(self, request: web.Request) -> web.Response:
        """Plan a promotion; 409 with the broken rules and the next three possible days."""
        body = await read_body(request, Plan)
        app = self._app(body.application_key)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            verdict, earlier = await self._check(tx, app, body.day, now)
            if verdict.day is None or not verdict.is_possible:
                raise _refusal(verdict)
            change = actions.plan(app, verdict.day, body.by, now, earlier)
            try:
                await promotions.add_promotion(tx, change)
            except promotions.DayTaken as error:
                raise Problem(409, "Day taken", f"Somebody else has just planned one on {error}.") from error
            await append(tx, *change.events)
        async with self.database.connection() as connection:
            return json_response(await self._report(connection, change.promotion.id), status=201)

    async def act(self, request: web.Request) -> web.Response:
        """Do what a person wants done to a promotion; 409 with the reason where it cannot be done as it stands."""
        promotion_id = _id(request.match_info["id"])
        order = await _order(request)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            found = await promotions.lock_promotions(tx, [promotion_id])
            if promotion_id not in found:
                raise _unknown()
            await self._apply(tx, found[promotion_id], order, now)
        async with self.database.connection() as connection:
            return json_response(await self._report(connection, promotion_id))

    async def _apply(self, tx: Tx, promotion: Promotion, order: Order, now: datetime) -> None:
        app = self.config.app(promotion.application_key)
        discounts = () if app is None else prices_in(app, promotion.opens_at, promotion.closes_at).discounts
        # That the window is over may not have been written yet. Anything else can wait for the job that does so, which
        # also waits until all payments by then have been counted.
        passed = pass_time(promotion, now, discounts) if isinstance(order, Draw) else Change(promotion)
        try:
            outcome = order.apply(passed.promotion, now)
        except NotNow as error:
            raise Problem(409, "Not now", str(error)) from error
        change = replace(outcome.change, events=(*passed.events, *outcome.change.events))
        await promotions.save_changes(tx, {promotion.id: promotion}, [change])
        await draws.save_begun_draws(tx, [change], now)
        await draws.save_drawn(tx, {promotion.id: outcome.winners}, now)
        await append(tx, *change.events)

    async def _check(self, tx: Tx, app: App, day: str, now: datetime) -> tuple[Verdict, int]:
        """Return the verdict on a day, and how many promotions on it were called off."""
        days = await promotions.find_days(tx, app.application_key)
        taken = {each for each, state in days if state not in CALLED_OFF}
        try:
            verdict = check_day(day, now, taken, actions.terms_of(app))
        except NoDay as error:
            raise Problem(400, "Wrong day", str(error)) from error
        return verdict, sum(each == verdict.day for each, _ in days)

    async def _report(self, tx: Tx, promotion_id: UUID) -> object:
        found = await full_report(tx, self.config, promotion_id)
        if found is None:
            raise _unknown()
        return found

    def _app(self, application_key: str) -> App:
        app = self.config.app(application_key)
        if app is None:
            raise Problem(404, "Unknown application", f"The configuration has no application {application_key}.")
        return app


async def _order(request: web.Request) -> Order:
    action = request.match_info["action"]
    kind = ORDERS.get(action)
    if kind is None:
        raise Problem(404, "Unknown action", f"There are {', '.join(ORDERS)}.")
    if kind is Show and request.content_type in _PICTURES:
        return await _picture(request)
    return await read_body(request, kind)


async def _picture(request: web.Request) -> Order:
    file_name = request.query.get("file_name", "")
    try:
        # Decoding takes longer than a callback should wait for its answer.
        picture = await asyncio.to_thread(to_keep, file_name, await _bounded(request))
        return ShowPicture.model_validate({**request.query, "file_name": picture.file_name, "picture": picture})
    except NoPicture as error:
        raise Problem(400, "No picture", str(error)) from error
    except ValidationError as error:
        raise wrong_input("Wrong parameters", error) from error


async def _bounded(request: web.Request) -> bytes:
    taken = bytearray()
    async for chunk in request.content.iter_any():
        taken += chunk
        if len(taken) > MOST_BYTES:
            raise Problem(413, "Too large", f"A picture has at most {MOST_BYTES} bytes.")
    return bytes(taken)


def _refusal(verdict: Verdict) -> Problem:
    reasons = " ".join(broken.reason for broken in verdict.broken)
    days = ", ".join(map(str, verdict.alternatives)) or "none within a year"
    members = {"broken": [asdict(each) for each in verdict.broken], "alternatives": verdict.alternatives}
    return Problem(409, "OK's rules forbid this day", f"{reasons} The next possible days: {days}.", members)


def _unknown() -> Problem:
    return Problem(404, "Unknown promotion", "There is no such promotion.")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise _unknown() from error


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", f"state must be one of {', '.join(State)}") from error


def _place(text: str) -> tuple[date, UUID]:
    day, _, promotion_id = text.partition("_")
    try:
        return date.fromisoformat(day), UUID(promotion_id)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", "after must be a cursor that an earlier answer gave") from error
