from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from okgames.events import PromotionEvent, PromotionStep

DAY: Final = timedelta(days=1)

REMINDERS: Final = (timedelta(hours=24), timedelta(hours=3), timedelta(hours=1), timedelta(minutes=15))
"""How long before a deadline a person is reminded of a step that is still open."""


class State(StrEnum):
    """
    Say how far a promotion has come.

    From `open` to `closed` payers can win; it is `notified` once the morning notification has gone out, for which OK
    wants the day itself.
    """

    PLANNED = "planned"
    REQUESTED = "requested"
    APPROVED = "approved"
    DECLINED = "declined"
    ANNOUNCED = "announced"
    OPEN = "open"
    NOTIFIED = "notified"
    CLOSED = "closed"
    DRAWING = "drawing"
    DRAWN = "drawn"
    UNRESOLVED = "unresolved"
    PUBLISHED = "published"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


BEFORE_APPROVAL: Final = frozenset({State.PLANNED, State.REQUESTED})
UPCOMING: Final = frozenset({State.APPROVED, State.ANNOUNCED})
RUNNING: Final = frozenset({State.OPEN, State.NOTIFIED})
BEFORE_DRAW: Final = BEFORE_APPROVAL | UPCOMING | RUNNING | {State.CLOSED}
CALLED_OFF: Final = frozenset({State.DECLINED, State.CANCELLED})
ENDED: Final = CALLED_OFF | {State.COMPLETED}


class StepState(StrEnum):
    OPEN = "open"
    DONE = "done"
    MISSED = "missed"


class NotNow(Exception):
    """A promotion does not take this step where it stands; the text says why, for a person to read."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    Hold a step's window, and what became of it.

    A missed step can still be done, late. `reminded` counts the reminders of REMINDERS that are told or passed over.
    """

    not_before: datetime
    due_at: datetime
    state: StepState = StepState.OPEN
    done_at: datetime | None = None
    reminded: int = 0

    @property
    def is_done(self) -> bool:
        return self.state is StepState.DONE

    @property
    def is_in_time(self) -> bool:
        return self.done_at is not None and self.done_at <= self.due_at


class EvidenceKind(StrEnum):
    LINK = "link"
    FILE = "file"
    ANSWER = "answer"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class Picture:
    """Hold a picture that was really decoded; `sha256` is in hex."""

    file_name: str
    media_type: str
    sha256: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    Hold what shows that a step was done: who says so, since when, and where one can look.

    `text` is a link, an answer of OK's, or a person's own words, by the kind. `happened_at` is when it was done.
    """

    id: UUID
    promotion_id: UUID
    step: PromotionStep
    kind: EvidenceKind
    text: str
    by: str
    happened_at: datetime
    recorded_at: datetime
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Takings:
    """Say what our books hold of a promotion's window."""

    payers: int = 0
    payments: int = 0
    amount_oks: int = 0


@dataclass(frozen=True, slots=True)
class Promotion:
    """Hold one promotion; `fund_oks` is None until OK has confirmed the prize fund."""

    id: UUID
    application_key: str
    game: str
    name: str
    day: date
    opens_at: datetime
    closes_at: datetime
    prizes_oks: tuple[int, ...]
    is_automatic: bool
    margin: timedelta
    planned_at: datetime
    planned_by: str
    steps: Mapping[PromotionStep, Step]
    state: State = State.PLANNED
    reason: str | None = None
    fund_oks: int | None = None
    draws_at: datetime | None = None
    takings: Takings = field(default=Takings())

    def with_step(self, step: PromotionStep, changed: Step) -> "Promotion":
        return replace(self, steps={**self.steps, step: changed})

    def is_done(self, step: PromotionStep) -> bool:
        return self.steps[step].is_done


@dataclass(frozen=True, slots=True)
class Change:
    """
    Say what a promotion becomes, what others are told of it, and what is kept as evidence.

    `draw_by` names who has begun the draw, None where nobody has.
    """

    promotion: Promotion
    events: tuple[PromotionEvent, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    draw_by: str | None = None
