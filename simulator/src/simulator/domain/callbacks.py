from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from okgames.ok_protocol import (
    CALLBACK_METHOD,
    CallbackAction,
    format_subscription_attributes,
    format_transaction_time,
)

_DAY: Final = timedelta(days=1)


class TransactionIds(StrEnum):
    """Say how a callback without a payment goes without its id: OK's pages say "empty" and "absent"."""

    ABSENT = "absent"
    EMPTY = "empty"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Player:
    application_key: str
    uid: str


@dataclass(frozen=True, slots=True)
class Change:
    """Say what became of a subscription; `ends_at` is its subscriptionEndDate, `trial` the length of a trial."""

    action: CallbackAction
    ends_at: datetime
    trial: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """
    Say what OK tells the game: the same on each of its attempts.

    `at` is the transaction_time, in whole seconds as on the wire; `call_id` is in milliseconds since 1970. `change`
    is None for a one-time purchase. `extras` are further parameters, which are signed like the others.
    """

    player: Player
    product: str
    at: datetime
    call_id: int
    amount_oks: int
    transaction_id: str | None
    change: Change | None = None
    extras: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> tuple[Player, str]:
        return self.player, self.product

    def parameters(self, zone: ZoneInfo) -> dict[str, str]:
        """Return the parameters of the query but `sig`, times local to `zone`."""
        parameters = {
            "method": CALLBACK_METHOD,
            "application_key": self.player.application_key,
            "call_id": str(self.call_id),
            "uid": self.player.uid,
            "transaction_time": format_transaction_time(self.at, zone),
            "product_code": self.product,
            "amount": str(self.amount_oks),
        }
        if self.transaction_id is not None:
            parameters["transaction_id"] = self.transaction_id
        if self.change is not None:
            action, ends_at, trial = self.change.action, self.change.ends_at, self.change.trial
            parameters["extra_attributes"] = format_subscription_attributes(action, ends_at, zone)
            if trial is not None and trial >= _DAY:
                parameters["trial_days"] = str(trial // _DAY)
        return parameters | dict(self.extras)
