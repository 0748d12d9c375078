import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import pytest
from gateway_world import OTHER_KEY, OTHER_SECRET, Gateway, purchase, signed, subscription, subscription_attributes
from ok_vectors import CALLBACKS, SECRET

from okgames.events import PaymentReceived, SubscriptionCancelled, SubscriptionPaid, TrialStarted, derive_id
from okgames.ok_protocol import ErrorCode, parse_query, reply
from okgames.outbox import partition_of


async def test_the_vectors_get_their_answers(gateway: Gateway) -> None:
    for vector in CALLBACKS:
        answer = await gateway.call(vector.query)

        assert 200 == answer.status, vector.rule
        assert (None if vector.error is None else str(int(vector.error))) == answer.error, vector.rule
        assert reply("xml", vector.error).body == answer.body, vector.rule
        assert "application/xml" == answer.content_type


async def test_a_repeat_gets_the_answer_of_the_first_time(gateway: Gateway) -> None:
    queries = [vector.query for vector in CALLBACKS]
    first = [await gateway.call(query) for query in queries]
    events = await gateway.events()

    for _ in range(3):
        assert first == [await gateway.call(query) for query in queries]
    assert events == await gateway.events()
    # V03 repeats V02, and V07 repeats V06.
    assert (
        sum(answer.is_true for answer in first) - 2 == len(events) == len(await gateway.fetch("select from callbacks"))
    )


async def test_each_accepted_callback_is_journaled_as_it_came_and_tells_its_event(gateway: Gateway) -> None:
    paid_at = datetime(2026, 3, 2, 7, 15, 30, tzinfo=UTC)
    ends_at = datetime(2026, 3, 9, 7, 20, tzinfo=UTC)
    bought, paid = purchase(), subscription()
    began, stopped = subscription("trial_subscription"), subscription("unsubscribe")
    queries = [signed(parameters) for parameters in (bought, paid, began, stopped)]
    key, uid = bought["application_key"], bought["uid"]

    for query in queries:
        assert (await gateway.call(query)).is_true

    common = {"occurred_at": paid_at, "application_key": key, "uid": uid}
    end = "09-03-2026 10:20:00"
    assert [
        PaymentReceived(
            id=derive_id("callback", key, "transaction", bought["transaction_id"]),
            product="gold_100", transaction_id=bought["transaction_id"], amount_oks=50, **common,
        ),
        SubscriptionPaid(
            id=derive_id("callback", key, "transaction", paid["transaction_id"]),
            product="apples", transaction_id=paid["transaction_id"], amount_oks=50, ends_at=ends_at, **common,
        ),
        TrialStarted(
            id=derive_id("callback", key, "subscription", uid, "apples", "trial_subscription", end),
            product="apples", ends_at=ends_at, **common,
        ),
        SubscriptionCancelled(
            id=derive_id("callback", key, "subscription", uid, "apples", "unsubscribe", end),
            product="apples", ends_at=ends_at, **common,
        ),
    ] == await gateway.events()  # fmt: skip
    journal = await gateway.fetch("select * from callbacks order by received_at")
    assert queries == [row["query"] for row in journal]
    assert {(key, uid, paid_at, "127.0.0.1", False)} == {
        (row["application_key"], row["uid"], row["transaction_time"], row["caller"], row["ack_uncertain"])
        for row in journal
    }


async def test_an_event_lies_where_append_would_have_put_it(gateway: Gateway) -> None:
    await gateway.call(signed(purchase(uid="9007199254740993")))

    [row] = await gateway.fetch("select topic, partition, key, type, id, occurred_at from event_log.events")
    [event] = await gateway.events()
    assert (event.topic, partition_of(event.key), event.key, event.type, event.id, event.occurred_at) == tuple(row)


REFUSED_QUERIES: Final = {
    "nothing at all": ("", "104"),
    "only separators": ("&&=&", "104"),
    "another secret": (signed(purchase(), "not the secret"), "104"),
    "a secret in lower case": (signed(purchase(), SECRET.lower()), "104"),
    "a signature that is no text": (f"{signed(purchase())}%FF", "104"),
    "a signature twice": (f"{signed(purchase())}&sig=", "1001"),
    "something added": (f"{signed(purchase())}&free=1", "104"),
    "a broken escape in the end": (f"{signed(purchase())}%", "104"),
    "no application_key": (signed(purchase(application_key=None)), "1001"),
    "an unknown application_key": (signed(purchase(application_key="CBNOBODY")), "1001"),
    "an unknown application_key and a wrong secret": (signed(purchase(application_key="CBNOBODY"), "wrong"), "104"),
    "the other game's secret": (signed(purchase(), OTHER_SECRET), "104"),
    "the other game's key": (signed(purchase(application_key=OTHER_KEY)), "104"),
    "another method": (signed(purchase(method="callbacks.refund")), "1001"),
    "no uid": (signed(purchase(uid=None)), "1001"),
    "an empty uid": (signed(purchase(uid="")), "1001"),
    "a uid of a kilobyte": (signed(purchase(uid="1" * 1000)), "1001"),
    "a uid of two lines": (signed(purchase(uid="1\n2")), "1001"),
    "a uid with a NUL": (signed(purchase(uid="1\0002")), "1001"),
    "no transaction_time": (signed(purchase(transaction_time=None)), "1001"),
    "30 February": (signed(purchase(transaction_time="2026-02-30 10:00:00")), "1001"),
    "a time before the calendar": (signed(purchase(transaction_time="0001-01-01 00:00:00")), "1001"),
    "a time after the calendar": (signed(purchase(transaction_time="9999-12-31 23:59:59")), "1001"),
    "no amount": (signed(purchase(amount=None)), "1001"),
    "an empty amount": (signed(purchase(amount="")), "1001"),
    "a negative amount": (signed(purchase(amount="-50")), "1001"),
    "nothing paid": (signed(purchase(amount="0")), "1001"),
    "a huge amount": (signed(purchase(amount="9" * 5000)), "1001"),
    "a fraction": (signed(purchase(amount="50.0")), "1001"),
    "a word for an amount": (signed(purchase(amount="fifty")), "1001"),
    "another product's amount": (signed(purchase(amount="200")), "1001"),
    "no product": (signed(purchase(product_code=None)), "1001"),
    "an unknown product": (signed(purchase(product_code="no_such_item")), "1001"),
    "roubles": (signed(purchase(currency="RUR")), "1001"),
    "no transaction_id": (signed(purchase(transaction_id=None)), "1001"),
    "an empty transaction_id": (signed(purchase(transaction_id="")), "1001"),
    "a transaction_id of a kilobyte": (signed(purchase(transaction_id="1" * 1000)), "1001"),
    "a subscription without attributes": (signed(subscription(extra_attributes=None)), "1001"),
    "attributes that are no JSON": (signed(subscription(extra_attributes="{action: unsubscribe")), "1001"),
    "attributes that are a list": (signed(subscription(extra_attributes='["unsubscribe"]')), "1001"),
    "attributes of 20,000 brackets": (signed(subscription(extra_attributes="[" * 20_000)), "1001"),
    "an unknown action": (signed(subscription("pause")), "1001"),
    "an end on 30 February": (
        signed(subscription(extra_attributes=subscription_attributes("unsubscribe", "30-02-2026 10:00:00"))),
        "1001",
    ),
    "a subscription at another price": (signed(subscription(amount="1")), "1001"),
    "a subscription for nothing": (signed(subscription(amount="0")), "1001"),
    "a trial with an amount that is no price": (signed(subscription("trial_subscription", amount="49")), "1001"),
    "a cancellation with a word for an amount": (signed(subscription("unsubscribe", amount="all")), "1001"),
}


async def test_what_is_not_in_order_is_refused(gateway: Gateway) -> None:
    for what, (query, code) in REFUSED_QUERIES.items():
        answer = await gateway.call(query)

        assert (200, code) == (answer.status, answer.error), what
    assert [] == await gateway.events()


ACCEPTED: Final = [
    purchase(method=None),
    purchase(currency="OK"),
    purchase(currency=""),
    purchase(uid="9007199254740993"),
    purchase(call_id=None, card_promo="true", something_new="яблоко & груша"),
    purchase(extra_attributes="what the game wrote"),
    purchase(extra_attributes='{"action": "unsubscribe"}'),
    purchase(extra_attributes="я" * 10_000),
    purchase(product_option="Три яблока"),
    subscription(transaction_id=None),
    subscription(
        transaction_id="", extra_attributes=subscription_attributes("reg_subscription", "10-03-2026 00:00:00")
    ),
    subscription("trial_subscription", trial_days="3", amount="0"),
    subscription("trial_subscription", uid="2", amount=""),
    subscription("trial_subscription", uid="3", transaction_id="", amount="50"),
    subscription("unsubscribe", amount="50"),
    subscription("unsubscribe", transaction_id="1_2"),
]


async def test_what_ok_may_send_is_accepted_with_either_blank(gateway: Gateway) -> None:
    for number, parameters in enumerate(ACCEPTED, start=1):
        assert (await gateway.call(signed(parameters))).is_true, parameters
        assert (await gateway.call(signed(parameters, blank="+"))).is_true, parameters
        assert number == len(await gateway.events()), parameters


async def test_what_is_no_text_is_refused_only_after_its_signature_was_found_right(gateway: Gateway) -> None:
    for value in ("%FF", "%C3%28", "%ED%A0%80", "%00"):
        unsigned = "&".join(f"{name}={quote(text)}" for name, text in purchase().items()) + f"&x={value}"
        sig = hashlib.md5(parse_query(unsigned).hashed + SECRET.encode()).hexdigest()

        assert "1001" == (await gateway.call(f"{unsigned}&sig={sig}")).error
        assert "104" == (await gateway.call(f"{unsigned}&sig={'0' * 32}")).error


async def test_bytes_that_belong_in_no_url_are_turned_away(gateway: Gateway) -> None:
    host, _, port = gateway.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(b"GET /ok/callback?uid=\xff\x00 HTTP/1.1\r\nHost: gateway\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert b"400" == answer.split()[1]
    assert (await gateway.call(signed(purchase()))).is_true


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_ok_calls_with_get_only(gateway: Gateway, method: str) -> None:
    assert 405 == (await gateway.call(signed(purchase()), method=method)).status
    assert [] == await gateway.events()


async def test_a_url_of_a_megabyte_is_turned_away_and_nothing_else_happens(gateway: Gateway) -> None:
    answer = await gateway.call(f"{signed(purchase())}&x={'x' * 1_000_000}")

    assert 400 <= answer.status < 500
    assert (await gateway.call(signed(purchase()))).is_true


@pytest.mark.parametrize(
    "request_line", ["HTTP/1.0\r\n", "HTTP/1.0\r\nConnection: keep-alive\r\n", "HTTP/1.1\r\nConnection: close\r\n"]
)
async def test_every_kind_of_connection_gets_a_whole_answer(gateway: Gateway, request_line: str) -> None:
    host, _, port = gateway.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(f"GET /ok/callback?{signed(purchase())} {request_line}Host: gateway\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    body = await reader.readexactly(len(reply("xml").body))
    writer.close()

    assert head.startswith(("HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n"))
    assert f"Content-Length: {len(body)}\r\n" in head
    assert reply("xml").body == body


async def test_an_escaped_spelling_of_the_path_is_the_same_path(gateway: Gateway) -> None:
    host, _, port = gateway.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(f"GET /ok/c%61llback?{signed(purchase())} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(len(reply("xml").body))
    writer.close()

    assert reply("xml").body == body


async def test_requests_sent_together_on_one_connection_are_answered_in_order(gateway: Gateway) -> None:
    host, _, port = gateway.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    queries = [signed(purchase()), signed(purchase(), "wrong"), signed(purchase(amount="1")), signed(purchase())]

    writer.write(b"".join(f"GET /ok/callback?{query} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode() for query in queries))
    heads = []
    for error in (None, ErrorCode.PARAM_SIGNATURE, ErrorCode.CALLBACK_INVALID_PAYMENT, None):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        assert reply("xml", error).body == await reader.readexactly(len(reply("xml", error).body))
    writer.close()

    assert [False, True, True, False] == ["Invocation-error: " in head for head in heads]
    assert all("Date: " in head and "Content-Type: application/xml\r\n" in head for head in heads)


async def test_a_game_that_wants_json_is_answered_in_json(gateway: Gateway) -> None:
    accepted = await gateway.call(signed(purchase(application_key=OTHER_KEY), OTHER_SECRET))
    refused = await gateway.call(signed(purchase(application_key=OTHER_KEY, amount="1"), OTHER_SECRET))

    assert ("application/json", b"true", None) == (accepted.content_type, accepted.body, accepted.error)
    assert ("application/json", "1001") == (refused.content_type, refused.error)
    assert {
        "error_code": 1001,
        "error_msg": "CALLBACK_INVALID_PAYMENT : Payment is invalid and can not be processed",
        "error_data": None,
    } == json.loads(refused.body)
