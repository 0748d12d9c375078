from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from okgames.catalogue import App
from okgames.events import PromotionStep, derive_id
from promo_scheduler.domain.calendar import MOSCOW, Terms, deadlines, moscow_time
from promo_scheduler.domain.promotion import (
    BEFORE_DRAW,
    CALLED_OFF,
    Change,
    Evidence,
    EvidenceKind,
    NotNow,
    Picture,
    Promotion,
    State,
    Step,
    StepState,
)
from promo_scheduler.domain.telling import (
    TITLE_MARK,
    attachment_due,
    cancelled,
    conditions_due,
    deadline_missed,
    jira_title,
    notification_due,
    rehearsal_due,
    request_due,
    scheduled,
)

_ACTIONS: Final = {
    PromotionStep.REQUEST: "request",
    PromotionStep.APPROVAL: "approve",
    PromotionStep.DRAW: "resolve",
}
"""Steps that have an action of their own, which also asks for what else it needs."""

_WITH_OK: Final = frozenset({PromotionStep.REQUEST, PromotionStep.APPROVAL, PromotionStep.PRIZE_FUND})
"""Steps that may have been done before anybody planned the promotion here."""


@dataclass(frozen=True, slots=True)
class Said:
    """Say who shows what: a link, a picture, an answer of OK's or their own word, and when the thing was done."""

    by: str
    kind: EvidenceKind
    text: str
    happened_at: datetime
    picture: Picture | None = None


def terms_of(app: App) -> Terms:
    return Terms(app.promotions.request_lead, app.promotions.offers_per_month)


def plan(app: App, day: date, by: str, now: datetime, earlier: int) -> Change:
    """Plan a promotion on a day that was checked; `earlier` ones on the day were called off."""
    settings = app.promotions
    steps = {
        each.step: Step(each.not_before, each.due_at) for each in deadlines(day, now, terms_of(app), settings.margin)
    }
    promotion = Promotion(
        id=derive_id("promotion", app.application_key, day, earlier),
        application_key=app.application_key,
        game=app.name,
        name=f"{app.name} {day}",
        day=day,
        opens_at=moscow_time(day),
        closes_at=moscow_time(day + timedelta(days=1)),
        prizes_oks=settings.prizes,
        is_automatic=settings.draw == "automatic",
        margin=settings.margin,
        planned_at=now,
        planned_by=by,
        steps=steps,
    )
    return Change(promotion, (scheduled(promotion), request_due(promotion)))


def request(promotion: Promotion, said: Said, title: str | None, now: datetime) -> Change:
    """Record that the request was sent to OK, under a title that OK accepts; raise NotNow."""
    _expect(promotion, State.PLANNED, "requested")
    if TITLE_MARK not in (title or jira_title(promotion)):
        raise NotNow(f'OK wants "{TITLE_MARK}" in the name of the request, which is "{title}".')
    done = _done(promotion, PromotionStep.REQUEST, said, now)
    return replace(done, promotion=replace(done.promotion, state=State.REQUESTED))


def approve(promotion: Promotion, said: Said, now: datetime) -> Change:
    """Record that OK approved: the posts and notifications can be prepared; raise NotNow."""
    _expect(promotion, State.REQUESTED, "approved")
    done = _done(promotion, PromotionStep.APPROVAL, said, now)
    approved = replace(done.promotion, state=State.APPROVED)
    due = (conditions_due(approved, now), rehearsal_due(approved, now), notification_due(approved, now))
    return replace(done, promotion=approved, events=(*done.events, *due))


def decline(promotion: Promotion, said: Said, now: datetime) -> Change:
    """Record that OK refused; raise NotNow."""
    _expect(promotion, State.REQUESTED, "declined")
    reason = f"OK declined: {said.text}"
    declined = replace(promotion, state=State.DECLINED, reason=reason)
    evidence = _evidence(promotion, PromotionStep.APPROVAL, said, now)
    return Change(declined, (cancelled(declined, now),), (evidence,))


def cancel(promotion: Promotion, by: str, reason: str, now: datetime) -> Change:
    """Call a promotion off; raise NotNow once the draw has begun."""
    if promotion.state not in BEFORE_DRAW:
        raise NotNow(f"It is too late to cancel: the promotion is {promotion.state}.")
    off = replace(promotion, state=State.CANCELLED, reason=f"{by}: {reason}")
    return Change(off, (cancelled(off, now),))


def confirm_fund(promotion: Promotion, said: Said, amount_oks: int, now: datetime) -> Change:
    """Record what OK put on the application's cashback account; raise NotNow."""
    _expect_approval(promotion)
    done = _done(promotion, PromotionStep.PRIZE_FUND, said, now)
    return replace(done, promotion=replace(done.promotion, fund_oks=amount_oks))


def show(promotion: Promotion, step: PromotionStep, said: Said, now: datetime) -> Change:
    """Record what shows that a step was done; raise NotNow."""
    if step in _ACTIONS:
        raise NotNow(f"The step {step} has an action of its own: {_ACTIONS[step]}.")
    _expect_approval(promotion)
    done = _done(promotion, step, said, now)
    moved = done.promotion
    match step:
        case PromotionStep.CONDITIONS_POST if promotion.state is State.APPROVED:
            moved = replace(moved, state=State.ANNOUNCED)
        case PromotionStep.NOTIFICATION if promotion.state is State.OPEN:
            moved = replace(moved, state=State.NOTIFIED)
        case PromotionStep.WINNER_POST if promotion.state is State.DRAWN:
            moved = replace(moved, state=State.PUBLISHED)
        case PromotionStep.WINNER_POST if promotion.state not in {State.PUBLISHED, State.COMPLETED}:
            raise NotNow(f"No winner has been drawn: the promotion is {promotion.state}.")
        case PromotionStep.SCREENSHOT if said.picture is not None:
            (evidence,) = done.evidence
            return replace(done, events=(*done.events, attachment_due(moved, evidence, said.picture)))
        case _:
            pass
    return replace(done, promotion=moved)


def note(promotion: Promotion, step: PromotionStep, said: Said, now: datetime) -> Change:
    """Keep what concerns a step without its being done by that."""
    return Change(promotion, evidence=(_evidence(promotion, step, said, now),))


def word_on_draw(promotion: Promotion, said: Said, now: datetime) -> Evidence:
    """Return a person's word, or OK's, on the draw."""
    return _evidence(promotion, PromotionStep.DRAW, said, now)


def _expect(promotion: Promotion, state: State, wanted: str) -> None:
    if promotion.state is not state:
        raise NotNow(f"Only a promotion that is {state} can be {wanted}; this one is {promotion.state}.")


def _expect_approval(promotion: Promotion) -> None:
    if promotion.state in CALLED_OFF:
        raise NotNow(f"The promotion will not take place: it is {promotion.state}.")
    if not promotion.is_done(PromotionStep.APPROVAL):
        raise NotNow(f"OK has not approved the promotion: it is {promotion.state}.")


def _done(promotion: Promotion, name: PromotionStep, said: Said, now: datetime) -> Change:
    step = promotion.steps[name]
    if said.happened_at > now:
        raise NotNow(f"The step {name} cannot have been done at {_shown(said.happened_at)}, which is still to come.")
    if said.happened_at < step.not_before and name not in _WITH_OK:
        raise NotNow(f"The step {name} cannot be done before {_shown(step.not_before)}.")
    evidence = _evidence(promotion, name, said, now)
    if step.is_done:
        return Change(promotion, evidence=(evidence,))
    # The time may not have been minded since the deadline: then nobody has been told.
    is_news = step.state is StepState.OPEN and said.happened_at > step.due_at
    missed = (deadline_missed(promotion, name, step.due_at),) if is_news else ()
    done = promotion.with_step(name, replace(step, state=StepState.DONE, done_at=said.happened_at))
    return Change(done, missed, (evidence,))


def _evidence(promotion: Promotion, step: PromotionStep, said: Said, now: datetime) -> Evidence:
    return Evidence(
        id=_evidence_id(promotion.id, step, said, now),
        promotion_id=promotion.id,
        step=step,
        kind=said.kind,
        text=said.text,
        by=said.by,
        happened_at=said.happened_at,
        recorded_at=now,
        picture=said.picture,
    )


def _evidence_id(promotion_id: UUID, step: PromotionStep, said: Said, now: datetime) -> UUID:
    content = said.text if said.picture is None else said.picture.sha256
    return derive_id("evidence", promotion_id, step, said.kind, content, said.by, now.isoformat())


def _shown(time: datetime) -> str:
    return f"{time.astimezone(MOSCOW):%Y-%m-%d %H:%M:%S} MSK"
