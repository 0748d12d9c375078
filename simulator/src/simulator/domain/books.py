from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from okgames.ok_protocol import CallbackAction
from simulator.chance import Chance
from simulator.domain.attempts import Attempt
from simulator.domain.callbacks import Callback, Player
from simulator.domain.subscriptions import Subscription


class NoticeStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Purse(StrEnum):
    """Say where the money of a charge came from, which the callback does not tell."""

    OKS = "oks"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    Record what OK told the game, or still means to tell, and what it concluded.

    `number` is its place in the books, `chance` what everything about it is drawn from.
    `was_accepted` is what OK cannot know: whether the game ever said true. Where it did and OK gave up, the game
    granted what OK took back.
    """

    number: int
    chance: Chance
    callback: Callback
    purse: Purse
    is_renewal: bool
    status: NoticeStatus = NoticeStatus.PENDING
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_payment(self) -> bool:
        return bool(self.callback.transaction_id)

    @property
    def is_cancellation(self) -> bool:
        return self.callback.change is not None and self.callback.change.action is CallbackAction.UNSUBSCRIBE

    @property
    def was_accepted(self) -> bool:
        return any(attempt.was_accepted for attempt in self.attempts)


@dataclass(frozen=True, slots=True)
class RefundEntry:
    """Record OKs given back: a CREDIT row in OK's statistics and nothing else."""

    notice: int
    at: datetime


@dataclass
class ExtraCalls:
    """Count the calls beside the attempts, and those whose answer was wrong."""

    duplicates: int = 0
    duplicates_answered_differently: int = 0
    forgeries: int = 0
    forgeries_accepted: int = 0


SubscriptionKey: TypeAlias = tuple[Player, str]


@dataclass
class Books:
    """Keep what OK believes."""

    notices: list[Notice] = field(default_factory=list)
    subscriptions: dict[SubscriptionKey, Subscription] = field(default_factory=dict)
    refunds: list[RefundEntry] = field(default_factory=list)
    extra_calls: ExtraCalls = field(default_factory=ExtraCalls)
    _seen: defaultdict[SubscriptionKey, int] = field(default_factory=lambda: defaultdict(int))

    def ordinal(self, player: Player, product: str) -> int:
        """Number what happens next to a player's product, whatever other players do meanwhile."""
        self._seen[player, product] += 1
        return self._seen[player, product]

    def open_notice(self, chance: Chance, callback: Callback, purse: Purse, *, is_renewal: bool) -> Notice:
        notice = Notice(len(self.notices), chance, callback, purse, is_renewal)
        self.notices.append(notice)
        return notice

    def record(self, notice: Notice, attempts: Sequence[Attempt], status: NoticeStatus) -> Notice:
        """Add attempts to a notice and return how it stands after them."""
        told = replace(notice, attempts=(*notice.attempts, *attempts), status=status)
        self.notices[notice.number] = told
        return told

    def refund(self, number: int, at: datetime) -> None:
        self.refunds.append(RefundEntry(number, at))
