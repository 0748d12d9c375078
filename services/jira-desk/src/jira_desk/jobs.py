import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import structlog

from jira_desk.domain.answer import JiraProblem, NotDone, NotLetIn, OutcomeUnknown, Refused
from jira_desk.domain.errand import Errand, ErrandKind, ErrandState, done, failed, find_result, is_marked, tried
from jira_desk.domain.meaning import COMMON_STATUSES
from jira_desk.domain.paging import Cursor, advance, asked_from, newest_of_ours, put_off, query
from jira_desk.domain.seen import Myself, SeenIssue, SeenPage
from jira_desk.domain.unfolding import Unfolding
from jira_desk.evidence_client import EvidenceClient
from jira_desk.jira_client import JiraClient
from jira_desk.store import cursors, errands, issues
from jira_desk.store.seeing import Sight, keep_seen, keep_unfolded
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.jira_account import JiraMeaning, JiraProject, JiraTask
from okgames.outbox import append

_ERRANDS_AT_ONCE: Final = 20
_ISSUES_AT_ONCE: Final = 100
_ONE_AT_A_TIME: Final = 5_210_602
"""Names the advisory lock of the copy of the desk that talks to JIRA."""

_PATIENCE_SECONDS: Final = 5

logger = structlog.get_logger()


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[bool]:
    """
    Tell whether this copy of the service may talk to JIRA now; no other may for as long as the context lasts.

    Those who wait get their turn in order, so that a long reading does not hold up a request.
    """
    connection = await database.connect()
    try:
        await connection.execute(f"set lock_timeout = '{_PATIENCE_SECONDS}s'")
        try:
            await connection.execute("select pg_advisory_lock($1)", _ONE_AT_A_TIME)
        except asyncpg.LockNotAvailableError:
            yield False
        else:
            yield True
    finally:
        connection.terminate()


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
            more = [await self._read(by_key[cursor.project], cursor, now) for cursor in due]
        await self._reconsider()
        return any(more)

    @property
    def projects(self) -> list[JiraProject]:
        """The projects that are followed by themselves."""
        return [project for task in JiraTask if (project := self.config.jira.project(task)).mode == "rest"]

    async def _read(self, project: JiraProject, cursor: Cursor, now: datetime) -> bool:
        log = logger.bind(project=project.key)
        try:
            myself = await self.client.myself()
            page = await self.client.search(query(cursor, _zone(myself)), asked_from(cursor))
        except JiraProblem as problem:
            wait = problem.asked_wait if isinstance(problem, NotDone) else None
            later = put_off(cursor, str(problem), wait, now, self.config.jira.every)
            if cursor.problem is None:
                event = "jira_lets_us_not_in" if isinstance(problem, NotLetIn) else "jira_not_read"
                log.error(event, reason=str(problem), next_at=later.next_at.isoformat())
            async with self.database.transaction() as tx:
                await cursors.move_cursor(tx, later, None)
            return False
        return await self._keep(project, advance(cursor, page, now, self.config.jira.every), page, myself, now)

    async def _keep(self, project: JiraProject, cursor: Cursor, page: SeenPage, myself: Myself, now: datetime) -> bool:
        sight = Sight(self.config, project.task, our_names(self.config, myself))
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


@dataclass(frozen=True)
class Running:
    """
    Run errands: make requests, comments and attachments in JIRA, each once.

    A try is committed before it is made. Where its outcome is not known, JIRA is looked at, some minutes later, before
    anything is made again; where it succeeded, JIRA is looked at as well, and what it shows is what counts.
    """

    database: Database
    clock: Clock
    config: Config
    client: JiraClient
    evidence: EvidenceClient

    async def look(self, now: datetime) -> bool:
        """Run some errands that are due; True where there may be more."""
        async with self.database.connection() as connection:
            if not await errands.is_any_due(connection, now):
                return False
        async with alone(self.database) as is_alone:
            if not is_alone:
                return False
            for _ in range(_ERRANDS_AT_ONCE):
                if not await self._run_one(now):
                    return False
        return True

    async def _run_one(self, now: datetime) -> bool:
        async with self.database.transaction() as tx:
            before = await errands.find_due_errand(tx, now)
            if before is None:
                return False
            if self.config.jira.project(before.task).mode == "manual":
                await errands.save_errands(tx, [replace(before, state=ErrandState.FOR_PERSON, next_at=None)])
                return True
            errand = tried(before, now)
            await errands.save_errands(tx, [errand])
        log = logger.bind(errand_id=str(errand.id), kind=errand.kind)
        try:
            seen, our = await self._do(before)
        except JiraProblem as problem:
            after = failed(errand, before, problem, await self.clock.now())
            if after.state is ErrandState.BLOCKED:
                log.error("jira_errand_blocked", reason=str(problem))
            else:
                log.warning("jira_errand_failed", reason=str(problem), outcome=problem.outcome)
            async with self.database.transaction() as tx:
                await errands.save_errands(tx, [after])
            return True
        await self._finish(errand, seen, our)
        log.info("jira_errand_done", issue_key=seen.key)
        return True

    async def _finish(self, errand: Errand, seen: SeenIssue, our: frozenset[str]) -> None:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            taken = await errands.find_results(tx, errand.issue_id, errand.kind) if errand.issue_id else []
            result = find_result(errand, seen, our, taken)
            events = await keep_seen(tx, Sight(self.config, errand.task, our), [seen], now)
            # A request may have been settled by now, when its issue was kept.
            current = (await errands.lock_errands(tx, [errand.id]))[errand.id]
            if current.state is not ErrandState.DONE and result is not None:
                await errands.save_errands(tx, [done(current, result, now)])
            await append(tx, *events)

    async def _do(self, errand: Errand) -> tuple[SeenIssue, frozenset[str]]:
        """Return the issue in which JIRA shows what was wanted."""
        our = our_names(self.config, await self.client.myself())
        if errand.kind is ErrandKind.REQUEST:
            return await self._request(errand), our
        assert errand.issue_id is not None, "a comment or a file waits for its issue"
        async with self.database.connection() as connection:
            known = await issues.load_known(connection, errand.issue_id)
            taken = await errands.find_results(connection, errand.issue_id, errand.kind)
        assert known is not None, "issues are never removed"
        key = known.issue.key
        content = await self._content(errand) if errand.kind is ErrandKind.ATTACHMENT else b""
        if errand.must_look or errand.kind is ErrandKind.ATTACHMENT:
            seen = await self.client.issue(key)
            if find_result(errand, seen, our, taken) is not None:
                return await self._verified(errand, seen, content), our
        if errand.kind is ErrandKind.ATTACHMENT:
            await self.client.attach(key, errand.file_name or "", content)
        else:
            await self.client.comment(key, errand.text)
        seen = await self._shown(key)
        if find_result(errand, seen, our, taken) is None:
            raise OutcomeUnknown("JIRA took it and does not show it")
        return await self._verified(errand, seen, content), our

    async def _request(self, errand: Errand) -> SeenIssue:
        project = self.config.jira.project(errand.task)
        if errand.must_look:
            page = await self.client.search(newest_of_ours(project.key))
            found = next((seen for seen in page.issues if is_marked(seen, errand.id)), None)
            if found is not None:
                return found
        return await self._shown(await self.client.create(await self._fields(project, errand)))

    async def _fields(self, project: JiraProject, errand: Errand) -> dict[str, object]:
        """Return what JIRA is given; raise Refused where it wants a field of which nobody told us."""
        issue_type = str(errand.fields["issue_type"])
        fields: dict[str, object] = {
            "project": {"key": project.key},
            "issuetype": {"name": issue_type},
            "summary": errand.title,
            "description": errand.text,
        }
        fields |= {project.fields[name]: value for name, value in errand.fields.items() if name in project.fields}
        meta = await self.client.create_meta(project.key, issue_type)
        lacking = [
            name for name, field in meta.items() if field.required and not field.has_default and name not in fields
        ]
        if lacking:
            raise Refused(f"JIRA wants {', '.join(sorted(lacking))}: name them in jira.projects.fields")
        return {name: value for name, value in fields.items() if name in meta or name in {"project", "issuetype"}}

    async def _shown(self, key: str) -> SeenIssue:
        try:
            return await self.client.issue(key)
        except JiraProblem as problem:
            # What was made is made, whatever is wrong with looking at it.
            raise OutcomeUnknown(str(problem)) from problem

    async def _content(self, errand: Errand) -> bytes:
        if errand.evidence_id is not None and errand.promotion_id is not None:
            return await self.evidence.picture(errand.promotion_id, errand.evidence_id, errand.sha256 or "")
        async with self.database.connection() as connection:
            content = await errands.find_file(connection, errand.id)
        if content is None:
            raise Refused("the file is not kept here any more")
        return content

    async def _verified(self, errand: Errand, seen: SeenIssue, content: bytes) -> SeenIssue:
        """Return the issue once JIRA gives back what was attached to it."""
        if errand.kind is ErrandKind.ATTACHMENT:
            attachment = next(each for each in seen.attachments if each.filename == errand.file_name)
            try:
                there = await self.client.attachment(attachment.id)
            except JiraProblem as problem:
                raise OutcomeUnknown(str(problem)) from problem
            if hashlib.sha256(there).digest() != hashlib.sha256(content).digest():
                raise Refused("JIRA gives back another file than was attached")
        return seen


def our_names(config: Config, myself: Myself) -> frozenset[str]:
    """Return the names under which we write in JIRA."""
    return frozenset({myself.known_as, *([config.jira.user] if config.jira.user else [])})


def _zone(myself: Myself) -> ZoneInfo:
    try:
        return ZoneInfo(myself.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
