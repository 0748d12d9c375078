import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote
from uuid import UUID

from aiohttp import web

from jira_desk.domain.issue import Known, application_of, task_of
from jira_desk.domain.report_file import (
    ReportFile,
    ReportNote,
    ReportState,
    kept,
    noted,
    report_id,
    retried,
    tell_file,
)
from jira_desk.domain.told import told_issue
from jira_desk.domain.unfolding import Unfolding
from jira_desk.http.parameters import known_app, named_file, one_of, path_id, read_file, window_page
from jira_desk.store import issues
from jira_desk.store.report_files import (
    add_content,
    add_reports,
    find_content,
    find_report,
    find_reports,
    lock_report,
    save_report,
)
from jira_desk.store.seeing import keep_unfolded
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.http import Problem, json_response, query_int, read_body
from okgames.jira_account import JiraTask
from okgames.outbox import append
from okgames.service import Route, Scope

_MOST_BYTES: Final = 20 * 1024 * 1024


@dataclass(frozen=True)
class ReportsApi:
    """Show and give out the files of REPORT tasks, and take those that people bring."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        one = "/v1/jira/reports/{id}"
        return [
            Route("GET", "/v1/jira/reports", self.show_some, Scope.JIRA_READ),
            Route("GET", one, self.show, Scope.JIRA_READ),
            Route("GET", f"{one}/content", self.content, Scope.JIRA_READ),
            Route("POST", one, self.note, Scope.JIRA_WRITE),
            Route("POST", f"{one}/retry", self.retry, Scope.JIRA_WRITE),
            Route("POST", "/v1/jira/issues/{key}/reports", self.keep, Scope.JIRA_WRITE),
        ]

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with files of REPORT tasks, the oldest first: of an `application_key`, a `month`, in a `state`."""
        query = request.query
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = query_int(request, "after", default=0, minimum=0, maximum=10**18)
        state = one_of(ReportState, "state", query["state"]) if "state" in query else None
        async with self.database.connection() as connection:
            found = await find_reports(
                connection, query.get("application_key"), query.get("month"), state, after, limit + 1
            )
        return window_page(found, limit)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with what is known of a file."""
        async with self.database.connection() as connection:
            return json_response(_present(await find_report(connection, path_id(request))))

    async def content(self, request: web.Request) -> web.Response:
        """Answer with the bytes of a file that is kept."""
        async with self.database.connection() as connection:
            file = _present(await find_report(connection, path_id(request)))
            if file.sha256 is None:
                raise Problem(409, "Not kept", f"{file.file_name} of {file.issue_key} is {file.state}.")
            content = await find_content(connection, file.sha256)
        # Whatever somebody attached, no browser is to run it.
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.file_name, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=content, content_type="application/octet-stream", headers=headers)

    async def note(self, request: web.Request) -> web.Response:
        """Take a person's word on which application or month a file reports."""
        file_id, body = path_id(request), await read_body(request, ReportNote)
        if body.application_key is not None:
            known_app(self.config, body.application_key)
        async with self.database.transaction() as tx:
            await save_report(tx, noted(_present(await lock_report(tx, file_id)), body))
            return json_response(await find_report(tx, file_id))

    async def retry(self, request: web.Request) -> web.Response:
        """Have a file fetched at once that could not be fetched."""
        file_id = path_id(request)
        async with self.database.transaction() as tx:
            file = _present(await lock_report(tx, file_id))
            if file.state is ReportState.KEPT:
                raise Problem(409, "Not now", "The file is kept already.")
            await save_report(tx, retried(file, await self.clock.now()))
            return json_response(await find_report(tx, file_id))

    async def keep(self, request: web.Request) -> web.Response:
        """Keep a file, which is the body, that a person took out of a REPORT task nobody follows for us."""
        query = request.query
        file_name, by = named_file(query.get("file_name", ""), query.get("by", ""))
        content = await read_file(request, _MOST_BYTES)
        sha256 = (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            before, unfolding = await self._locked(tx, request.match_info["key"], file_name, by, now)
            attachment_id = tell_file(unfolding, file_name, request.content_type, sha256, len(content), now)
            await keep_unfolded(tx, before, [unfolding], now)
            issue = unfolding.issue
            await add_reports(tx, [(issue.id, attachment_id)], now)
            file = _present(await lock_report(tx, report_id(issue.id, attachment_id)))
            if file.state is not ReportState.KEPT:
                guesses = [application_of(file_name, self._names), issue.application_key]
                await add_content(tx, sha256, content)
                await save_report(tx, kept(file, sha256, guesses, now))
            await append(tx, *unfolding.events)
            return json_response(await find_report(tx, file.id), status=201)

    async def _locked(
        self, tx: Tx, key: str, file_name: str, by: str, now: datetime
    ) -> tuple[dict[UUID, Known], Unfolding]:
        issue, jira = await issues.find_issue(tx, key), self.config.jira
        if issue is None:
            if task_of(key, jira) is not JiraTask.REPORT:
                raise Problem(404, "Unknown issue", f"{key} is no REPORT task.")
            application_key = application_of(file_name, self._names)
            return {}, told_issue(key, JiraTask.REPORT, application_key, key, by, jira, now)
        if issue.task is not JiraTask.REPORT:
            raise Problem(409, "Not there", f"{key} is a task of {issue.task}, not of REPORT.")
        if issue.jira_id is not None and jira.project(issue.task).mode == "rest":
            raise Problem(409, "Followed", f"{key} is followed in JIRA itself, and its files are fetched there.")
        before = await issues.lock_known(tx, [issue.id])
        return before, Unfolding(before[issue.id], jira.statuses)

    @property
    def _names(self) -> dict[str, str]:
        return {app.application_key: app.name for app in self.config.apps}


def _present(file: ReportFile | None) -> ReportFile:
    if file is None:
        raise Problem(404, "Unknown file", "There is no such file of a REPORT task.")
    return file
