from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final, Self, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from okgames.events import PromotionStep
from promo_scheduler.domain import actions
from promo_scheduler.domain.draw import Conclusion, begin_draw, resolve
from promo_scheduler.domain.promotion import EvidenceKind, Picture, Promotion

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=2000)]
Uid: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


class Order(BaseModel, ABC):
    """Hold what a person wants done; `by` says who, `at` when it happened where that is not now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Name
    at: AwareDatetime | None = None

    @abstractmethod
    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        """Say what it makes of a promotion; raise NotNow."""

    def _said(self, kind: EvidenceKind, text: str, now: datetime) -> actions.Said:
        return actions.Said(self.by, kind, text, self.at or now)


class Request(Order):
    link: Text
    title: Text | None = None

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        said = self._said(EvidenceKind.LINK, self.link, now)
        return Conclusion(actions.request(promotion, said, self.title, now))


class Approve(Order):
    link: Text

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        return Conclusion(actions.approve(promotion, self._said(EvidenceKind.LINK, self.link, now), now))


class Decline(Order):
    reason: Text

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        return Conclusion(actions.decline(promotion, self._said(EvidenceKind.WORD, self.reason, now), now))


class Cancel(Order):
    reason: Text

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        return Conclusion(actions.cancel(promotion, self.by, self.reason, now))


class Show(Order):
    """Show by a link, or by a `note` where there is none, that a step was done; `amount_oks` is the prize fund's."""

    step: PromotionStep
    link: Text | None = None
    note: Text | None = None
    amount_oks: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.link is None) == (self.note is None):
            raise ValueError("give a link or a note, or send a PNG or JPEG picture as the body")
        if (self.step is PromotionStep.PRIZE_FUND) != (self.amount_oks is not None):
            raise ValueError("the step prize_fund wants amount_oks, and no other does")
        return self

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        kind = EvidenceKind.WORD if self.link is None else EvidenceKind.LINK
        said = self._said(kind, self.link or self.note or "", now)
        if self.amount_oks is not None:
            return Conclusion(actions.confirm_fund(promotion, said, self.amount_oks, now))
        return Conclusion(actions.show(promotion, self.step, said, now))


class ShowPicture(Order):
    """Show by a picture, which travels beside the order, that a step was done."""

    step: PromotionStep
    file_name: Name
    picture: Picture

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        said = self._said(EvidenceKind.FILE, self.file_name, now)
        return Conclusion(actions.show(promotion, self.step, replace(said, picture=self.picture), now))


class Draw(Order):
    """Begin the draw; `name` is the promotion's, typed by a person."""

    name: str

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        return Conclusion(begin_draw(promotion, self.name, self.by, now))


class Resolve(Order):
    """Say what became of an unresolved draw; `winners` are uids in the order of the prizes, none where nobody won."""

    evidence: Text
    winners: Annotated[tuple[Uid, ...], Field(max_length=10)]

    def apply(self, promotion: Promotion, now: datetime) -> Conclusion:
        said = self._said(EvidenceKind.WORD, self.evidence, now)
        return resolve(promotion, self.winners, actions.word_on_draw(promotion, said, now))


ORDERS: Final[Mapping[str, type[Order]]] = MappingProxyType(
    {
        "request": Request,
        "approve": Approve,
        "decline": Decline,
        "evidence": Show,
        "draw": Draw,
        "resolve": Resolve,
        "cancel": Cancel,
    }
)
"""Orders by the name of the action."""
