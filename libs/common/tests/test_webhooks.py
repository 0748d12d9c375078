import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Peer

from okgames.webhooks import (
    MissingHeader,
    Webhook,
    WebhookRejected,
    WrongBody,
    WrongSecret,
    WrongSignature,
    WrongTimestamp,
    sign,
    signing_key,
    verify,
)

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIDMyIGJ5dGVzIGxvbmcgISE="
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
BODY = b'{"type":"ping","timestamp":"2026-03-02T13:00:00+03:00","data":{}}'


def headers(
    secret: str | Sequence[str] = SECRET, webhook_id: str = "msg_1", at: datetime = NOW, body: bytes = BODY
) -> dict[str, str]:
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(secret, webhook_id, at, body),
    }


def test_a_signature_is_the_one_of_the_standard() -> None:
    body = b'{"test": 2432232314}'
    at = datetime.fromtimestamp(1614265330, UTC)

    assert sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    st.dictionaries(st.text(), st.integers() | st.text()),
    st.binary(min_size=1, max_size=64),
)
def test_what_we_sign_the_standards_own_library_verifies(
    webhook_id: str, data: dict[str, int | str], key: bytes
) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps({"type": "ping", "timestamp": "2026-03-02T13:00:00+03:00", "data": data})
    now = datetime.now(UTC)

    assert data == Peer(secret).verify(body, headers(secret, webhook_id, now, body.encode()))["data"]


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    st.dictionaries(st.text(), st.integers() | st.text()),
)
def test_what_the_standards_own_library_signs_we_verify(webhook_id: str, data: dict[str, int | str]) -> None:
    body = json.dumps({"type": "ping", "timestamp": "2026-03-02T13:00:00+03:00", "data": data})
    signed = {
        "Webhook-Id": webhook_id,
        "Webhook-Timestamp": str(int(NOW.timestamp())),
        "Webhook-Signature": Peer(SECRET).sign(webhook_id, NOW, body),
    }

    expected = Webhook(webhook_id, "ping", datetime.fromisoformat("2026-03-02T13:00:00+03:00"), data)
    assert expected == verify(SECRET, signed, body, now=NOW)


def test_the_time_of_the_machine_counts_unless_another_is_given() -> None:
    assert "ping" == verify(SECRET, headers(at=datetime.now(UTC)), BODY).type
    with pytest.raises(WrongTimestamp):
        verify(SECRET, headers(at=datetime(2026, 3, 2, tzinfo=UTC)), BODY)


def test_while_secrets_rotate_either_side_may_be_ahead() -> None:
    both = headers([SECRET, OTHER])

    assert 2 == len(both["webhook-signature"].split(" "))
    assert "ping" == verify(SECRET, both, BODY, now=NOW).type
    assert "ping" == verify(OTHER, both, BODY, now=NOW).type
    assert "ping" == verify([OTHER, SECRET], headers(SECRET), BODY, now=NOW).type
    assert {"type": "ping", "timestamp": "2026-03-02T13:00:00+03:00", "data": {}} == Peer(OTHER).verify(
        BODY, headers([SECRET, OTHER], at=datetime.now(UTC))
    )


@pytest.mark.parametrize("offset", [timedelta(minutes=-5), timedelta(), timedelta(minutes=5)])
def test_five_minutes_either_way_are_tolerated(offset: timedelta) -> None:
    assert "msg_1" == verify(SECRET, headers(), BODY, now=NOW + offset).id


@pytest.mark.parametrize("offset", [timedelta(minutes=-5, seconds=-1), timedelta(minutes=5, seconds=1)])
def test_more_than_the_tolerance_is_refused(offset: timedelta) -> None:
    with pytest.raises(WrongTimestamp):
        verify(SECRET, headers(), BODY, now=NOW + offset)
    assert "msg_1" == verify(SECRET, headers(), BODY, now=NOW + offset, tolerance=timedelta(minutes=6)).id


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(name: str) -> None:
    for absent in ({}, {name: ""}):
        with pytest.raises(MissingHeader, match=name):
            verify(SECRET, {**{k: v for k, v in headers().items() if k != name}, **absent}, BODY, now=NOW)


@pytest.mark.parametrize(
    ("changed", "condition"),
    [
        ({"webhook-id": "msg_2"}, WrongSignature),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, WrongSignature),
        ({"webhook-timestamp": "soon"}, WrongTimestamp),
        ({"webhook-timestamp": "-1"}, WrongTimestamp),
        ({"webhook-timestamp": "9" * 5000}, WrongTimestamp),
        ({"webhook-timestamp": "\u0661"}, WrongTimestamp),
        ({"webhook-signature": "v1,"}, WrongSignature),
        ({"webhook-signature": "v1"}, WrongSignature),
        ({"webhook-signature": "v1,\u00e9"}, WrongSignature),
        ({"webhook-signature": sign(OTHER, "msg_1", NOW, BODY)}, WrongSignature),
        ({"webhook-signature": sign(SECRET, "msg_1", NOW, BODY).replace("v1,", "v1a,")}, WrongSignature),
        ({"webhook-signature": sign(SECRET, "msg_1", NOW, BODY).replace("v1,", "v2,")}, WrongSignature),
    ],
)
def test_a_request_that_was_changed_is_refused(changed: dict[str, str], condition: type[WebhookRejected]) -> None:
    with pytest.raises(condition):
        verify(SECRET, headers() | changed, BODY, now=NOW)


def test_a_signature_among_others_is_found() -> None:
    signature = f"v1a,abc v1,wrong {headers()['webhook-signature']}"

    assert "ping" == verify(SECRET, headers() | {"webhook-signature": signature}, BODY, now=NOW).type


@given(st.binary(max_size=200))
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(WrongSignature):
        verify(SECRET, headers(body=BODY + b" "), body, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"type":"ping"}',
        b'{"type":"ping","timestamp":"soon","data":{}}',
        b'{"type":"ping","timestamp":"2026-03-02T13:00:00+03:00","data":[]}',
    ],
)
def test_a_signed_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(WrongBody):
        verify(SECRET, headers(body=body), body, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!", "whsec_a", "whsec_\u00e9"])
def test_a_secret_that_is_not_base64_is_an_error_of_the_configuration(secret: str) -> None:
    with pytest.raises(WrongSecret):
        signing_key(secret)
    assert not issubclass(WrongSecret, WebhookRejected)


def test_padding_and_prefix_of_a_secret_may_be_left_out() -> None:
    assert b"0123456789abcdef0123456789abcdef" == signing_key(SECRET)
    assert signing_key(SECRET) == signing_key(SECRET.removeprefix("whsec_").rstrip("="))
