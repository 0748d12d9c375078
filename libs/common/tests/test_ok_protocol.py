import hashlib
import json
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from urllib.parse import parse_qsl, quote, quote_plus, unquote_to_bytes
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from ok_vectors import CALLBACKS, CALLS, MISTAKES, PUBLISHED, SECRET, CallbackVector, CallVector, PublishedVector

from okgames.ok_protocol import (
    CallbackAction,
    ErrorCode,
    MalformedAttributes,
    MalformedQuery,
    MalformedTime,
    format_end_date,
    format_subscription_attributes,
    format_transaction_time,
    parse_amount,
    parse_end_date,
    parse_query,
    parse_subscription_attributes,
    parse_transaction_time,
    reply,
    session_secret,
    sign,
    text_parameters,
    verify,
)

MOSCOW = ZoneInfo("Europe/Moscow")
V01, V02 = CALLBACKS[0], CALLBACKS[1]

texts = st.text(st.characters(exclude_categories=["Cs"]))
parameters = st.dictionaries(texts.filter(lambda name: name != "sig"), texts, min_size=1)


def encoded(values: dict[str, str], *, spaces: str = "%20", order: list[str] | None = None) -> str:
    escape = quote_plus if spaces == "+" else quote
    return "&".join(f"{escape(name, safe='')}={escape(values[name], safe='')}" for name in order or values)


def is_text(part: bytes) -> bool:
    return b"\0" not in part and part == part.decode(errors="replace").encode()


def is_signed(query: str, *secrets: str) -> bool:
    return verify(parse_query(query), secrets or [SECRET])


@pytest.mark.parametrize("vector", CALLBACKS, ids=lambda vector: vector.id)
def test_a_callback_has_the_signature_that_others_computed(vector: CallbackVector) -> None:
    parameters = dict(parse_qsl(vector.query, keep_blank_values=True))
    parameters.pop("sig", None)

    assert vector.hashed == "".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    assert vector.sig == sign(parameters, SECRET)
    assert (vector.error is not ErrorCode.PARAM_SIGNATURE) == is_signed(vector.query)


@pytest.mark.parametrize("vector", CALLS, ids=lambda vector: vector.id)
def test_a_call_to_ok_has_the_signature_that_others_computed(vector: CallVector) -> None:
    parameters = dict(parse_qsl(vector.query))
    del parameters["sig"]
    token = parameters.pop("access_token", None)
    secret = session_secret(token, SECRET) if token else SECRET

    assert vector.access_token == token
    assert (vector.session_secret or SECRET) == secret
    assert vector.hashed == "".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    assert vector.sig == sign(parameters, secret)


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector.client)
def test_signatures_agree_with_those_of_public_clients(vector: PublishedVector) -> None:
    secret = session_secret(vector.access_token, vector.secret) if vector.access_token else vector.secret

    assert vector.sig == sign(vector.parameters, secret)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_signature_made_by_a_common_mistake_is_refused(mistake: str) -> None:
    assert not is_signed(V02.query.replace(V02.sig, MISTAKES[mistake]))


@pytest.mark.parametrize(
    "sig", ["", "%00", "%D1%8F", "%FF", V01.sig.upper(), V01.sig[:-1], V01.sig + "0", V01.sig + "%0A"]
)
def test_a_signature_that_is_no_hash_is_a_wrong_one(sig: str) -> None:
    assert not is_signed(V01.query.replace(V01.sig, sig))


def test_either_of_two_secrets_will_do() -> None:
    assert is_signed(V01.query, "the new one", SECRET)
    assert is_signed(V01.query, SECRET, "the old one")
    assert not is_signed(V01.query, "the new one", "the old one")


@given(values=parameters, data=st.data(), spaces=st.sampled_from(["%20", "+"]))
def test_any_parameters_verify_in_any_order_and_either_encoding(
    values: dict[str, str], data: st.DataObject, spaces: str
) -> None:
    sent = values | {"sig": sign(values, SECRET)}
    order = data.draw(st.permutations(list(sent)))

    query = parse_query(encoded(sent, spaces=spaces, order=order))

    assert verify(query, [SECRET])
    if not any("\0" in name + value for name, value in values.items()):
        assert values == text_parameters(query)


@given(values=parameters, data=st.data())
def test_a_change_of_any_byte_of_a_value_breaks_the_signature(values: dict[str, str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    value = values[name].encode()
    assume(value)
    place = data.draw(st.integers(0, len(value) - 1))
    other = bytearray(value)
    other[place] ^= data.draw(st.integers(1, 255))
    rest = {key: text for key, text in values.items() if key != name}
    sent = encoded(rest | {"sig": sign(values, SECRET)})

    changed = f"{sent}&{quote(name, safe='')}={quote(bytes(other), safe='')}"

    assert is_signed(f"{sent}&{quote(name, safe='')}={quote(value, safe='')}")
    assert not is_signed(changed)


@given(values=parameters, name=texts, value=texts)
def test_a_parameter_that_was_not_signed_breaks_the_signature(values: dict[str, str], name: str, value: str) -> None:
    assume(name not in values and name != "sig")
    sent = encoded(values | {"sig": sign(values, SECRET)})

    assert not is_signed(f"{sent}&{quote(name, safe='')}={quote(value, safe='')}")


@given(st.text(st.sampled_from("%=&+ aF0\0sig\udcff\u044f"), max_size=40))
@example("%")
@example("a=%4&%zz=1%%20&&=&=x&sig&sig=%")
@example("b=1&a=2&a=1")
@example("%EE%80%80=1&%FF=2")
@example("%D1\udc8f=1")
def test_a_query_is_split_decoded_and_sorted_byte_by_byte(raw: str) -> None:
    fields = [field.partition("=") for field in raw.replace("+", " ").split("&") if field]
    pairs = [tuple(unquote_to_bytes(part.encode(errors="surrogateescape")) for part in field) for field in fields]
    signed = [(name, value) for name, _, value in pairs if name != b"sig"]
    signatures = [value for name, _, value in pairs if name == b"sig"]
    is_repeated = len({name for name, _ in signed}) < len(signed) or len(signatures) > 1

    query = parse_query(raw)

    assert b"".join(name + b"=" + value for name, value in sorted(signed, key=itemgetter(0))) == query.hashed
    assert dict(signed) == {
        name.encode(errors="surrogateescape"): value.encode(errors="surrogateescape")
        for name, value in query.parameters.items()
    }
    assert (signatures or [b""])[0] == query.signature.encode(errors="surrogateescape")
    assert query.is_sound == (not is_repeated and all(is_text(part) for pair in signed for part in pair))


@given(st.binary(max_size=60))
def test_percent_encoding_gives_the_bytes_that_were_encoded(value: bytes) -> None:
    everything_escaped = "".join(f"%{byte:02x}" for byte in value)

    assert b"name=" + value == parse_query(f"name={quote(value, safe='')}").hashed
    assert b"name=" + value == parse_query(f"name={everything_escaped}").hashed


@pytest.mark.parametrize("value", ["%FF", "%C3%28", "%ED%A0%80", "a%00b", "%D0", "\udcff"])
def test_a_value_that_is_no_text_is_malformed_only_after_its_signature_was_found_right(value: str) -> None:
    query = parse_query(f"name={value}")
    signed = parse_query(f"name={value}&sig={hashlib.md5(query.hashed + SECRET.encode()).hexdigest()}")

    assert verify(signed, [SECRET])
    with pytest.raises(MalformedQuery):
        text_parameters(signed)


@pytest.mark.parametrize("query", ["uid=1&uid=2", "uid=1&uid=1", "uid=1&%75id=1", "uid=1&sig=a&sig=a", "=1&=2"])
def test_a_parameter_that_comes_twice_is_malformed(query: str) -> None:
    with pytest.raises(MalformedQuery):
        text_parameters(parse_query(query))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02 10:15:30", datetime(2026, 3, 2, 7, 15, 30, tzinfo=UTC)),
        ("2024-02-29 00:00:00", datetime(2024, 2, 28, 21, 0, tzinfo=UTC)),
        ("2011-04-14 12:33:03", datetime(2011, 4, 14, 8, 33, 3, tzinfo=UTC)),  # Moscow was at +4 that year
    ],
)
def test_a_transaction_time_is_local_to_the_zone(text: str, time: datetime) -> None:
    assert time == parse_transaction_time(text, MOSCOW)
    assert text == format_transaction_time(time, MOSCOW)


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-02-30 10:00:00", "2025-02-29 10:00:00", "2026-13-01 10:00:00", "2026-00-01 10:00:00",
        "2026-03-02 24:00:00", "2026-03-02 10:60:00", "2026-03-02 10:00:60", "2026-03-02T10:00:00",
        "2026-03-02", "2026-03-02 10:00", "2026-3-2 10:00:00", " 2026-03-02 10:00:00", "2026-03-02 10:00:00\n",
        "2026-03-02 10:00:00.5", "2026-03-02 10:00:00+03:00", "02-03-2026 10:00:00", "20260302 100000",
        "+026-03-02 10:00:00", "\uff12\uff10\uff12\uff16-03-02 10:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59",
    ],
)  # fmt: skip
def test_what_is_no_time_in_oks_format_is_malformed(text: str) -> None:
    with pytest.raises(MalformedTime):
        parse_transaction_time(text, MOSCOW)
    with pytest.raises(MalformedTime):
        parse_end_date(f"{text[8:10]}-{text[5:7]}-{text[:4]}{text[10:]}", MOSCOW)


def test_an_end_date_has_its_day_first() -> None:
    assert datetime(2018, 11, 20, 10, 7, 4, tzinfo=UTC) == parse_end_date("20-11-2018 13:07:04", MOSCOW)


@given(st.integers(0, 7000 * 365 * 86400), st.timezones())
def test_a_time_is_read_as_it_was_written(seconds: int, zone: ZoneInfo) -> None:
    time = datetime(1971, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    # Where clocks are put back, an hour comes twice and OK's formats do not say which it is.
    assume(time.astimezone(zone).fold == 0)

    assert time == parse_transaction_time(format_transaction_time(time, zone), zone)
    assert time == parse_end_date(format_end_date(time, zone), zone)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0), ("50", 50), ("999999999", 999_999_999), ("", None), ("-1", None), ("+1", None), ("1.5", None),
        ("1e3", None), ("1_000", None), (" 50", None), ("50\n", None), ("\u0665\u0660", None),("²", None),
        ("0x32", None), ("NaN", None), ("1000000000", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_an_amount_is_whole_and_has_nine_digits_at_most(text: str, amount: int | None) -> None:
    assert amount == parse_amount(text)


@pytest.mark.parametrize("action", CallbackAction)
def test_a_subscriptions_attributes_are_read_with_any_white_space(action: CallbackAction) -> None:
    ends_at = datetime(2026, 3, 9, 7, 20, tzinfo=UTC)
    written = format_subscription_attributes(action, ends_at, MOSCOW)

    for text in (written, json.dumps(json.loads(written), indent=4), f" {written}\n"):
        read = parse_subscription_attributes(text, MOSCOW)
        assert (action, ends_at, "09-03-2026 10:20:00") == (read.action, read.ends_at, read.end_date)


def test_a_subscriptions_attributes_are_written_as_ok_writes_them() -> None:
    ends_at = datetime(2026, 3, 9, 7, 20, tzinfo=UTC)

    assert (
        '{"subscriptionEndDate":"09-03-2026 10:20:00","action": "reg_subscription"}'
        == format_subscription_attributes(CallbackAction.REG_SUBSCRIPTION, ends_at, MOSCOW)
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "true", '"reg_subscription"', "{", "{}", "{'action': 'unsubscribe'}",
        '{"action": "unsubscribe"}', '{"subscriptionEndDate": "09-03-2026 10:20:00"}',
        '{"action": "REG_SUBSCRIPTION", "subscriptionEndDate": "09-03-2026 10:20:00"}',
        '{"action": "pause", "subscriptionEndDate": "09-03-2026 10:20:00"}',
        '{"action": null, "subscriptionEndDate": "09-03-2026 10:20:00"}',
        '{"action": ["unsubscribe"], "subscriptionEndDate": "09-03-2026 10:20:00"}',
        '{"action": "unsubscribe", "subscriptionEndDate": "30-02-2026 10:20:00"}',
        '{"action": "unsubscribe", "subscriptionEndDate": "2026-03-09 10:20:00"}',
        '{"action": "unsubscribe", "subscriptionEndDate": 20260309}',
        '{"action": "unsubscribe", "subscriptionEndDate": ""}',
        "{“action”: “unsubscribe”, “subscriptionEndDate”: “09-03-2026 10:20:00”}",
        "[" * 4000, '{"a":' * 4000,
    ],
)  # fmt: skip
def test_other_attributes_are_malformed(text: str) -> None:
    with pytest.raises(MalformedAttributes):
        parse_subscription_attributes(text, MOSCOW)


def test_success_is_answered_byte_for_byte_as_documented() -> None:
    assert (
        b'<?xml version="1.0" encoding="UTF-8"?>'
        b'<callbacks_payment_response xmlns="http://api.forticom.com/1.0/">true</callbacks_payment_response>'
    ) == reply("xml").body
    assert b"true" == reply("json").body
    assert "application/xml" == reply("xml").content_type
    assert "application/json" == reply("json").content_type


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1, "UNKNOWN : Unknown error"),
        (2, "SERVICE : Service temporarily unavailable"),
        (104, "PARAM_SIGNATURE : Invalid signature"),
        (1001, "CALLBACK_INVALID_PAYMENT : Payment is invalid and can not be processed"),
        (9999, "SYSTEM : Critical system failure, which can not be repaired"),
    ],
)
def test_an_error_is_answered_byte_for_byte_as_documented(code: int, message: str) -> None:
    error = ErrorCode(code)

    assert (
        '<?xml version="1.0" encoding="UTF-8"?><ns2:error_response xmlns:ns2="http://api.forticom.com/1.0/">'
        f"<error_code>{code}</error_code><error_msg>{message}</error_msg></ns2:error_response>"
    ).encode() == reply("xml", error).body
    assert f'{{"error_code":{code},"error_msg":"{message}","error_data":null}}'.encode() == reply("json", error).body
    assert error == reply("xml", error).error


def test_the_five_codes_are_all_there_are() -> None:
    assert [1, 2, 104, 1001, 9999] == sorted(ErrorCode)
