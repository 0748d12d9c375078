from dataclasses import dataclass

from okgames.events import PromotionStep
from promo_scheduler.domain.calendar import MOSCOW, RULES, Rule
from promo_scheduler.domain.promotion import Promotion, StepState
from promo_scheduler.domain.telling import TITLE_MARK


@dataclass(frozen=True, slots=True)
class RuleReport:
    """Say whether a promotion keeps one of OK's nine rules; `kept` is None while that is not known."""

    rule: Rule
    text: str
    kept: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Finding:
    kept: bool | None
    reason: str


def rules_kept(promotion: Promotion, offers_approved: int | None, offers_planned: int) -> list[RuleReport]:
    """Say of each of OK's nine rules whether it is kept; the offers are those of the promotion's month."""
    findings = {
        Rule.DAY: _Finding(True, f"{promotion.day} is a {promotion.day:%A}."),
        Rule.WINDOW: _Finding(True, "The window is the whole day, and the draw asks for nothing else."),
        Rule.MORNING: _all_of(promotion, PromotionStep.NOTIFICATION, PromotionStep.SCREENSHOT, PromotionStep.PLACEMENT),
        Rule.TITLE: _title(promotion),
        Rule.REQUEST: _all_of(promotion, PromotionStep.REQUEST),
        Rule.PRIZE_FUND: _fund(promotion),
        Rule.CONDITIONS: _conditions(promotion),
        Rule.OFFERS: _offers(offers_approved, offers_planned),
        Rule.WINNER: _all_of(promotion, PromotionStep.WINNER_POST),
    }
    return [RuleReport(rule, RULES[rule], found.kept, found.reason) for rule, found in findings.items()]


def _all_of(promotion: Promotion, *steps: PromotionStep) -> _Finding:
    verdicts = [_in_time(promotion, step) for step in steps]
    reason = " ".join(verdict.reason for verdict in verdicts)
    if any(verdict.kept is False for verdict in verdicts):
        return _Finding(False, reason)
    return _Finding(None if any(verdict.kept is None for verdict in verdicts) else True, reason)


def _in_time(promotion: Promotion, name: PromotionStep) -> _Finding:
    step = promotion.steps[name]
    what = f"{name.replace('_', ' ')}".capitalize()
    due = f"{step.due_at.astimezone(MOSCOW):%Y-%m-%d %H:%M} MSK"
    if step.done_at is not None:
        done = f"{step.done_at.astimezone(MOSCOW):%Y-%m-%d %H:%M} MSK"
        return _Finding(step.is_in_time, f"{what}: done {done}, due {due}.")
    if step.state is StepState.MISSED:
        return _Finding(False, f"{what}: not done, due {due}.")
    return _Finding(None, f"{what}: due {due}.")


def _title(promotion: Promotion) -> _Finding:
    if promotion.is_done(PromotionStep.REQUEST):
        return _Finding(True, f'The request was recorded under a name with "{TITLE_MARK}".')
    return _Finding(None, "No request is recorded.")


def _fund(promotion: Promotion) -> _Finding:
    prizes = sum(promotion.prizes_oks)
    if promotion.fund_oks is None:
        is_over = promotion.steps[PromotionStep.PRIZE_FUND].state is StepState.MISSED
        return _Finding(False if is_over else None, "OK has not confirmed the prize fund.")
    return _Finding(promotion.fund_oks >= prizes, f"OK confirmed {promotion.fund_oks} OKs for prizes of {prizes}.")


def _conditions(promotion: Promotion) -> _Finding:
    found = _all_of(promotion, PromotionStep.CONDITIONS_POST)
    posted, approved = (
        promotion.steps[step].done_at for step in (PromotionStep.CONDITIONS_POST, PromotionStep.APPROVAL)
    )
    if posted is not None and approved is not None and posted < approved:
        return _Finding(False, f"{found.reason} That was before the approval.")
    return found


def _offers(approved: int | None, planned: int) -> _Finding:
    if approved is None:
        return _Finding(None, "The configuration does not say how many OK approved (offers_per_month).")
    return _Finding(planned <= approved, f"{planned} of {approved} in the month.")
