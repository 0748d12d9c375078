import uuid
from datetime import date, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from okgames.events.base import Event, Topic


class PromotionStep(StrEnum):
    """Name what has to be done for a promotion, in the order of the deadlines."""

    REQUEST = "request"
    APPROVAL = "approval"
    PRIZE_FUND = "prize_fund"
    CONDITIONS_POST = "conditions_post"
    REHEARSAL = "rehearsal"
    NOTIFICATION = "notification"
    SCREENSHOT = "screenshot"
    PLACEMENT = "placement"
    DRAW = "draw"
    WINNER_POST = "winner_post"


class PromotionPost(StrEnum):
    CONDITIONS = "conditions"
    WINNER = "winner"


class Audience(StrEnum):
    """Say who gets a notification, in OK's words for `status` of `notifications.sendMass`."""

    ADMINS_ONLY = "ADMINS_ONLY"
    PUBLIC = "PUBLIC"


class Discount(BaseModel):
    """Name a product that is cheaper for the whole of a promotion than just before it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product: str
    name: str
    price_oks: int
    usual_price_oks: int


class Winner(BaseModel):
    """
    Name a winner and the prize; `name` is None where OK shows none, as with a closed or deleted profile.

    `is_payer` is False where our books hold no payment of theirs in the promotion's window: a person must look.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    uid: str
    prize_oks: int
    name: str | None
    profile_url: str
    is_payer: bool


class PromotionEvent(Event):
    """State a fact about one promotion: a Moscow `day` on which payers can win; `game` is the application's name."""

    topic = Topic.PROMOTIONS

    promotion_id: uuid.UUID
    game: str
    day: date

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.promotion_id}"


class PromotionScheduled(PromotionEvent):
    """A person planned a promotion for a day that OK's rules allow; `closes_at` is the midnight that ends it."""

    opens_at: AwareDatetime
    closes_at: AwareDatetime
    prizes_oks: tuple[int, ...]


class PromotionCancelled(PromotionEvent):
    """The promotion will not take place: a person cancelled it, or OK declined it."""

    reason: str


class JiraRequestDue(PromotionEvent):
    """A PROMO request is to be made in OK's JIRA before `due_by`, under a title that holds "1,000 OKs"."""

    title: str
    prizes_oks: tuple[int, ...]
    due_by: AwareDatetime


class JiraAttachmentDue(PromotionEvent):
    """
    A picture that a person uploaded is to be attached to the promotion's JIRA request.

    It lies at `GET /v1/promotions/{promotion_id}/evidence/{evidence_id}`; `sha256` is in hex.
    """

    evidence_id: uuid.UUID
    file_name: str
    media_type: str
    sha256: str
    due_by: AwareDatetime


class GroupPostDue(PromotionEvent):
    """
    A post is to be published in the game's group, not before `not_before` and before `due_by`.

    The window is from `opens_at` to `closes_at`, the midnight that ends it. `winners` is empty for the conditions.
    """

    post: PromotionPost
    opens_at: AwareDatetime
    closes_at: AwareDatetime
    prizes_oks: tuple[int, ...]
    winners: tuple[Winner, ...]
    not_before: AwareDatetime
    due_by: AwareDatetime


class NotificationDue(PromotionEvent):
    """
    A notification on OK's portal is to be sent, not before `not_before` and before `due_by`.

    `ADMINS_ONLY` is the rehearsal on the day before, `PUBLIC` the morning notification, which OK hides at `expires_at`.
    """

    audience: Audience
    prizes_oks: tuple[int, ...]
    not_before: AwareDatetime
    due_by: AwareDatetime
    expires_at: AwareDatetime


class PromotionOpened(PromotionEvent):
    """The window began; with what the game's launch screen needs."""

    opens_at: AwareDatetime
    closes_at: AwareDatetime
    prizes_oks: tuple[int, ...]
    discounts: tuple[Discount, ...]


class PromotionClosed(PromotionEvent):
    """The window is over; the figures are of the payments that were in our books by then."""

    closed_at: AwareDatetime
    payers: int
    payments: int
    amount_oks: int


class WinnerDrawn(PromotionEvent):
    """OK drew a winner and paid the prize; one event for each prize, `place` counts them from 1."""

    place: int
    winner: Winner


class DrawUnresolved(PromotionEvent):
    """It is not known whether OK drew and paid; it is never asked again, and a person has to find out."""

    reason: str
    attempted_at: AwareDatetime


class DeadlineNear(PromotionEvent):
    """A step that is not done has only `left` until its deadline, or less."""

    step: PromotionStep
    deadline: AwareDatetime
    left: timedelta


class DeadlineMissed(PromotionEvent):
    """A step was not done by its deadline."""

    step: PromotionStep
    deadline: AwareDatetime
