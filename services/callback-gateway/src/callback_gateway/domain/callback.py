from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

from okgames.events import derive_id_text
from okgames.ok_protocol import (
    CALLBACK_METHOD,
    CallbackAction,
    ErrorCode,
    MalformedAttributes,
    MalformedTime,
    Query,
    SubscriptionAttributes,
    parse_amount,
    parse_subscription_attributes,
    parse_transaction_time,
)

_LONGEST_UID: Final = 64
_LONGEST_NAME: Final = 256


class Reason(StrEnum):
    """Say why a callback is refused; these are also the values of a metric's label."""

    UNSIGNED = "unsigned"
    WRONG_SIGNATURE = "wrong_signature"
    UNKNOWN_APPLICATION = "unknown_application"
    UNEXPECTED_CALLER = "unexpected_caller"
    MALFORMED = "malformed"
    WRONG_METHOD = "wrong_method"
    MISSING_PARAMETER = "missing_parameter"
    WRONG_TIME = "wrong_time"
    WRONG_CURRENCY = "wrong_currency"
    UNKNOWN_PRODUCT = "unknown_product"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_ATTRIBUTES = "wrong_attributes"
    CONFLICT = "conflict"

    @property
    def code(self) -> ErrorCode:
        """Return the code that OK is answered with."""
        if self in (Reason.UNSIGNED, Reason.WRONG_SIGNATURE):
            return ErrorCode.PARAM_SIGNATURE
        return ErrorCode.CALLBACK_INVALID_PAYMENT


class Unacceptable(Exception):
    """A callback is refused for this reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Identity(NamedTuple):
    """
    Say which callback this is, and what a repeat of it must say again.

    It rests on the callback alone, so that a repeat is known however the catalogue has changed meanwhile. call_id,
    sig and transaction_time are no part of the content, since OK may set them anew on each try; nor is what we do
    not know, nor the amount of a trial or a cancellation, with which no money moves.
    """

    id: str
    content: str


class Callback(NamedTuple):
    """
    Hold a callback as OK sent it, read but not yet compared with the catalogue.

    `amount` is a text where it is no whole number, empty where it is absent. `attributes` are None where
    extra_attributes are not those of a subscription: with a one-time product they belong to the game. `identity` is
    None where nothing tells this callback from another.
    """

    application_key: str
    uid: str
    product_code: str
    transaction_id: str
    transaction_time: datetime
    amount: int | str
    currency: str
    attributes: SubscriptionAttributes | None
    identity: Identity | None


def read_callback(query: Query, application_key: str, zone: tzinfo) -> Callback:
    """Read a callback whose signature was found right; raise Unacceptable."""
    if not query.is_sound:
        raise Unacceptable(Reason.MALFORMED)
    value = query.parameters.get
    if value("method", CALLBACK_METHOD) != CALLBACK_METHOD:
        raise Unacceptable(Reason.WRONG_METHOD)
    uid, product_code, time = value("uid", ""), value("product_code", ""), value("transaction_time", "")
    if not (uid and product_code and time):
        raise Unacceptable(Reason.MISSING_PARAMETER)
    transaction_id, extra_attributes = value("transaction_id", ""), value("extra_attributes", "")
    if (
        len(uid) > _LONGEST_UID
        or len(product_code) > _LONGEST_NAME
        or len(transaction_id) > _LONGEST_NAME
        or not f"{uid}{product_code}{transaction_id}".isprintable()
    ):
        raise Unacceptable(Reason.MALFORMED)
    amount_text = value("amount", "")
    number = parse_amount(amount_text)
    amount = amount_text if number is None else number
    attributes = _attributes(extra_attributes, zone) if extra_attributes else None
    return Callback(
        application_key,
        uid,
        product_code,
        transaction_id,
        _time(time, zone),
        amount,
        value("currency", ""),
        attributes,
        _identity(application_key, uid, product_code, transaction_id, amount, attributes),
    )


def _time(text: str, zone: tzinfo) -> datetime:
    try:
        return parse_transaction_time(text, zone)
    except MalformedTime as error:
        raise Unacceptable(Reason.WRONG_TIME) from error


def _attributes(text: str, zone: tzinfo) -> SubscriptionAttributes | None:
    try:
        return parse_subscription_attributes(text, zone)
    except MalformedAttributes:
        return None


def _identity(
    application_key: str,
    uid: str,
    product_code: str,
    transaction_id: str,
    amount: int | str,
    attributes: SubscriptionAttributes | None,
) -> Identity | None:
    action, end_date = (attributes.action, attributes.end_date) if attributes else ("", "")
    if transaction_id:
        callback_id = derive_id_text("callback", application_key, "transaction", transaction_id)
    elif attributes:
        # OK sends no transaction_id for a trial or a cancellation; the end date tells two of them apart.
        callback_id = derive_id_text("callback", application_key, "subscription", uid, product_code, action, end_date)
        if action != CallbackAction.REG_SUBSCRIPTION:
            amount = ""
    else:
        return None
    return Identity(callback_id, orjson.dumps([uid, product_code, amount, action, end_date]).decode())
