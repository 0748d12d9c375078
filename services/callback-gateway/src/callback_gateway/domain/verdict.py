from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, NotRequired, TypedDict

from callback_gateway.domain.callback import Callback, Identity, Reason, Unacceptable, read_callback
from okgames.catalogue import App, Product
from okgames.events import PaymentReceived, SubscriptionCancelled, SubscriptionPaid, TrialStarted
from okgames.ok_protocol import CallbackAction, ErrorCode, Query, verify

PaymentEvent = PaymentReceived | SubscriptionPaid | TrialStarted | SubscriptionCancelled

_OKS: Final = ("", "ok", "OK")
"""What `currency` may say: OK leaves it out when a player pays in OKs."""


class EventBody(TypedDict):
    """The fields of an accepted callback's event; which of the last three there are is the event's type's affair."""

    id: str
    occurred_at: datetime
    application_key: str
    uid: str
    product: str
    transaction_id: NotRequired[str | None]
    amount_oks: NotRequired[int]
    ends_at: NotRequired[datetime]


class Accepted(NamedTuple):
    """
    The callback is believed, and this is the event that it tells.

    A body instead of the event itself, because checking its fields again would cost as much as the whole verdict.
    """

    identity: Identity
    event_type: type[PaymentEvent]
    body: EventBody


class Refused(NamedTuple):
    """
    The callback is not believed.

    One that has an identity was signed by OK and may have been accepted before, under another catalogue: then its
    first answer stands.
    """

    reason: Reason
    identity: Identity | None = None


Verdict = Accepted | Refused


def judge_nameless(query: Query, apps: Iterable[App]) -> Refused:
    """Refuse a callback whose application_key is missing or nobody's; without a secret one learns nothing of keys."""
    if any(_is_signed_for(app, query) for app in apps):
        return Refused(Reason.UNKNOWN_APPLICATION)
    return _unproven(query)


def judge(query: Query, app: App, *, caller_is_expected: bool) -> Verdict:
    """Decide on a callback by its signature, its caller, and the catalogue as of its transaction_time."""
    if not _is_signed_for(app, query):
        return _unproven(query)
    if not caller_is_expected and app.callers_policy == "enforce":
        return Refused(Reason.UNEXPECTED_CALLER)
    identity = None
    try:
        callback = read_callback(query, app.application_key, app.timezone)
        identity = callback.identity
        return _accept(callback, app)
    except Unacceptable as unacceptable:
        return Refused(unacceptable.reason, identity)


def is_signed(verdict: Verdict) -> bool:
    """Tell whether the callback came from one who knows a secret."""
    return isinstance(verdict, Accepted) or verdict.reason.code is not ErrorCode.PARAM_SIGNATURE


def _is_signed_for(app: App, query: Query) -> bool:
    return verify(query, [secret.get_secret_value() for secret in app.secret_keys])


def _unproven(query: Query) -> Refused:
    return Refused(Reason.WRONG_SIGNATURE if query.signature else Reason.UNSIGNED)


def _accept(callback: Callback, app: App) -> Accepted:
    product = app.product(callback.product_code)
    if product is None:
        raise Unacceptable(Reason.UNKNOWN_PRODUCT)
    if callback.currency not in _OKS:
        raise Unacceptable(Reason.WRONG_CURRENCY)
    if product.subscription is None:
        return _accept_purchase(callback, product)
    return _accept_subscription(callback, product)


def _accept_purchase(callback: Callback, product: Product) -> Accepted:
    if callback.identity is None or not callback.transaction_id:
        # Nothing else would tell two purchases of the same player and product apart.
        raise Unacceptable(Reason.MISSING_PARAMETER)
    body = _body(callback, callback.identity)
    body["transaction_id"] = callback.transaction_id
    body["amount_oks"] = _price_paid(callback, product)
    return Accepted(callback.identity, PaymentReceived, body)


def _accept_subscription(callback: Callback, product: Product) -> Accepted:
    attributes, identity = callback.attributes, callback.identity
    if attributes is None or identity is None:
        raise Unacceptable(Reason.WRONG_ATTRIBUTES)
    body = _body(callback, identity)
    body["ends_at"] = attributes.ends_at
    if attributes.action is CallbackAction.REG_SUBSCRIPTION:
        body["transaction_id"] = callback.transaction_id or None
        body["amount_oks"] = _price_paid(callback, product)
        return Accepted(identity, SubscriptionPaid, body)
    _must_have_a_plausible_amount(callback, product)
    is_trial = attributes.action is CallbackAction.TRIAL_SUBSCRIPTION
    return Accepted(identity, TrialStarted if is_trial else SubscriptionCancelled, body)


def _body(callback: Callback, identity: Identity) -> EventBody:
    return {
        "id": identity.id,
        "occurred_at": callback.transaction_time,
        "application_key": callback.application_key,
        "uid": callback.uid,
        "product": callback.product_code,
    }


def _price_paid(callback: Callback, product: Product) -> int:
    amount = callback.amount
    if isinstance(amount, str) or amount not in product.prices_at(callback.transaction_time):
        raise Unacceptable(Reason.WRONG_AMOUNT)
    return amount


def _must_have_a_plausible_amount(callback: Callback, product: Product) -> None:
    # No money moves with a trial or a cancellation, and what OK sends as their amount is not documented: nothing, 0,
    # or a price that was in force when the player subscribed.
    if callback.amount not in {"", 0, *(price.oks for price in product.prices)}:
        raise Unacceptable(Reason.WRONG_AMOUNT)
