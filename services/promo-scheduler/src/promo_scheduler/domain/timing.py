from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from okgames.events import Discount, PromotionEvent, PromotionStep
from promo_scheduler.domain.draw import automatic_draw_at, begin_automatic_draw
from promo_scheduler.domain.promotion import (
    CALLED_OFF,
    REMINDERS,
    RUNNING,
    UPCOMING,
    Change,
    Promotion,
    State,
    Step,
    StepState,
)
from promo_scheduler.domain.telling import closed, deadline_missed, deadline_near, opened

_AFTER: Final = timedelta(microseconds=1)
"""A deadline is part of its time: it is missed with the next moment that the database can tell."""


def pass_time(promotion: Promotion, now: datetime, discounts: Sequence[Discount]) -> Change:
    """Say what the time alone makes of a promotion: reminders, missed deadlines, its window, an automatic draw."""
    moved, events = promotion, list[PromotionEvent]()
    if moved.state in UPCOMING and now >= moved.opens_at:
        # The notification may be told of before anybody has written that the window began.
        is_notified = moved.is_done(PromotionStep.NOTIFICATION)
        moved = replace(moved, state=State.NOTIFIED if is_notified else State.OPEN)
        events.append(opened(moved, discounts))
    if moved.state in RUNNING and now >= moved.closes_at:
        moved = replace(moved, state=State.CLOSED)
        events.append(closed(moved))
    if moved.state not in CALLED_OFF:
        for name, step in promotion.steps.items():
            reminded, told = _remind(moved, name, step, now)
            moved = moved.with_step(name, reminded)
            events += told
    if moved.state is State.PUBLISHED and now > _last_deadline(moved):
        moved = replace(moved, state=State.COMPLETED)
    draw = begin_automatic_draw(moved, now)
    if draw is not None:
        return replace(draw, events=tuple(events))
    return Change(moved, tuple(events))


def next_at(promotion: Promotion) -> datetime | None:
    """Return when the time will make something of a promotion, None where nothing is left to wait for."""
    return min(_moments(promotion), default=None)


def _remind(promotion: Promotion, name: PromotionStep, step: Step, now: datetime) -> tuple[Step, list[PromotionEvent]]:
    if step.state is not StepState.OPEN:
        return step, []
    if now > step.due_at:
        return replace(step, state=StepState.MISSED), [deadline_missed(promotion, name, step.due_at)]
    due = sum(step.due_at - left <= now for left in REMINDERS)
    if due <= step.reminded:
        return step, []
    # After a time in which nobody ran, the nearest one says it all.
    return replace(step, reminded=due), [deadline_near(promotion, name, step.due_at, REMINDERS[due - 1])]


def _moments(promotion: Promotion) -> Iterator[datetime]:
    if promotion.state in CALLED_OFF:
        return
    for step in promotion.steps.values():
        if step.state is StepState.OPEN and step.reminded < len(REMINDERS):
            yield step.due_at - REMINDERS[step.reminded]
        elif step.state is StepState.OPEN:
            yield step.due_at + _AFTER
    match promotion.state:
        case State.APPROVED | State.ANNOUNCED:
            yield promotion.opens_at
        case State.OPEN | State.NOTIFIED:
            yield promotion.closes_at
        case State.PUBLISHED:
            yield _last_deadline(promotion) + _AFTER
        case State.CLOSED if (draws_at := automatic_draw_at(promotion)) is not None:
            yield draws_at
        case _:
            pass


def _last_deadline(promotion: Promotion) -> datetime:
    return max(step.due_at for step in promotion.steps.values())
