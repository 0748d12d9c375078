from dataclasses import dataclass

from aiohttp import web

from jira_desk.domain.told import Grant
from jira_desk.http.parameters import path_id
from jira_desk.store import reports
from okgames.clock import Clock
from okgames.database import Database
from okgames.http import Problem, page, read_body
from okgames.service import Route, Scope


@dataclass(frozen=True)
class AccessApi:
    """Show who of ours may use which kinds of tasks."""

    database: Database
    clock: Clock

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/jira/access", self.show_all, Scope.JIRA_READ),
            Route("POST", "/v1/jira/access/{id}", self.grant, Scope.JIRA_WRITE),
        ]

    async def show_all(self, _request: web.Request) -> web.Response:
        """Answer with who of ours may use which kinds of tasks."""
        async with self.database.connection() as connection:
            return page(await reports.find_access(connection), None)

    async def grant(self, request: web.Request) -> web.Response:
        """Take a person's word that OK gave access or took it away."""
        body = await read_body(request, Grant)
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            is_known = await reports.grant_access(tx, path_id(request), now, is_ended=body.state == "ended")
            if not is_known:
                raise Problem(404, "Unknown access", "Nobody has asked for this access.")
            return page(await reports.find_access(tx), None)
