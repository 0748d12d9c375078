import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from aiohttp import web

from jira_desk.domain.issue import Issue, Known, application_of, task_of
from jira_desk.domain.meaning import meaning_of
from jira_desk.domain.orders import comment_errand, file_errand
from jira_desk.domain.report import ANSWERED, errand_row, full_row, issue_row
from jira_desk.domain.told import (
    Decide,
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
from jira_desk.http.parameters import known_app, named_file, one_of, read_file, window_page
from jira_desk.store import errands, issues, reports
from jira_desk.store.seeing import keep_unfolded, ready
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.events import derive_id
from okgames.http import Problem, json_response, page, query_int, read_body
from okgames.jira_account import JiraTask
from okgames.outbox import append
from okgames.service import Route, Scope

_MOST_BYTES: Final = 10 * 1024 * 1024


@dataclass(frozen=True)
class IssuesApi:
    """Show what we know of OK's issues, have comments and files added, and take people's word on what happens there."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        one = "/v1/jira/issues/{key}"
        return [
            Route("GET", "/v1/jira/issues", self.show_some, Scope.JIRA_READ),
            Route("GET", one, self.show, Scope.JIRA_READ),
            Route("POST", f"{one}/record", self.record, Scope.JIRA_WRITE),
            Route("POST", f"{one}/comments", self.comment, Scope.JIRA_WRITE),
            Route("POST", f"{one}/attachments", self.attach, Scope.JIRA_WRITE),
            Route("POST", f"{one}/fund", self.decide_fund, Scope.JIRA_WRITE),
            Route("POST", f"{one}/remarks", self.tick, Scope.JIRA_WRITE),
            Route("GET", "/v1/jira/questions", self.show_questions, Scope.JIRA_READ),
        ]

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with issues, in the order in which we heard of them: of a `task`, of an `application_key`."""
        query = request.query
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = query_int(request, "after", default=0, minimum=0, maximum=10**18)
        task = one_of(JiraTask, "task", query["task"]) if "task" in query else None
        async with self.database.connection() as connection:
            found = await issues.find_issues(connection, task, query.get("application_key"), after, limit + 1)
        return window_page([(position, issue_row(issue, self.config.jira)) for position, issue in found], limit)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with all that is known of an issue."""
        async with self.database.connection() as connection:
            return json_response(await self._full(connection, request.match_info["key"]))

    async def record(self, request: web.Request) -> web.Response:
        """Take a person's word on what happened in JIRA; of an issue that we do not know, too."""
        key, body = request.match_info["key"], await read_body(request, Record)
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
        body = await read_body(request, Say)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            issue = await self._find(tx, request.match_info["key"])
            text = self._text(issue, body)
            if body.template is Template.ACCOUNT:
                await reports.ask_access(tx, account_of(body), body.by, now)
            cause = derive_id("comment", issue.id, text, now.isoformat())
            errand = ready(comment_errand(cause, issue, text, body.by, now), self.config, now)
            await errands.add_errands(tx, [errand])
        return json_response(errand_row(errand, self.config.jira, issue.url), status=201)

    async def attach(self, request: web.Request) -> web.Response:
        """Have a file attached, which is the body; `by` and `file_name` stand in the query."""
        query = request.query
        file_name, by = named_file(query.get("file_name", ""), query.get("by", ""))
        content = await read_file(request, _MOST_BYTES)
        now = await self.clock.now()
        sha256 = hashlib.sha256(content).hexdigest()
        async with self.database.transaction() as tx:
            issue = await self._find(tx, request.match_info["key"])
            cause = derive_id("file", issue.id, file_name, sha256)
            errand = file_errand(cause, issue, None, file_name, request.content_type, sha256, by, now)
            await errands.add_file(tx, errand.id, file_name, request.content_type, sha256, content)
            await errands.add_errands(tx, [ready(errand, self.config, now)])
            kept = await errands.find_errand(tx, errand.id)
        return json_response(None if kept is None else errand_row(kept, self.config.jira, issue.url), status=201)

    async def decide_fund(self, request: web.Request) -> web.Response:
        """Take a person's word on the prize fund: the sum, or that a comment tells none."""
        key, body = request.match_info["key"], await read_body(request, Decide)
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
        key, body = request.match_info["key"], await read_body(request, Tick)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            before, unfolding = await self._locked(tx, key)
            remark = unfolding.known.remark(body.comment_id, body.text)
            if remark is None:
                raise Problem(404, "Unknown remark", f"{key} has no such remark.")
            unfolding.tick(remark, body.by if body.done else None, now)
            await self._keep(tx, before, unfolding, now)
            return json_response(await self._full(tx, key))

    async def show_questions(self, _request: web.Request) -> web.Response:
        """Answer with our comments that OK has not answered, the oldest first, with their age in hours."""
        async with self.database.connection() as connection:
            found = await reports.find_questions(connection)
        now = await self.clock.now()
        waiting = [each for each in found if meaning_of(self.config.jira.statuses, each.status) not in ANSWERED]
        rows = [{**asdict(each), "hours": int((now - each.asked_at) / timedelta(hours=1))} for each in waiting]
        return page(rows, None)

    def _begin(self, key: str, body: Record, now: datetime) -> Unfolding:
        task = task_of(key, self.config.jira)
        if task is None:
            raise Problem(404, "Unknown issue", f"{key} belongs to no project of jira.projects.")
        names = {app.application_key: app.name for app in self.config.apps}
        if body.application_key is not None:
            known_app(self.config, body.application_key)
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

    def _text(self, issue: Issue, body: Say) -> str:
        app = self.config.app(issue.application_key)
        try:
            return text_of(body, issue.task, "" if app is None else app.name, self.config.jira.language)
        except NoComment as error:
            raise Problem(400, "Wrong comment", f"{issue.key}: {error}") from error
