from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from jira_desk.domain.answer import AccountRefused, JiraProblem, NotDone, NotLetIn
from jira_desk.domain.meaning import COMMON_STATUSES
from jira_desk.domain.paging import Cursor, advance, asked_from, put_off, query
from jira_desk.domain.seen import Myself, SeenPage
from jira_desk.domain.unfolding import Unfolding
from jira_desk.jira_client import JiraClient
from jira_desk.jobs.turns import alone
from jira_desk.store import cursors, issues
from jira_desk.store.seeing import Sight, keep_seen, keep_unfolded
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.jira_account import JiraMeaning, JiraProject, JiraTask
from okgames.outbox import append

_ISSUES_AT_ONCE: Final = 100

logger = structlog.get_logger()


@dataclass(frozen=True)
class Following:
    """Read what changed in JIRA, a page at a time, and tell of it."""

    database: Database
    clock: Clock
    config: Config
    client: JiraClient

    async def look(self, now: datetime) -> bool:
        """Read one page of each project that is due; True where more can be read at once."""
        by_key = {project.key: project for project in self.projects}
        if not by_key:
            return False
        async with self.database.transaction() as tx:
            await cursors.enter_projects(tx, list(by_key), now)
            due = await cursors.find_due_cursors(tx, list(by_key), now)
        if not due:
            return False
        async with alone(self.database) as is_alone:
            if not is_alone:
                return False
            has_more = await self._read_all(by_key, due, now)
        await self._reconsider()
        return has_more

    @property
    def projects(self) -> list[JiraProject]:
        """The projects that are followed by themselves."""
        return [project for task in JiraTask if (project := self.config.jira.project(task)).mode == "rest"]

    async def _read_all(self, by_key: Mapping[str, JiraProject], due: Sequence[Cursor], now: datetime) -> bool:
        has_more = False
        for place, cursor in enumerate(due):
            try:
                has_more |= await self._read(by_key[cursor.project], cursor, now)
            except AccountRefused as problem:
                # Each further try brings the account nearer to being locked.
                await self._put_off(due[place:], problem, now)
                break
            except JiraProblem as problem:
                await self._put_off([cursor], problem, now)
        return has_more

    async def _read(self, project: JiraProject, cursor: Cursor, now: datetime) -> bool:
        zone = _zone(await self.client.myself())
        page = await self.client.search(query(cursor, zone), asked_from(cursor))
        return await self._keep(project, advance(cursor, page, now, self.config.jira.every), page, now)

    async def _put_off(self, put: Sequence[Cursor], problem: JiraProblem, now: datetime) -> None:
        asked = problem.asked_wait if isinstance(problem, NotDone) else None
        event = "jira_lets_us_not_in" if isinstance(problem, NotLetIn) else "jira_not_read"
        async with self.database.transaction() as tx:
            for cursor in put:
                later = put_off(cursor, str(problem), asked, now, self.config.jira.every)
                await cursors.move_cursor(tx, later, None)
                if cursor.problem is None:
                    next_at = later.next_at.isoformat()
                    logger.error(event, project=cursor.project, reason=str(problem), next_at=next_at)

    async def _keep(self, project: JiraProject, cursor: Cursor, page: SeenPage, now: datetime) -> bool:
        sight = Sight(self.config, project.task, await self.client.our_names())
        async with self.database.transaction() as tx:
            if not await cursors.move_cursor(tx, cursor, now):
                return False
            events = await keep_seen(tx, sight, page.issues, now)
            await append(tx, *events)
        if events:
            logger.info("jira_read", project=project.key, issues=len(page.issues), events=len(events))
        return cursor.next_at <= now

    async def _reconsider(self) -> None:
        """Judge issues again whose status was mapped after they came to it."""
        statuses = {**COMMON_STATUSES, **{name.casefold(): each for name, each in self.config.jira.statuses.items()}}
        decisive = [name for name, each in statuses.items() if each in {JiraMeaning.APPROVED, JiraMeaning.DECLINED}]
        async with self.database.transaction() as tx:
            found = await issues.find_unjudged(tx, decisive, _ISSUES_AT_ONCE)
            if not found:
                return
            before = await issues.lock_known(tx, found)
            unfoldings = [Unfolding(known, self.config.jira.statuses) for known in before.values()]
            for unfolding in unfoldings:
                unfolding.reconsider()
            await keep_unfolded(tx, before, unfoldings, await self.clock.now())
            await append(tx, *(event for unfolding in unfoldings for event in unfolding.events))


def _zone(myself: Myself) -> ZoneInfo:
    try:
        return ZoneInfo(myself.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
