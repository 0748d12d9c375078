from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from okgames.ok_protocol import parse_query


class PaymentPlace(NamedTuple):
    """Say where a payment stands among an application's, in the order of OK's time."""

    occurred_at: datetime
    id: UUID


class Payment(NamedTuple):
    """
    Hold a payment that was believed; `occurred_at` is OK's transaction_time.

    `transaction_id` is None where OK sent none. `ack_uncertain` says that OK may have cancelled the payment, because
    it may not have heard our answer.
    """

    place: PaymentPlace
    received_at: datetime
    type: str
    transaction_id: str | None
    uid: str
    product: str
    amount_oks: int
    ack_uncertain: bool


def transaction_id_of(query: str) -> str | None:
    """Return the transaction_id of an accepted callback, whose journaled query is as OK sent it."""
    return parse_query(query).parameters.get("transaction_id") or None


def amount_of(content: str) -> int:
    """Return what an accepted payment cost, in OKs, from the content of its identity."""
    _uid, _product, amount, _action, _end_date = orjson.loads(content)
    return int(amount)
