import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from jira_desk.domain.answer import AccountRefused, JiraProblem, OutcomeUnknown, Refused
from jira_desk.domain.errand import Errand, ErrandKind, ErrandState, done, failed, find_result, is_marked, tried
from jira_desk.domain.paging import newest_of_ours
from jira_desk.domain.seen import SeenIssue
from jira_desk.evidence_client import EvidenceClient
from jira_desk.jira_client import JiraClient
from jira_desk.jobs.turns import alone
from jira_desk.store import errands, issues
from jira_desk.store.seeing import Sight, keep_seen
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.jira_account import JiraProject
from okgames.outbox import append

_ERRANDS_AT_ONCE: Final = 20

logger = structlog.get_logger()


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
                # A person may have done it by hand meanwhile.
                if (await errands.lock_errands(tx, [errand.id]))[errand.id].state is ErrandState.DUE:
                    await errands.save_errands(tx, [after])
                if isinstance(problem, AccountRefused) and after.next_at is not None:
                    await errands.put_off_errands(tx, after.next_at)
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
        our = await self.client.our_names()
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
