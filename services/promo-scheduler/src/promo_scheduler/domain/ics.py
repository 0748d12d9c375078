from collections.abc import Iterable
from datetime import datetime
from typing import Final

from icalendar import Alarm, Calendar, Event

from promo_scheduler.domain.promotion import CALLED_OFF, Promotion, StepState

_PRODUCT: Final = "-//okgames//promo-scheduler//EN"


def calendar_of(promotions: Iterable[Promotion], now: datetime) -> bytes:
    """Return promotions and the deadlines of their open steps as an iCalendar file, whose times are in UTC."""
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", "1,000 OKs")
    for promotion in promotions:
        for event in _events(promotion, now):
            calendar.add_component(event)
    return bytes(calendar.to_ical())


def _events(promotion: Promotion, now: datetime) -> Iterable[Event]:
    summary = f"1,000 OKs: {promotion.game} ({promotion.state})"
    yield _event(str(promotion.id), summary, promotion.opens_at, promotion.closes_at, now)
    if promotion.state in CALLED_OFF:
        return
    for name, step in promotion.steps.items():
        if step.state is StepState.OPEN:
            summary = f"{promotion.game}: {name.replace('_', ' ')} is due"
            event = _event(f"{promotion.id}-{name}", summary, step.due_at, step.due_at, now)
            event.add_component(_alarm(summary))
            yield event


def _event(uid: str, summary: str, begins: datetime, ends: datetime, now: datetime) -> Event:
    event = Event()
    event.add("uid", f"{uid}@okgames")
    event.add("dtstamp", now)
    event.add("dtstart", begins)
    event.add("dtend", ends)
    event.add("summary", summary)
    return event


def _alarm(summary: str) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", summary)
    alarm["trigger"] = "-PT1H"
    return alarm
