"""The same callback under another catalogue, other secrets and other callers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from gateway_world import Gateway, config, gateway_at, purchase, signed, subscription
from ok_vectors import SECRET

from okgames.testing import wait_until

OKS_CALLERS = ["217.20.145.192/28", "217.20.151.160/28", "217.20.153.48/28"]


@pytest.fixture
def restarted(database_url: str, unused_tcp_port_factory: Callable[[], int]) -> Callable[..., AsyncIterator[Gateway]]:
    """Run the gateway with other settings of its game on the same database."""

    @asynccontextmanager
    async def run(**app: object) -> AsyncIterator[Gateway]:
        async with gateway_at(database_url, config(**app), unused_tcp_port_factory) as gateway:
            yield gateway

    return run


def gold(*prices: dict[str, object], **changes: object) -> list[dict[str, object]]:
    return [{"code": "gold_100", "name": "Gold", "prices": list(prices), **changes}]


OLD_PRICE = {"oks": 50}
NEW_PRICE = {"oks": 70, "from": datetime(2026, 3, 2, 7, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("time", "amount", "is_accepted"),
    [
        ("2026-03-02 09:59:59", "50", True),
        ("2026-03-02 09:59:59", "70", False),
        ("2026-03-02 10:00:00", "70", True),
        ("2026-03-02 10:14:59", "50", True),
        ("2026-03-02 10:15:00", "50", False),
        ("2026-03-02 10:15:00", "70", True),
    ],
)
async def test_a_price_counts_by_the_time_of_the_payment(
    restarted: Callable[..., AsyncIterator[Gateway]], time: str, amount: str, is_accepted: bool
) -> None:
    async with restarted(products=gold(OLD_PRICE, NEW_PRICE)) as gateway:
        answer = await gateway.call(signed(purchase(transaction_time=time, amount=amount)))

    assert is_accepted == answer.is_true


async def test_a_payment_before_the_first_price_is_refused(restarted: Callable[..., AsyncIterator[Gateway]]) -> None:
    async with restarted(products=gold(NEW_PRICE)) as gateway:
        answer = await gateway.call(signed(purchase(transaction_time="2026-03-02 09:59:59", amount="70")))

    assert "1001" == answer.error


async def test_times_are_those_of_the_games_zone(restarted: Callable[..., AsyncIterator[Gateway]]) -> None:
    async with restarted(products=gold(OLD_PRICE, NEW_PRICE), timezone="Europe/London") as gateway:
        answers = [
            await gateway.call(signed(purchase(transaction_time=time, amount="50")))
            for time in ("2026-03-02 06:59:59", "2026-03-02 07:15:00")
        ]

    assert [True, False] == [answer.is_true for answer in answers]


@pytest.mark.parametrize(
    "products",
    [
        gold({"oks": 70}),
        gold(NEW_PRICE | {"from": datetime(2027, 1, 1, tzinfo=UTC)}),
        gold(OLD_PRICE, subscription={"period": "7d"}),
        [],
    ],
    ids=["another price", "a price not yet", "a subscription now", "no product"],
)
async def test_a_repeat_gets_its_first_answer_whatever_the_catalogue_says_now(
    restarted: Callable[..., AsyncIterator[Gateway]], products: list[dict[str, object]]
) -> None:
    parameters = purchase()
    async with restarted() as gateway:
        assert (await gateway.call(signed(parameters))).is_true

    async with restarted(products=products) as gateway:
        assert (await gateway.call(signed(parameters))).is_true
        assert (await gateway.call(signed(parameters | {"call_id": "7", "new": "1"}))).is_true
        assert "1001" == (await gateway.call(signed(purchase()))).error
        assert "1001" == (await gateway.call(signed(parameters | {"amount": "51"}))).error
        assert 1 == len(await gateway.events())


async def test_a_trial_gets_its_first_answer_after_its_product_is_gone(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    parameters = subscription("trial_subscription")
    async with restarted() as gateway:
        assert (await gateway.call(signed(parameters))).is_true

    async with restarted(products=[]) as gateway:
        assert (await gateway.call(signed(parameters))).is_true
        assert "1001" == (await gateway.call(signed(subscription("unsubscribe")))).error


async def test_a_trial_that_began_at_an_old_price_can_be_cancelled(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    plan = {"subscription": {"period": "7d"}, "code": "apples"}
    async with restarted(products=gold(OLD_PRICE, NEW_PRICE, **plan)) as gateway:
        assert (await gateway.call(signed(subscription("unsubscribe", amount="50")))).is_true
        assert "1001" == (await gateway.call(signed(subscription(amount="50")))).error


async def test_either_secret_counts_while_the_secret_is_changed(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    async with restarted(secret_keys=["the new one", SECRET]) as gateway:
        assert (await gateway.call(signed(purchase(), SECRET))).is_true
        assert (await gateway.call(signed(purchase(), "the new one"))).is_true
        assert "104" == (await gateway.call(signed(purchase(), "another"))).error
    async with restarted(secret_keys=["the new one"]) as gateway:
        assert "104" == (await gateway.call(signed(purchase(), SECRET))).error


async def test_an_unexpected_caller_is_refused_only_if_the_game_says_so(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    unexpected = "okgames_callbacks_from_unexpected_callers_total"
    async with restarted(allowed_callers=OKS_CALLERS) as gateway:
        before = await gateway.metric(unexpected)
        assert (await gateway.call(signed(purchase()))).is_true
        assert "104" == (await gateway.call(signed(purchase(), "wrong"))).error
        assert before + 1 == await gateway.metric(unexpected)
    async with restarted(allowed_callers=OKS_CALLERS, callers_policy="enforce") as gateway:
        assert "1001" == (await gateway.call(signed(purchase()))).error
        assert "104" == (await gateway.call(signed(purchase(), "wrong"))).error
    async with restarted(allowed_callers=["127.0.0.0/8"], callers_policy="enforce") as gateway:
        assert (await gateway.call(signed(purchase()))).is_true


async def test_behind_a_trusted_proxy_the_caller_is_whom_the_proxy_names(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    app = {"allowed_callers": OKS_CALLERS, "callers_policy": "enforce", "trusted_proxies": ["127.0.0.1/32"]}
    async with restarted(**app) as gateway:
        for forwarded, is_accepted in [
            ("217.20.145.200", True),
            ("6.6.6.6, 217.20.145.200", True),
            ("217.20.145.200, 6.6.6.6", False),
            ("217.20.145.200, nonsense", False),
            ("", False),
        ]:
            answer = await gateway.call(signed(purchase()), headers={"X-Forwarded-For": forwarded})
            assert is_accepted == answer.is_true, forwarded
        assert ["217.20.145.200"] * 2 == [row["caller"] for row in await gateway.fetch("select caller from callbacks")]


async def test_the_first_refused_callbacks_of_a_second_are_kept_without_their_signatures(
    restarted: Callable[..., AsyncIterator[Gateway]],
) -> None:
    async with restarted() as gateway:
        before = await gateway.metric("okgames_callbacks_refused_total")
        for _ in range(50):
            await gateway.call(signed(purchase(uid="1" * 3000, product_option="яблоко"), "wrong"))

        async def kept() -> bool:
            return bool(await gateway.fetch("select from refusals"))

        await wait_until(kept)
        rows = await gateway.fetch("select * from refusals")
        assert 50 == await gateway.metric("okgames_callbacks_refused_total") - before
        assert 1 <= len(rows) < 50
        for row in rows:
            assert (104, "wrong_signature", "127.0.0.1") == (row["code"], row["reason"], row["caller"])
            assert len(row["query"]) <= 2048

        await gateway.call(signed(purchase(amount="1")))

        async def kept_invalid() -> bool:
            return bool(await gateway.fetch("select from refusals where reason = 'wrong_amount'"))

        await wait_until(kept_invalid)
        [row] = await gateway.fetch("select query from refusals where reason = 'wrong_amount'")
        assert row["query"].endswith("&sig=")


async def test_refusals_never_fill_the_disk(restarted: Callable[..., AsyncIterator[Gateway]]) -> None:
    async with restarted() as gateway:
        await gateway.fetch(
            """
            insert into refusals (slot, refused_at, code, reason, caller, query)
            select nextval('refusal_slots'), now(), 104, 'unsigned', '', '' from generate_series(1, 1000)
            """
        )
        await gateway.call("uid=1")

        async def kept() -> bool:
            return bool(await gateway.fetch("select from refusals where query = 'uid=1'"))

        await wait_until(kept)
        assert 1000 == (await gateway.fetch("select count(*) from refusals"))[0][0]
