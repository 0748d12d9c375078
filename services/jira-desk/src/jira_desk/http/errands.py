import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web
from pydantic import RootModel

from jira_desk.domain.errand import OPEN, Errand, ErrandKind, ErrandState, retried
from jira_desk.domain.orders import file_errand, request_errand
from jira_desk.domain.report import errand_row
from jira_desk.domain.requests import Request, ThousandOks, warnings_of
from jira_desk.domain.told import Made
from jira_desk.http.parameters import known_app, one_of, path_id, window_page
from jira_desk.store import errands, issues
from jira_desk.store.seeing import CannotBeDone, keep_done, ready
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.events import derive_id
from okgames.http import Problem, json_response, query_int, read_body
from okgames.outbox import append
from okgames.service import Route, Scope


class Asked(RootModel[Request]):
    """Say which of PROMO's requests is to be made."""


@dataclass(frozen=True)
class ErrandsApi:
    """Take orders for OK's JIRA, show what is to be done there, and take people's word that they did it."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        one = "/v1/jira/errands/{id}"
        return [
            Route("POST", "/v1/jira/requests", self.request, Scope.JIRA_WRITE),
            Route("GET", "/v1/jira/errands", self.show_some, Scope.JIRA_READ),
            Route("GET", one, self.show, Scope.JIRA_READ),
            Route("POST", f"{one}/done", self.finish, Scope.JIRA_WRITE),
            Route("POST", f"{one}/retry", self.retry, Scope.JIRA_WRITE),
            Route("POST", f"{one}/cancel", self.cancel, Scope.JIRA_WRITE),
        ]

    async def request(self, request: web.Request) -> web.Response:
        """Have a PROMO request made, or prepared for a person; the same request again changes nothing."""
        asked = (await read_body(request, Asked)).root
        if isinstance(asked, ThousandOks) and asked.promotion_id is not None:
            raise Problem(
                400, "Wrong body", "promotion_id: a promotion's request is made when the promotion is planned"
            )
        app = known_app(self.config, asked.application_key)
        now = await self.clock.now()
        lead = app.promotions.request_lead
        cause = derive_id("request", asked.model_dump_json(exclude={"by"}))
        errand = request_errand(cause, asked, app.name, self.config.jira, now, due_by=asked.due_by(lead))
        icon = asked.icon_content()
        async with self.database.transaction() as tx:
            await errands.add_errands(tx, [ready(errand, self.config, now)])
            if icon is not None:
                sha256 = hashlib.sha256(icon).hexdigest()
                file = file_errand(cause, None, errand, "icon.png", "image/png", sha256, asked.by, now)
                await errands.add_file(tx, file.id, "icon.png", "image/png", sha256, icon)
                await errands.add_errands(tx, [file])
            kept = await errands.find_errand(tx, errand.id)
        row = {} if kept is None else errand_row(kept, self.config.jira)
        return json_response({**row, "warnings": warnings_of(asked, lead, now)}, status=201)

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with what is or was to be done in JIRA: of a `kind`, in a `state`."""
        query = request.query
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = query_int(request, "after", default=0, minimum=0, maximum=10**18)
        kind = one_of(ErrandKind, "kind", query["kind"]) if "kind" in query else None
        state = one_of(ErrandState, "state", query["state"]) if "state" in query else None
        async with self.database.connection() as connection:
            found = await errands.find_errands(connection, kind, state, after, limit + 1)
            rows = await self._rows(connection, [errand for _, errand in found])
        return window_page([(position, row) for (position, _), row in zip(found, rows, strict=True)], limit)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with an errand: for a request that a person makes, with all that is to be copied."""
        async with self.database.connection() as connection:
            errand = await errands.find_errand(connection, path_id(request))
            if errand is None:
                raise _unknown_errand()
            (row,) = await self._rows(connection, [errand])
        return json_response(row)

    async def finish(self, request: web.Request) -> web.Response:
        """Take a person's word that an errand was done by hand; for a request with the key that JIRA gave."""
        body = await read_body(request, Made)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            errand = await self._open_errand(tx, request)
            try:
                unfolding = await keep_done(tx, errand, body, self.config, now)
            except CannotBeDone as error:
                raise Problem(409, "Cannot be done", str(error)) from error
            await append(tx, *unfolding.events)
            kept = await errands.find_errand(tx, errand.id)
        return json_response(None if kept is None else errand_row(kept, self.config.jira))

    async def retry(self, request: web.Request) -> web.Response:
        """Let an errand be tried at once that was blocked or is put off."""
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            errand = await self._open_errand(tx, request)
            if errand.state not in {ErrandState.BLOCKED, ErrandState.DUE}:
                raise Problem(409, "Not now", f"The errand is {errand.state}.")
            again = retried(ready(errand, self.config, now))
            await errands.save_errands(tx, [again])
            (row,) = await self._rows(tx, [again])
        return json_response(row)

    async def cancel(self, request: web.Request) -> web.Response:
        """Take back an order that has not been carried out."""
        async with self.database.transaction() as tx:
            errand = await self._open_errand(tx, request)
            if errand.must_look:
                raise Problem(409, "Not now", "It may have been done already: the desk looks for it first.")
            cancelled = replace(errand, state=ErrandState.CANCELLED, next_at=None)
            await errands.save_errands(tx, [cancelled])
        return json_response(errand_row(cancelled, self.config.jira))

    async def _rows(self, tx: Tx, found: Sequence[Errand]) -> list[dict[str, object]]:
        urls = await issues.find_urls(tx, {errand.issue_id for errand in found if errand.issue_id is not None})
        return [
            errand_row(errand, self.config.jira, None if errand.issue_id is None else urls[errand.issue_id])
            for errand in found
        ]

    async def _open_errand(self, tx: Tx, request: web.Request) -> Errand:
        errand_id = path_id(request)
        errand = (await errands.lock_errands(tx, [errand_id])).get(errand_id)
        if errand is None:
            raise _unknown_errand()
        if errand.state not in OPEN:
            raise Problem(409, "Not now", f"The errand is {errand.state}.")
        return errand


def _unknown_errand() -> Problem:
    return Problem(404, "Unknown errand", "There is no such errand.")
