from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final
from uuid import UUID

import orjson

from okgames.events import derive_id
from okgames.ok_protocol import (
    CALLBACK_METHOD,
    ErrorCode,
    MalformedAttributes,
    MalformedQuery,
    MalformedTime,
    Query,
    SubscriptionAttributes,
    parse_amount,
    parse_subscription_attributes,
    parse_transaction_time,
    text_parameters,
)

_LONGEST: Final = {"uid": 64, "product_code": 256, "transaction_id": 256}
_LONGEST_ATTRIBUTES: Final = 4096


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


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Say which callback this is, and what a repeat of it must say again.

    It rests on the callback alone, so that a repeat is known however the catalogue has changed meanwhile. call_id,
    sig and transaction_time are no part of the content, since OK may set them anew on each try; nor is what we do
    not know.
    """

    id: UUID
    content: str


@dataclass(frozen=True, slots=True)
class Callback:
    """
    Hold a callback as OK sent it, read but not yet compared with the catalogue.

    `amount` is None where it is absent or empty. `attributes` are None where extra_attributes are not those of a
    subscription: with a one-time product they belong to the game. `identity` is None where nothing tells this
    callback from another.
    """

    application_key: str
    uid: str
    product_code: str
    transaction_id: str
    transaction_time: datetime
    amount: str
    currency: str
    attributes: SubscriptionAttributes | None
    identity: Identity | None


def read_callback(query: Query, zone: tzinfo) -> Callback:
    """Read a callback whose signature was found right; raise Unacceptable."""
    parameters = _parameters(query)
    try:
        time = parse_transaction_time(parameters["transaction_time"], zone)
    except MalformedTime as error:
        raise Unacceptable(Reason.WRONG_TIME) from error
    attributes = _attributes(parameters.get("extra_attributes", ""), zone)
    return Callback(
        parameters["application_key"],
        parameters["uid"],
        parameters["product_code"],
        parameters.get("transaction_id", ""),
        time,
        parameters.get("amount", ""),
        parameters.get("currency", ""),
        attributes,
        _identity(parameters, attributes),
    )


def _parameters(query: Query) -> Mapping[str, str]:
    try:
        parameters = text_parameters(query)
    except MalformedQuery as error:
        raise Unacceptable(Reason.MALFORMED) from error
    if parameters.get("method", CALLBACK_METHOD) != CALLBACK_METHOD:
        raise Unacceptable(Reason.WRONG_METHOD)
    if not (parameters.get("uid") and parameters.get("product_code") and parameters.get("transaction_time")):
        raise Unacceptable(Reason.MISSING_PARAMETER)
    for name, longest in _LONGEST.items():
        value = parameters.get(name, "")
        if len(value) > longest or not value.isprintable():
            raise Unacceptable(Reason.MALFORMED)
    return parameters


def _attributes(text: str, zone: tzinfo) -> SubscriptionAttributes | None:
    if len(text) > _LONGEST_ATTRIBUTES:
        raise Unacceptable(Reason.MALFORMED)
    if not text:
        return None
    try:
        return parse_subscription_attributes(text, zone)
    except MalformedAttributes:
        return None


def _identity(parameters: Mapping[str, str], attributes: SubscriptionAttributes | None) -> Identity | None:
    application_key, uid = parameters["application_key"], parameters["uid"]
    product, amount = parameters["product_code"], parameters.get("amount", "")
    action, end_date = (attributes.action, attributes.end_date) if attributes else ("", "")
    if transaction_id := parameters.get("transaction_id"):
        callback_id = derive_id("callback", application_key, "transaction", transaction_id)
    elif attributes:
        # OK sends no transaction_id for a trial or a cancellation; the end date tells two of them apart.
        callback_id = derive_id("callback", application_key, "subscription", uid, product, action, end_date)
    else:
        return None
    number = parse_amount(amount)
    content = orjson.dumps([uid, product, amount if number is None else number, action, end_date])
    return Identity(callback_id, content.decode())
