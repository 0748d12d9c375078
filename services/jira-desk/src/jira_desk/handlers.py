from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

from jira_desk.domain.errand import OPEN, Errand, ErrandKind, ErrandState
from jira_desk.domain.orders import attachment_errand, request_errand
from jira_desk.domain.requests import ThousandOks
from jira_desk.store.errands import add_errands, lock_of_promotions, save_errands
from jira_desk.store.issues import find_promotions_issues
from jira_desk.store.seeing import ready
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import JiraAttachmentDue, JiraRequestDue, PromotionCancelled, PromotionEvent

Wish: TypeAlias = JiraRequestDue | JiraAttachmentDue | PromotionCancelled


async def on_promotions(clock: Clock, config: Config, tx: Tx, events: Sequence[Wish]) -> None:
    """Note what promotions want done in JIRA; the job does it, or a person."""
    now = await clock.now()
    ids = {event.promotion_id for event in events}
    there = {errand.id: errand for errand in await lock_of_promotions(tx, ids)}
    issues = await find_promotions_issues(tx, ids)
    wanted: dict[UUID, Errand] = {}
    ended: dict[UUID, Errand] = {}
    for event in events:
        known = [*there.values(), *wanted.values()]
        match event:
            case JiraRequestDue():
                asked = ThousandOks(
                    application_key=event.application_key,
                    by="okgames",
                    day=event.day,
                    prizes_oks=event.prizes_oks,
                    promotion_id=event.promotion_id,
                )
                errand = request_errand(
                    event.id, asked, event.game, config.jira, now, due_by=event.due_by, title=event.title
                )
                wanted[errand.id] = ready(errand, config, now)
            case JiraAttachmentDue():
                request = _request_of(known, event)
                errand = attachment_errand(event, None if request is None else request.id, now)
                issue = issues.get(event.promotion_id)
                if issue is not None:
                    errand = replace(ready(errand, config, now), issue_id=issue.id)
                wanted[errand.id] = errand
            case PromotionCancelled():
                for errand in known:
                    # What may have been made already is looked for, so that nobody has to wonder.
                    if errand.promotion_id == event.promotion_id and errand.state in OPEN and not errand.must_look:
                        stopped = replace(errand, state=ErrandState.CANCELLED, next_at=None, problem=event.reason)
                        (wanted if errand.id in wanted else ended)[errand.id] = stopped
    await add_errands(tx, list(wanted.values()))
    await save_errands(tx, list(ended.values()))


def _request_of(errands: Iterable[Errand], event: PromotionEvent) -> Errand | None:
    return next(
        (
            errand
            for errand in errands
            if errand.kind is ErrandKind.REQUEST and errand.promotion_id == event.promotion_id
        ),
        None,
    )
