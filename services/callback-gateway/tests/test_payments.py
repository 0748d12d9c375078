from typing import Any

import pytest
from gateway_world import ADMIN_TOKEN, OTHER_KEY, OTHER_SECRET, Gateway, purchase, signed, subscription
from ok_vectors import APPLICATION_KEY

MARCH = {"from": "2026-03-01T00:00:00+03:00", "to": "2026-04-01T00:00:00+03:00"}


async def asked(
    gateway: Gateway, key: str = APPLICATION_KEY, token: str | None = ADMIN_TOKEN, **query: str
) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with gateway.http.get(
        f"{gateway.base}/v1/payments", params={"application_key": key, **query}, headers=headers
    ) as response:
        return response.status, await response.json(content_type=None)


async def ids(gateway: Gateway, **query: str) -> list[str]:
    status, answer = await asked(gateway, **query)
    assert (200, None) == (status, answer["next"])
    return [item["transaction_id"] for item in answer["items"]]


async def test_payments_are_told_as_ok_told_them(gateway: Gateway) -> None:
    bought = purchase(transaction_id="1 %+я")
    paid = subscription(transaction_id=None, transaction_time="2026-03-02 10:15:31")
    for parameters in (paid, bought, subscription("trial_subscription"), subscription("unsubscribe")):
        assert (await gateway.call(signed(parameters))).is_true

    _, answer = await asked(gateway, **MARCH)

    common = {"uid": "500000000001", "amount_oks": 50, "ack_uncertain": False}
    first, second = answer["items"]
    assert {"id", "received_at"} == first.keys() - common.keys() - {"type", "transaction_id", "occurred_at", "product"}
    assert common | {
        "type": "PaymentReceived",
        "transaction_id": "1 %+я",
        "occurred_at": "2026-03-02T07:15:30+00:00",
        "product": "gold_100",
    } == {name: value for name, value in first.items() if name not in ("id", "received_at")}
    assert ("SubscriptionPaid", None, "apples") == (second["type"], second["transaction_id"], second["product"])


async def test_a_span_has_its_first_moment_and_not_its_last(gateway: Gateway) -> None:
    times = ["2026-02-28 23:59:59", "2026-03-01 00:00:00", "2026-03-31 23:59:59", "2026-04-01 00:00:00"]
    for number, time in enumerate(times):
        query = signed(purchase(transaction_time=time, transaction_id=str(number)))
        assert (await gateway.call(query)).is_true

    assert ["1", "2"] == await ids(gateway, **MARCH)


async def test_pages_follow_each_other_without_gap_or_repeat(gateway: Gateway) -> None:
    # Most of them at the same second, where only the id tells their order.
    seconds = [30, 30, 30, 30, 31, 29]
    for number, second in enumerate(seconds):
        query = signed(purchase(transaction_time=f"2026-03-02 10:15:{second}", transaction_id=str(number)))
        assert (await gateway.call(query)).is_true

    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        _, answer = await asked(gateway, limit="2", **MARCH, **after)
        found += [item["transaction_id"] for item in answer["items"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}

    assert await ids(gateway, **MARCH) == found
    assert ["5", "4"] == [found[0], found[-1]]


async def test_an_application_has_its_own_payments_only(gateway: Gateway) -> None:
    await gateway.call(signed(purchase(transaction_id="ours")))
    await gateway.call(signed(purchase(application_key=OTHER_KEY, transaction_id="theirs"), OTHER_SECRET))

    assert ["ours"] == await ids(gateway, **MARCH)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"from": MARCH["from"]},
        MARCH | {"to": "April"},
        MARCH | {"to": "2026-04-01T00:00:00"},
        MARCH | {"limit": "0"},
        MARCH | {"limit": "1001"},
        MARCH | {"after": "nowhere"},
        MARCH | {"after": "WyIyMDI2LTAzLTAyVDEwOjE1OjMwIiwiMGYyYzlhNjYtMmMzNi01ZDJiLThmMGMtM2Y5YTFhNmE3YjExIl0"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(gateway: Gateway, query: dict[str, str]) -> None:
    status, answer = await asked(gateway, **query)

    assert (400, "Wrong parameter") == (status, answer["title"])


async def test_payments_are_told_to_those_who_may_know(gateway: Gateway) -> None:
    assert 401 == (await asked(gateway, token=None, **MARCH))[0]
    assert 401 == (await asked(gateway, token="guessed", **MARCH))[0]
    assert 400 == (await asked(gateway, key="NOBODY", **MARCH))[0]
