from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from okgames.events import PromotionStep, Winner
from okgames.ok_answer import Answer, OkApiError, winners_of
from promo_scheduler.domain.calendar import MOSCOW
from promo_scheduler.domain.promotion import (
    BEFORE_APPROVAL,
    CALLED_OFF,
    RUNNING,
    UPCOMING,
    Change,
    Evidence,
    NotNow,
    Promotion,
    State,
    StepState,
)
from promo_scheduler.domain.telling import draw_unresolved, winner_drawn, winner_post_due

AUTOMATIC: Final = "okgames"
"""Who draws where the configuration says `draw = "automatic"`."""

WHAT_TO_LOOK_AT: Final = (
    "OK's notification on the portal: the winner gets one as soon as a prize is paid.",
    "The comments in the promotion's JIRA request; ask there whether the cashback account was debited.",
    "The CREDIT rows in OK's statistics of the day of the draw (payment.getDailyTransactionsFromServer).",
)
"""Where a person finds out what became of a draw whose answer nobody has."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Say who won which prize, before anybody has asked OK for names."""

    place: int
    uid: str
    prize_oks: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Say what a draw's answer makes of a promotion; `winners` is empty where it is unresolved."""

    change: Change
    winners: tuple[Drawn, ...] = ()


def obstacles(promotion: Promotion) -> tuple[str, ...]:
    """Name what keeps a promotion from being drawn, the time and a person's word left aside."""
    found = []
    match promotion.state:
        case state if state in BEFORE_APPROVAL | CALLED_OFF:
            found.append(f"The promotion is {state}, not approved.")
        case state if state in UPCOMING | RUNNING:
            found.append("The promotion is not over.")
        case State.CLOSED:
            pass
        case state:
            found.append(f"The draw was made or tried already: the promotion is {state}.")
    if promotion.fund_oks is None:
        found.append("OK has not confirmed the prize fund.")
    elif promotion.fund_oks < sum(promotion.prizes_oks):
        found.append(f"The prizes are {sum(promotion.prizes_oks)} OKs, the prize fund only {promotion.fund_oks}.")
    if not promotion.takings.payers:
        found.append("Our books hold nobody who paid during the promotion.")
    return tuple(found)


def automatic_draw_at(promotion: Promotion) -> datetime | None:
    """Return when a promotion is to be drawn without a person, None where it is not."""
    if not promotion.is_automatic or obstacles(promotion):
        return None
    begins = promotion.steps[PromotionStep.DRAW].not_before
    return begins if promotion.draws_at is None else max(begins, promotion.draws_at)


def begin_draw(promotion: Promotion, typed_name: str, by: str, now: datetime) -> Change:
    """Let a person begin the draw, who has typed the promotion's name; raise NotNow."""
    found = list(obstacles(promotion))
    begins = promotion.steps[PromotionStep.DRAW].not_before
    if now < begins and promotion.state is State.CLOSED:
        waits_until = f"{begins.astimezone(MOSCOW):%Y-%m-%d %H:%M} MSK"
        found.append(f"The draw waits until {waits_until} for payments that are told late.")
    if typed_name != promotion.name:
        found.append(f"Type the promotion's name, {promotion.name}, to say that its prizes are to be paid.")
    if found:
        raise NotNow(" ".join(found))
    return Change(replace(promotion, state=State.DRAWING), draw_by=by)


def begin_automatic_draw(promotion: Promotion, now: datetime) -> Change | None:
    begins = automatic_draw_at(promotion)
    if begins is None or now < begins:
        return None
    return Change(replace(promotion, state=State.DRAWING), draw_by=AUTOMATIC)


def conclude(promotion: Promotion, answer: Answer, attempted_at: datetime, evidence: Evidence) -> Conclusion:
    """Read OK's answer to payment.appCashback, which is kept already; anything but winners is for a person."""
    try:
        uids = winners_of(answer)
    except OkApiError as error:
        return unresolved(promotion, f"OK answered, but no winner: {error!r}", attempted_at, evidence)
    if not 0 < len(uids) <= len(promotion.prizes_oks):
        reason = f"OK named {len(uids)} winners for {len(promotion.prizes_oks)} prizes."
        return unresolved(promotion, reason, attempted_at, evidence)
    return _drawn(promotion, uids, evidence)


def unresolved(promotion: Promotion, reason: str, attempted_at: datetime, evidence: Evidence) -> Conclusion:
    """Stop for a person: OK may have paid, and asking again would pay again."""
    stopped = replace(promotion, state=State.UNRESOLVED, reason=reason)
    told = draw_unresolved(stopped, reason, attempted_at, evidence.recorded_at)
    return Conclusion(Change(stopped, (told,), (evidence,)))


def not_sent(promotion: Promotion, tries_again_at: datetime, evidence: Evidence) -> Change:
    """Take back a draw whose call surely never reached OK, so that it can be begun again."""
    return Change(replace(promotion, state=State.CLOSED, draws_at=tries_again_at), evidence=(evidence,))


def resolve(promotion: Promotion, uids: Sequence[str], evidence: Evidence) -> Conclusion:
    """
    Take a person's word for what became of an unresolved draw; raise NotNow.

    `uids` are the winners in the order of the prizes; where there are none, the promotion is over without one.
    """
    if promotion.state is not State.UNRESOLVED:
        raise NotNow(f"There is nothing to resolve: the promotion is {promotion.state}.")
    if len(uids) > len(promotion.prizes_oks):
        raise NotNow(f"There are {len(promotion.prizes_oks)} prizes for {len(uids)} winners.")
    if uids:
        return _drawn(promotion, uids, evidence)
    ended = replace(promotion, state=State.COMPLETED, reason=f"No winner was drawn, says {evidence.by}.")
    return Conclusion(Change(ended, evidence=(evidence,)))


def _drawn(promotion: Promotion, uids: Sequence[str], evidence: Evidence) -> Conclusion:
    step = replace(promotion.steps[PromotionStep.DRAW], state=StepState.DONE, done_at=evidence.happened_at)
    drawn = replace(promotion.with_step(PromotionStep.DRAW, step), state=State.DRAWN, reason=None)
    winners = [
        Drawn(place, uid, prize) for place, (uid, prize) in enumerate(zip(uids, promotion.prizes_oks, strict=False), 1)
    ]
    return Conclusion(Change(drawn, evidence=(evidence,)), tuple(winners))


def name_winners(promotion: Promotion, winners: Sequence[Winner], now: datetime) -> Change:
    """Tell others who won, by name, and that the post is due."""
    told = [winner_drawn(promotion, place, winner, now) for place, winner in enumerate(winners, 1)]
    return Change(promotion, (*told, winner_post_due(promotion, now, winners)))


def alarms(winners: Sequence[Winner]) -> list[str]:
    """Return the winners who, by our books, paid nothing during the promotion."""
    return [winner.uid for winner in winners if not winner.is_payer]
