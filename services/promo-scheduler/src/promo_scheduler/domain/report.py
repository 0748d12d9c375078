from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from okgames.events import PromotionStep
from promo_scheduler.domain.promotion import CALLED_OFF, EvidenceKind, Promotion, State, StepState, Takings
from promo_scheduler.domain.rules_kept import RuleReport
from promo_scheduler.domain.telling import jira_title


@dataclass(frozen=True, slots=True)
class StepReport:
    """Tell a person of a step; `in_time` is None while it is not done."""

    step: PromotionStep
    state: StepState
    not_before: datetime
    due_at: datetime
    done_at: datetime | None
    in_time: bool | None


@dataclass(frozen=True, slots=True)
class PictureReport:
    """Tell where a picture is, below the API's address, and what it is."""

    path: str
    file_name: str
    media_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    id: UUID
    step: PromotionStep
    kind: EvidenceKind
    text: str
    by: str
    happened_at: datetime
    recorded_at: datetime
    picture: PictureReport | None


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """Show OK's answer to the call that pays, as it came; `body` in UTF-8, with marks for what is none."""

    status: int
    invocation_error: str | None
    content_type: str
    body: str


@dataclass(frozen=True, slots=True)
class DrawReport:
    begun_at: datetime
    begun_by: str
    attempted_at: datetime | None
    answered_at: datetime | None
    answer: AnswerReport | None


@dataclass(frozen=True, slots=True)
class WinnerReport:
    place: int
    uid: str
    prize_oks: int
    name: str | None
    profile_url: str | None
    is_payer: bool | None


@dataclass(frozen=True, slots=True)
class PromotionReport:
    """Tell a person of a promotion in a list."""

    id: UUID
    application_key: str
    game: str
    name: str
    day: date
    state: State
    reason: str | None
    opens_at: datetime
    closes_at: datetime
    prizes_oks: tuple[int, ...]
    is_automatic: bool
    planned_at: datetime
    planned_by: str
    jira_title: str
    prize_fund_oks: int | None
    takings: Takings
    next_step: PromotionStep | None
    next_deadline: datetime | None
    steps: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True)
class FullReport(PromotionReport):
    """Tell a person all that is known of a promotion; `look_at` says where to find out about an unresolved draw."""

    evidence: Sequence[EvidenceReport]
    draw: DrawReport | None
    winners: Sequence[WinnerReport]
    rules: Sequence[RuleReport]
    warnings: Sequence[str]
    look_at: Sequence[str]


def report_of(promotion: Promotion) -> PromotionReport:
    """
    Return what a list shows of a promotion.

    The next step is the one with the next deadline that is not past; one that was called off has none.
    """
    steps = [
        StepReport(
            name, step.state, step.not_before, step.due_at, step.done_at, step.is_in_time if step.done_at else None
        )
        for name, step in promotion.steps.items()
    ]
    is_going_on = promotion.state not in CALLED_OFF
    waiting = next((step for step in steps if is_going_on and step.state is StepState.OPEN), None)
    return PromotionReport(
        id=promotion.id,
        application_key=promotion.application_key,
        game=promotion.game,
        name=promotion.name,
        day=promotion.day,
        state=promotion.state,
        reason=promotion.reason,
        opens_at=promotion.opens_at,
        closes_at=promotion.closes_at,
        prizes_oks=promotion.prizes_oks,
        is_automatic=promotion.is_automatic,
        planned_at=promotion.planned_at,
        planned_by=promotion.planned_by,
        jira_title=jira_title(promotion),
        prize_fund_oks=promotion.fund_oks,
        takings=promotion.takings,
        next_step=None if waiting is None else waiting.step,
        next_deadline=None if waiting is None else waiting.due_at,
        steps=tuple(steps),
    )
