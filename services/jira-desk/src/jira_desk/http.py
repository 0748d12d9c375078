import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from jira_desk.domain.errand import OPEN, Errand, ErrandKind, ErrandState, retried
from jira_desk.domain.issue import Issue, Known, application_of, task_of
from jira_desk.domain.meaning import meaning_of
from jira_desk.domain.orders import comment_errand, file_errand, request_errand
from jira_desk.domain.report import ANSWERED, errand_row, full_row, issue_row, project_row
from jira_desk.domain.requests import Request, ThousandOks, warnings_of
from jira_desk.domain.told import (
    Decide,
    Grant,
    Made,
    NoComment,
    NoDecision,
    Record,
    Say,
    Tick,
    account_of,
    decide,
    tell,
    text_of,
    told_issue,
)
from jira_desk.domain.unfolding import Unfolding
from jira_desk.domain.wording import Template
from jira_desk.store import cursors, errands, issues, reports
from jira_desk.store.seeing import CannotBeDone, keep_done, keep_unfolded, ready
from okgames.catalogue import App, Config
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.events import derive_id
from okgames.http import Problem, json_response, page, query_int
from okgames.jira_account import JiraTask
from okgames.outbox import append
from okgames.service import Route, Scope

_MOST_BYTES: Final = 10 * 1024 * 1024
_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)

B = TypeVar("B", bound=BaseModel)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Api:
    """Show what we know of OK's JIRA, take orders for it, and take people's word on what happens there."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        """Return the routes."""
        issue, errand = "/v1/jira/issues/{key}", "/v1/jira/errands/{id}"
        read, write = Scope.JIRA_READ, Scope.JIRA_WRITE
        return [
            Route("GET", "/v1/jira/issues", self.show_issues, read),
            Route("GET", issue, self.show_issue, read),
            Route("POST", f"{issue}/record", self.record, write),
            Route("POST", f"{issue}/comments", self.comment, write),
            Route("POST", f"{issue}/attachments", self.attach, write),
            Route("POST", f"{issue}/fund", self.decide_fund, write),
            Route("POST", f"{issue}/remarks", self.tick, write),
            Route("POST", "/v1/jira/requests", self.request, write),
            Route("GET", "/v1/jira/errands", self.show_errands, read),
            Route("GET", errand, self.show_errand, read),
            Route("POST", f"{errand}/done", self.finish, write),
            Route("POST", f"{errand}/retry", self.retry, write),
            Route("POST", f"{errand}/cancel", self.cancel, write),
            Route("GET", "/v1/jira/questions", self.show_questions, read),
            Route("GET", "/v1/jira/access", self.show_access, read),
            Route("POST", "/v1/jira/access/{id}", self.grant, write),
            Route("GET", "/v1/jira/projects", self.show_projects, read),
            Route("POST", "/v1/jira/sync", self.sync, write),
        ]

    async def show_issues(self, request: web.Request) -> web.Response:
        """Answer with issues, in the order in which we heard of them: of a `task`, of an `application_key`."""
        query = request.query
        after, limit = _window(request)
        task = _one_of(JiraTask, "task", query["task"]) if "task" in query else None
        async with self.database.connection() as connection:
            found = await issues.find_issues(connection, task, query.get("application_key"), after, limit + 1)
        return _page([(position, issue_row(issue, self.config.jira)) for position, issue in found], limit)

    async def show_issue(self, request: web.Request) -> web.Response:
        """Answer with all that is known of an issue."""
        async with self.database.connection() as connection:
            return json_response(await self._full(connection, request.match_info["key"]))

    async def record(self, request: web.Request) -> web.Response:
        """Take a person's word on what happened in JIRA; of an issue that we do not know, too."""
        key, body = request.match_info["key"], await _body(request, Record)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            issue = await issues.find_issue(tx, key)
            before = {} if issue is None else await issues.lock_known(tx, [issue.id])
            if issue is None:
                unfolding = self._begin(key, body, now)
            else:
                if issue.jira_id is not None and self.config.jira.project(issue.task).mode == "rest":
                    raise Problem(409, "Followed", f"{key} is followed in JIRA itself: say it there.")
                unfolding = Unfolding(before[issue.id], self.config.jira.statuses)
            tell(unfolding, body, now)
            await self._keep(tx, before, unfolding, now)
            return json_response(await self._full(tx, key))

    async def comment(self, request: web.Request) -> web.Response:
        """Have a comment made, with a text or from a template."""
        body = await _body(request, Say)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            issue = await self._find(tx, request.match_info["key"])
            text = self._text(issue, body)
            if body.template is Template.ACCOUNT:
                await reports.ask_access(tx, account_of(body), body.by, now)
            cause = derive_id("comment", issue.id, text, now.isoformat())
            errand = ready(comment_errand(cause, issue, text, body.by, now), self.config, now)
            await errands.add_errands(tx, [errand])
        return json_response(errand_row(errand, self.config.jira), status=201)

    async def attach(self, request: web.Request) -> web.Response:
        """Have a file attached, which is the body; `by` and `file_name` stand in the query."""
        query = request.query
        file_name, by = query.get("file_name", "").strip(), query.get("by", "").strip()
        if not (0 < len(file_name) <= 200 and "/" not in file_name and 0 < len(by) <= 200):
            raise Problem(400, "Wrong parameters", "give file_name, without a path, and by")
        content = await _bounded(request)
        now = await self.clock.now()
        sha256 = hashlib.sha256(content).hexdigest()
        async with self.database.transaction() as tx:
            issue = await self._find(tx, request.match_info["key"])
            cause = derive_id("file", issue.id, file_name, sha256)
            errand = file_errand(cause, issue, None, file_name, request.content_type, sha256, by, now)
            await errands.add_file(tx, errand.id, file_name, request.content_type, sha256, content)
            await errands.add_errands(tx, [ready(errand, self.config, now)])
            kept = await errands.find_errand(tx, errand.id)
        return json_response(None if kept is None else errand_row(kept, self.config.jira), status=201)

    async def decide_fund(self, request: web.Request) -> web.Response:
        """Take a person's word on the prize fund: the sum, or that a comment tells none."""
        key, body = request.match_info["key"], await _body(request, Decide)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            before, unfolding = await self._locked(tx, key)
            try:
                decide(unfolding, body, now)
            except NoDecision as error:
                raise Problem(409, "Cannot be decided", f"{key}: {error}") from error
            await self._keep(tx, before, unfolding, now)
            return json_response(await self._full(tx, key))

    async def tick(self, request: web.Request) -> web.Response:
        """Mark one of OK's remarks as dealt with."""
        key, body = request.match_info["key"], await _body(request, Tick)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            before, unfolding = await self._locked(tx, key)
            remark = unfolding.known.remark(body.comment_id, body.text)
            if remark is None:
                raise Problem(404, "Unknown remark", f"{key} has no such remark.")
            unfolding.tick(remark, body.by if body.done else None, now)
            await self._keep(tx, before, unfolding, now)
            return json_response(await self._full(tx, key))

    async def request(self, request: web.Request) -> web.Response:
        """Have a PROMO request made, or prepared for a person; the same request again changes nothing."""
        try:
            asked = _REQUEST.validate_json(await request.read())
        except ValidationError as error:
            raise _wrong(error) from error
        if isinstance(asked, ThousandOks) and asked.promotion_id is not None:
            raise Problem(
                400, "Wrong body", "promotion_id: a promotion's request is made when the promotion is planned"
            )
        app = self._app(asked.application_key)
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

    async def show_errands(self, request: web.Request) -> web.Response:
        """Answer with what is or was to be done in JIRA: of a `kind`, in a `state`."""
        query = request.query
        after, limit = _window(request)
        kind = _one_of(ErrandKind, "kind", query["kind"]) if "kind" in query else None
        state = _one_of(ErrandState, "state", query["state"]) if "state" in query else None
        async with self.database.connection() as connection:
            found = await errands.find_errands(connection, kind, state, after, limit + 1)
        return _page([(position, errand_row(errand, self.config.jira)) for position, errand in found], limit)

    async def show_errand(self, request: web.Request) -> web.Response:
        """Answer with an errand: for a request that a person makes, with all that is to be copied."""
        async with self.database.connection() as connection:
            errand = await errands.find_errand(connection, _id(request))
        if errand is None:
            raise _unknown_errand()
        return json_response(errand_row(errand, self.config.jira))

    async def finish(self, request: web.Request) -> web.Response:
        """Take a person's word that an errand was done by hand; for a request with the key that JIRA gave."""
        body = await _body(request, Made)
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
        return json_response(errand_row(again, self.config.jira))

    async def cancel(self, request: web.Request) -> web.Response:
        """Take back an order that has not been carried out."""
        async with self.database.transaction() as tx:
            errand = await self._open_errand(tx, request)
            if errand.must_look:
                raise Problem(409, "Not now", "It may have been done already: the desk looks for it first.")
            cancelled = replace(errand, state=ErrandState.CANCELLED, next_at=None)
            await errands.save_errands(tx, [cancelled])
        return json_response(errand_row(cancelled, self.config.jira))

    async def show_questions(self, _request: web.Request) -> web.Response:
        """Answer with our comments that OK has not answered, the oldest first, with their age in hours."""
        async with self.database.connection() as connection:
            found = await reports.find_questions(connection)
        now = await self.clock.now()
        waiting = [each for each in found if meaning_of(self.config.jira.statuses, each.status) not in ANSWERED]
        rows = [{**asdict(each), "hours": int((now - each.asked_at) / timedelta(hours=1))} for each in waiting]
        return page(rows, None)

    async def show_access(self, _request: web.Request) -> web.Response:
        """Answer with who of ours may use which kinds of tasks."""
        async with self.database.connection() as connection:
            return page(await reports.find_access(connection), None)

    async def grant(self, request: web.Request) -> web.Response:
        """Take a person's word that OK gave access or took it away."""
        body = await _body(request, Grant)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            is_known = await reports.grant_access(tx, _id(request), now, is_ended=body.state == "ended")
            if not is_known:
                raise Problem(404, "Unknown access", "Nobody has asked for this access.")
            return page(await reports.find_access(tx), None)

    async def show_projects(self, _request: web.Request) -> web.Response:
        """Answer with how each kind of tasks is dealt with, and how far it was read."""
        async with self.database.connection() as connection:
            read = {cursor.project: (cursor, at) for cursor, at in await cursors.find_cursors(connection)}
            statuses = await issues.count_by_status(connection)
        rows = [project_row(self.config.jira.project(task), read) for task in JiraTask]
        unmapped = [status for status in statuses if meaning_of(self.config.jira.statuses, status) is None]
        return json_response({"items": rows, "next": None, "unmapped_statuses": unmapped})

    async def sync(self, request: web.Request) -> web.Response:
        """Have JIRA read at once, but for projects that are put off after failures."""
        async with self.database.transaction() as tx:
            await cursors.hurry(tx, await self.clock.now())
        return await self.show_projects(request)

    def _begin(self, key: str, body: Record, now: datetime) -> Unfolding:
        task = task_of(key, self.config.jira)
        if task is None:
            raise Problem(404, "Unknown issue", f"{key} belongs to no project of jira.projects.")
        names = {app.application_key: app.name for app in self.config.apps}
        if body.application_key is not None:
            self._app(body.application_key)
        title = body.title or key
        application_key = body.application_key or application_of(title, names)
        return told_issue(key, task, application_key, title, body.by, self.config.jira, now)

    async def _keep(self, tx: Tx, before: dict[UUID, Known], unfolding: Unfolding, now: datetime) -> None:
        await keep_unfolded(tx, before, [unfolding], now)
        await append(tx, *unfolding.events)

    async def _full(self, tx: Tx, key: str) -> dict[str, object]:
        issue = await self._find(tx, key)
        known = await issues.load_known(tx, issue.id)
        assert known is not None, "it was there a moment ago, and issues are never removed"
        history = await reports.find_history(tx, issue.id)
        wanted = await errands.find_errands_of_issue(tx, issue.id)
        return full_row(known, history, wanted, self.config.jira)

    async def _find(self, tx: Tx, key: str) -> Issue:
        issue = await issues.find_issue(tx, key)
        if issue is None:
            raise Problem(404, "Unknown issue", f"We know no issue {key}.")
        return issue

    async def _locked(self, tx: Tx, key: str) -> tuple[dict[UUID, Known], Unfolding]:
        issue = await self._find(tx, key)
        before = await issues.lock_known(tx, [issue.id])
        return before, Unfolding(before[issue.id], self.config.jira.statuses)

    async def _open_errand(self, tx: Tx, request: web.Request) -> Errand:
        errand_id = _id(request)
        errand = (await errands.lock_errands(tx, [errand_id])).get(errand_id)
        if errand is None:
            raise _unknown_errand()
        if errand.state not in OPEN:
            raise Problem(409, "Not now", f"The errand is {errand.state}.")
        return errand

    def _text(self, issue: Issue, body: Say) -> str:
        app = self.config.app(issue.application_key)
        try:
            return text_of(body, issue.task, "" if app is None else app.name, self.config.jira.language)
        except NoComment as error:
            raise Problem(400, "Wrong comment", f"{issue.key}: {error}") from error

    def _app(self, application_key: str) -> App:
        app = self.config.app(application_key)
        if app is None:
            raise Problem(404, "Unknown application", f"The configuration has no application {application_key}.")
        return app


def _window(request: web.Request) -> tuple[int, int]:
    after = query_int(request, "after", default=0, minimum=0, maximum=2**62)
    return after, query_int(request, "limit", default=100, minimum=1, maximum=1000)


def _page(rows: Sequence[tuple[int, object]], limit: int) -> web.Response:
    shown = rows[:limit]
    return page([row for _, row in shown], str(shown[-1][0]) if len(rows) > limit else None)


async def _body(request: web.Request, model: type[B]) -> B:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise _wrong(error) from error


async def _bounded(request: web.Request) -> bytes:
    taken = bytearray()
    async for chunk in request.content.iter_any():
        taken += chunk
        if len(taken) > _MOST_BYTES:
            raise Problem(413, "Too large", f"A file has at most {_MOST_BYTES} bytes.")
    if not taken:
        raise Problem(400, "Wrong body", "The file is empty.")
    return bytes(taken)


def _wrong(error: ValidationError) -> Problem:
    found = error.errors(include_input=False, include_url=False)
    return Problem(400, "Wrong body", "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found))


def _unknown_errand() -> Problem:
    return Problem(404, "Unknown errand", "There is no such errand.")


def _id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["id"])
    except ValueError as error:
        raise Problem(404, "Unknown id", "This is no id of ours.") from error


def _one_of(kind: type[E], name: str, text: str) -> E:
    try:
        return kind(text)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", f"{name} must be one of {', '.join(kind)}") from error
