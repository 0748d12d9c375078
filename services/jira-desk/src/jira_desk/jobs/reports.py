import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from jira_desk.domain.answer import AccountRefused, JiraProblem
from jira_desk.domain.issue import application_of
from jira_desk.domain.report_file import ReportFile, ReportState, claimed, kept, not_fetched
from jira_desk.jira_client import JiraClient
from jira_desk.jobs.turns import alone
from jira_desk.store import report_files
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.jira_account import JiraTask

_FILES_AT_ONCE: Final = 5

logger = structlog.get_logger()


@dataclass(frozen=True)
class Fetching:
    """
    Fetch the files of REPORT tasks, and keep them.

    A claim is committed before the fetch and ends by itself, so that a file is fetched again if the process dies
    before it is kept; it is kept once.
    """

    database: Database
    clock: Clock
    config: Config
    client: JiraClient

    async def look(self, now: datetime) -> bool:
        """Fetch some files that are due; True where there may be more."""
        if self.config.jira.project(JiraTask.REPORT).mode == "manual":
            return False
        async with self.database.connection() as connection:
            if not await report_files.is_any_report_due(connection, now):
                return False
        async with alone(self.database) as is_alone:
            if not is_alone:
                return False
            for _ in range(_FILES_AT_ONCE):
                if not await self._fetch_one(now):
                    return False
        return True

    async def _fetch_one(self, now: datetime) -> bool:
        async with self.database.transaction() as tx:
            found = await report_files.find_due_report(tx, now)
            if found is None:
                return False
            file = claimed(found, now)
            await report_files.save_report(tx, file)
        log = logger.bind(issue_key=file.issue_key, file_name=file.file_name)
        try:
            content = await self.client.attachment(file.attachment_id)
        except JiraProblem as problem:
            after = await self._put_off(file, problem)
            if after.state is ReportState.BLOCKED:
                log.error("jira_report_blocked", reason=str(problem))
            else:
                log.warning("jira_report_not_fetched", reason=str(problem))
            return True
        await self._keep(file, content)
        log.info("jira_report_kept", size=len(content))
        return True

    async def _put_off(self, file: ReportFile, problem: JiraProblem) -> ReportFile:
        now = await self.clock.now()
        async with self.database.transaction() as tx:
            current = await report_files.lock_report(tx, file.id)
            assert current is not None, "files of reports are never removed"
            after = not_fetched(current, problem, now)
            await report_files.save_report(tx, after)
            if isinstance(problem, AccountRefused) and after.next_at is not None:
                await report_files.put_off_reports(tx, after.next_at)
        return after

    async def _keep(self, file: ReportFile, content: bytes) -> None:
        sha256 = (await asyncio.to_thread(hashlib.sha256, content)).hexdigest()
        now = await self.clock.now()
        names = {app.application_key: app.name for app in self.config.apps}
        async with self.database.transaction() as tx:
            current = await report_files.lock_report(tx, file.id)
            assert current is not None, "files of reports are never removed"
            if current.state is ReportState.KEPT:
                return
            guesses = [application_of(text, names) for text in (current.file_name, current.issue_title)]
            await report_files.add_content(tx, sha256, content)
            await report_files.save_report(tx, kept(current, sha256, guesses, now))
