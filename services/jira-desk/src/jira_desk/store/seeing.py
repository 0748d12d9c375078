from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from jira_desk.domain.errand import Errand, ErrandKind, ErrandState, done, mark_in
from jira_desk.domain.following import Promise, View, follow
from jira_desk.domain.issue import Known, application_of, task_of
from jira_desk.domain.report_file import new_files
from jira_desk.domain.seen import SeenIssue
from jira_desk.domain.told import Made, tell_done, told_request
from jira_desk.domain.unfolding import Unfolding
from jira_desk.store.changes import save_changes
from jira_desk.store.errands import find_evidence_names, lock_errands, lock_followers, save_errands
from jira_desk.store.issues import find_issue, find_seen, lock_known
from jira_desk.store.report_files import add_reports
from okgames.catalogue import Config
from okgames.database import Tx
from okgames.events import JiraEvent
from okgames.jira_account import JiraTask

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sight:
    """Say of which kind of tasks something was seen, and under which names we write there."""

    config: Config
    task: JiraTask
    our_names: frozenset[str]


async def keep_seen(tx: Tx, sight: Sight, seen: Sequence[SeenIssue], now: datetime) -> list[JiraEvent]:
    """Keep what issues have become, as JIRA shows them, and return what is to be told of it."""
    found = await find_seen(tx, seen)
    changed = [each for each in seen if each.id not in found or found[each.id].updated_at != each.updated]
    if not changed:
        return []
    before = await lock_known(tx, {found[each.id].id for each in changed if each.id in found})
    requests = await _requests_of(tx, [each for each in changed if each.id not in found])
    evidence = await find_evidence_names(tx, before)
    unfoldings = []
    for each in changed:
        known = before.get(found[each.id].id) if each.id in found else None
        request = None if known is not None else requests.get(each.id)
        names = {} if known is None else evidence.get(known.issue.id, {})
        unfoldings.append(follow(known, each, _view(sight, each, request, names)))
    await keep_unfolded(tx, before, unfoldings, now)
    await add_reports(tx, _new_reports(before, unfoldings, sight.our_names), now)
    made = {
        requests[each.id].id: unfolding
        for each, unfolding in zip(changed, unfoldings, strict=True)
        if each.id in requests and each.id not in found
    }
    await settle_requests(tx, [request for request in requests.values() if request.id in made], made, sight.config, now)
    return [event for unfolding in unfoldings for event in unfolding.events]


async def keep_unfolded(tx: Tx, before: dict[UUID, Known], unfoldings: Sequence[Unfolding], now: datetime) -> None:
    """Keep what happened to issues, and raise the alarm for statuses that nobody mapped."""
    await save_changes(tx, before, unfoldings, now)
    for unfolding in unfoldings:
        for status in unfolding.unmapped:
            logger.error("jira_status_unmapped", status=status, issue_key=unfolding.issue.key)


async def settle_requests(
    tx: Tx, requests: Iterable[Errand], made: Mapping[UUID, Unfolding], config: Config, now: datetime
) -> None:
    """Note under which issue requests were made, and let go ahead what waits for these issues."""
    settled = [
        replace(done(request, made[request.id].issue.key, now), issue_id=made[request.id].issue.id)
        for request in requests
    ]
    await save_errands(tx, settled)
    followers = await lock_followers(tx, made)
    await save_errands(
        tx,
        [
            replace(ready(each, config, now), issue_id=made[each.after_id].issue.id)
            for each in followers
            if each.after_id is not None
        ],
    )


class CannotBeDone(Exception):
    """An errand cannot be what a person says; the text says why."""


async def keep_done(tx: Tx, errand: Errand, made: Made, config: Config, now: datetime) -> Unfolding:
    """Keep a person's word that an errand was done by hand, and return what follows; raise CannotBeDone."""
    if errand.kind is ErrandKind.REQUEST:
        if made.key is None:
            raise CannotBeDone("a request wants the key that JIRA gave it")
        if task_of(made.key, config.jira) is not errand.task:
            raise CannotBeDone(f"{made.key} is no {errand.task} task")
        if await find_issue(tx, made.key) is not None:
            raise CannotBeDone(f"{made.key} is there already")
        unfolding = told_request(made.key, errand, made.by, config.jira, now)
        await keep_unfolded(tx, {}, [unfolding], now)
        await settle_requests(tx, [errand], {errand.id: unfolding}, config, now)
        return unfolding
    if errand.issue_id is None:
        raise CannotBeDone("the request to which it belongs has not been made yet")
    before = await lock_known(tx, [errand.issue_id])
    unfolding = Unfolding(before[errand.issue_id], config.jira.statuses)
    result = tell_done(unfolding, errand, made.by, now)
    await keep_unfolded(tx, before, [unfolding], now)
    await save_errands(tx, [done(errand, result, now)])
    return unfolding


def ready(errand: Errand, config: Config, now: datetime) -> Errand:
    """Return an errand that nothing holds back: for the desk, or for a person where the project is done by hand."""
    if config.jira.project(errand.task).mode == "manual":
        return replace(errand, state=ErrandState.FOR_PERSON, next_at=None)
    return replace(errand, state=ErrandState.DUE, next_at=now)


async def _requests_of(tx: Tx, seen: Sequence[SeenIssue]) -> dict[str, Errand]:
    """Return the requests for which new issues were made, by JIRA's id."""
    marks = {each.id: mark for each in seen if (mark := mark_in(each)) is not None}
    errands = await lock_errands(tx, marks.values())
    found: dict[str, Errand] = {}
    for jira_id, mark in marks.items():
        errand = errands.get(mark)
        if errand is None or errand.kind is not ErrandKind.REQUEST:
            continue
        if errand.result is not None or errand in found.values():
            logger.error("jira_request_made_twice", errand_id=str(errand.id), issue_key=errand.result)
            continue
        found[jira_id] = errand
    return found


def _new_reports(
    before: dict[UUID, Known], unfoldings: Sequence[Unfolding], our_names: frozenset[str]
) -> list[tuple[UUID, str]]:
    return [
        (unfolding.issue.id, attachment_id)
        for unfolding in unfoldings
        for attachment_id in new_files(before.get(unfolding.issue.id), unfolding.known, our_names)
    ]


def _view(sight: Sight, seen: SeenIssue, request: Errand | None, evidence: Mapping[str, UUID]) -> View:
    config = sight.config
    promise = None
    if request is not None:
        promise = Promise(request.id, request.application_key, request.promotion_id, request.expected_oks)
    names = {app.application_key: app.name for app in config.apps}
    return View(
        # An issue may have been moved since it was wanted.
        task=task_of(seen.key, config.jira) or sight.task,
        application_key=application_of(seen.fields.summary, names),
        url=config.jira.url,
        our_names=sight.our_names,
        statuses=config.jira.statuses,
        promise=promise,
        evidence=evidence,
    )
