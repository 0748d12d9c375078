from dataclasses import dataclass

from aiohttp import web

from jira_desk.domain.meaning import meaning_of
from jira_desk.domain.report import project_row
from jira_desk.store import cursors, issues
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.http import json_response
from okgames.jira_account import JiraTask
from okgames.service import Route, Scope


@dataclass(frozen=True)
class ProjectsApi:
    """Show how each kind of tasks is dealt with, and have JIRA read."""

    database: Database
    clock: Clock
    config: Config

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/jira/projects", self.show_all, Scope.JIRA_READ),
            Route("POST", "/v1/jira/sync", self.sync, Scope.JIRA_WRITE),
        ]

    async def show_all(self, _request: web.Request) -> web.Response:
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
        return await self.show_all(request)
