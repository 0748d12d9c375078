from pydantic import AwareDatetime

from okgames.events.base import PlayerEvent, Topic


class PaymentReceived(PlayerEvent):
    """OK took a one-time payment; `occurred_at` is OK's transaction_time."""

    topic = Topic.PAYMENTS

    product: str
    transaction_id: str
    amount_oks: int


class SubscriptionPaid(PlayerEvent):
    """OK charged a subscription, the first time or again: OK's callback does not tell which."""

    topic = Topic.PAYMENTS

    product: str
    transaction_id: str | None
    amount_oks: int
    ends_at: AwareDatetime


class TrialStarted(PlayerEvent):
    """A player began a free trial, which OK sends without a transaction_id."""

    topic = Topic.PAYMENTS

    product: str
    ends_at: AwareDatetime


class SubscriptionCancelled(PlayerEvent):
    """A player cancelled; whether `ends_at` is the end of the paid time is not documented by OK."""

    topic = Topic.PAYMENTS

    product: str
    ends_at: AwareDatetime
