from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from gateway_world import CONFIG, purchase, signed, subscription
from hypothesis import given
from hypothesis import strategies as st

from callback_gateway.domain.callback import Reason
from callback_gateway.domain.verdict import Accepted, Refused, Verdict, judge
from okgames.events import Event, derive_id, derive_id_text
from okgames.ok_protocol import CallbackAction, format_end_date, format_transaction_time, parse_query

APP = CONFIG.apps[0]

names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40)
times = st.datetimes(datetime(1971, 1, 1), datetime(8999, 1, 1), timezones=st.just(APP.timezone))  # noqa: DTZ001


def verdict_on(parameters: Mapping[str, str]) -> Verdict:
    return judge(parse_query(signed(dict(parameters))), APP, caller_is_expected=True)


def event_of(accepted: Accepted) -> Event:
    """The event as readers get it; a field too many or too few in the body fails."""
    assert accepted.event_type.model_fields.keys() == accepted.body.keys()
    return accepted.event_type.model_validate(accepted.body)


@given(uid=names, transaction_id=names, time=times)
def test_a_purchase_tells_an_event_of_its_type(uid: str, transaction_id: str, time: datetime) -> None:
    parameters = purchase(
        uid=uid, transaction_id=transaction_id, transaction_time=format_transaction_time(time, APP.timezone)
    )

    accepted = verdict_on(parameters)

    assert isinstance(accepted, Accepted)
    event = event_of(accepted)
    assert (uid, transaction_id, 50) == (event.uid, event.transaction_id, event.amount_oks)
    assert derive_id("callback", APP.application_key, "transaction", transaction_id) == event.id
    assert abs(event.occurred_at - time) <= timedelta(hours=1, seconds=1)


@given(action=st.sampled_from(CallbackAction), uid=names, time=times, has_transaction=st.booleans())
def test_a_subscription_tells_an_event_of_its_action(
    action: CallbackAction, uid: str, time: datetime, has_transaction: bool
) -> None:
    end_date = format_end_date(time, APP.timezone)
    attributes = f'{{"subscriptionEndDate":"{end_date}","action":"{action}"}}'
    parameters = subscription(uid=uid, extra_attributes=attributes)
    if not has_transaction:
        del parameters["transaction_id"]

    accepted = verdict_on(parameters)

    assert isinstance(accepted, Accepted)
    event = event_of(accepted)
    types = {"reg_subscription": "SubscriptionPaid", "trial_subscription": "TrialStarted"}
    assert types.get(action, "SubscriptionCancelled") == event.type
    key = (
        ("transaction", parameters["transaction_id"])
        if has_transaction
        else ("subscription", uid, "apples", action, end_date)
    )
    assert derive_id("callback", APP.application_key, *key) == event.id


@given(st.lists(st.text(), min_size=1))
def test_the_text_of_an_id_is_that_of_the_id(parts: list[str]) -> None:
    try:
        expected = str(derive_id(*parts))
    except UnicodeEncodeError:
        return
    assert expected == derive_id_text(*parts)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({}, None),
        ({"currency": "RUR", "amount": "1"}, Reason.WRONG_CURRENCY),
        ({"product_code": "unknown", "currency": "RUR"}, Reason.UNKNOWN_PRODUCT),
        ({"transaction_time": "yesterday", "product_code": "unknown"}, Reason.WRONG_TIME),
        ({"uid": "", "transaction_time": "yesterday"}, Reason.MISSING_PARAMETER),
        ({"method": "other", "uid": ""}, Reason.WRONG_METHOD),
        ({"uid": "\0", "method": "other"}, Reason.MALFORMED),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_one_reason_is_given_and_always_the_same(wrong: dict[str, str], reason: Reason | None) -> None:
    verdict = verdict_on(purchase() | wrong)

    assert reason == (verdict.reason if isinstance(verdict, Refused) else None)


def test_who_cannot_sign_learns_nothing_of_what_is_wrong_besides() -> None:
    for wrong in ({}, {"product_code": "unknown"}, {"uid": "\0"}, {"application_key": "unknown"}):
        query = parse_query(signed(purchase() | wrong, "not the secret"))

        for caller_is_expected in (True, False):
            assert Refused(Reason.WRONG_SIGNATURE) == judge(query, APP, caller_is_expected=caller_is_expected)


@given(st.dictionaries(st.sampled_from(sorted(purchase() | subscription())), st.text(max_size=20)))
def test_no_signed_callback_fails_the_gateway(changes: dict[str, str]) -> None:
    for parameters in (purchase(), subscription(), subscription("unsubscribe")):
        verdict = verdict_on(parameters | {name: value for name, value in changes.items() if name != "application_key"})

        if isinstance(verdict, Accepted):
            event_of(verdict)
