import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from gateway_world import CONFIG, Barrier, Gateway, barrier_to, gateway_at, purchase, signed, subscription
from yarl import URL

from callback_gateway.domain.callback import Reason
from callback_gateway.domain.journal import Outcome, Received, to_journal
from callback_gateway.domain.verdict import judge
from callback_gateway.http import Callbacks
from callback_gateway.jobs import Journal, RefusalSamples
from okgames.clock import SystemClock
from okgames.database import Database
from okgames.ok_protocol import ErrorCode, parse_query, reply
from okgames.testing import wait_until


@dataclass
class Blockable:
    gateway: Gateway
    barrier: Barrier


@pytest.fixture
async def blockable(database_url: str, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[Blockable]:
    """A gateway whose way to the database can be blocked."""
    async with (
        barrier_to(database_url) as barrier,
        gateway_at(barrier.url, CONFIG, unused_tcp_port_factory, watched_at=database_url) as gateway,
    ):
        yield Blockable(gateway, barrier)


async def timed(gateway: Gateway, query: str) -> tuple[str | None, float]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    answer = await gateway.call(query)
    return answer.error, loop.time() - started


async def test_two_hundred_repeats_at_once_are_one_callback(gateway: Gateway) -> None:
    query = signed(purchase())

    answers = await asyncio.gather(*(gateway.call(query) for _ in range(200)))

    assert {reply("xml").body} == {answer.body for answer in answers}
    assert 1 == len(await gateway.events()) == len(await gateway.fetch("select from callbacks"))


async def test_callbacks_that_come_together_share_commits_and_each_tells_one_event(gateway: Gateway) -> None:
    purchases = [purchase(uid=str(number % 7)) for number in range(300)]
    queries = [signed(parameters) for parameters in purchases]
    before = await gateway.metric("okgames_callback_batch_size_count")

    answers = await asyncio.gather(*(gateway.call(query) for query in queries + queries[::3]))

    assert all(answer.is_true for answer in answers)
    events = await gateway.events()
    assert {parameters["transaction_id"] for parameters in purchases} == {event.transaction_id for event in events}
    assert len(purchases) == len(events) == len(await gateway.fetch("select from callbacks"))
    assert await gateway.metric("okgames_callback_batch_size_count") - before < len(purchases)


async def test_two_gateways_on_one_database_accept_a_callback_once(
    gateway: Gateway, unused_tcp_port_factory: Callable[[], int]
) -> None:
    queries = [signed(purchase(uid=str(number))) for number in range(50)]
    async with gateway_at(gateway.database_url, CONFIG, unused_tcp_port_factory) as other:
        answers = await asyncio.gather(
            *(one.call(query) for query in queries for one in (gateway, other)),
            *(one.call(query) for query in reversed(queries) for one in (other, gateway)),
        )

    assert all(answer.is_true for answer in answers)
    assert len(queries) == len(await gateway.events()) == len(await gateway.fetch("select from callbacks"))


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "together"])
async def test_another_content_under_the_same_transaction_is_refused_and_kept_for_a_person(
    gateway: Gateway, together: bool
) -> None:
    first = purchase()
    others = [
        first | {"product_code": "gold_500", "amount": "200"},
        first | {"uid": "500000000002"},
        first | {"product_code": "no_such_item"},
        first | {"amount": "51"},
    ]
    queries = [signed(parameters) for parameters in (first, *others)]
    conflicts = await gateway.metric("okgames_callback_conflicts_total")

    if together:
        answers = await asyncio.gather(*(gateway.call(query) for query in queries))
    else:
        answers = [await gateway.call(query) for query in queries]

    assert 1 == len(await gateway.events())
    assert Counter({None: 1, "1001": 4}) == Counter(answer.error for answer in answers)
    rows = await gateway.fetch("select * from conflicts")
    assert len(rows) == await gateway.metric("okgames_callback_conflicts_total") - conflicts
    for row in rows:
        assert row["stored_content"] != row["refused_content"]
        assert row["query"] in queries
    if not together:
        assert 4 == len(rows)
        assert [True] == [(await gateway.call(queries[0])).is_true]


async def test_a_subscriptions_end_makes_it_another_callback_and_its_time_does_not(gateway: Gateway) -> None:
    began = subscription("trial_subscription")
    later = began | {"extra_attributes": began["extra_attributes"].replace("09-03-2026", "10-03-2026")}

    for parameters in (began, began | {"transaction_time": "2026-03-02 10:15:35", "call_id": "8"}, later):
        assert (await gateway.call(signed(parameters))).is_true

    assert 2 == len(await gateway.events())


@pytest.mark.parametrize("action", ["trial_subscription", "unsubscribe"])
async def test_a_trial_or_a_cancellation_is_the_same_one_whatever_amount_it_names(
    gateway: Gateway, action: str
) -> None:
    told = subscription(action, amount="0")

    for amount in ("0", "50", "", "49"):
        assert (await gateway.call(signed(told | {"amount": amount}))).is_true

    assert 1 == len(await gateway.events())
    assert [] == await gateway.fetch("select from conflicts")


async def test_a_charge_without_a_transaction_id_that_names_another_amount_is_refused(gateway: Gateway) -> None:
    paid = subscription(transaction_id=None)

    assert (await gateway.call(signed(paid))).is_true
    assert "1001" == (await gateway.call(signed(paid | {"amount": "51"}))).error
    assert 1 == len(await gateway.fetch("select from conflicts"))


async def test_a_callback_that_cannot_be_written_fails_none_of_its_neighbours(gateway: Gateway) -> None:
    await gateway.fetch("alter table callbacks add constraint no_unlucky_ones check (uid <> '13')")
    queries = {uid: signed(purchase(uid=uid)) for uid in map(str, range(40))}

    answers = dict(
        zip(queries, await asyncio.gather(*(gateway.call(query) for query in queries.values())), strict=True)
    )

    assert "9999" == answers.pop("13").error
    assert all(answer.is_true for answer in answers.values())
    assert 39 == len(await gateway.events())


async def test_without_its_tables_the_gateway_says_that_a_retry_does_not_help(gateway: Gateway) -> None:
    await gateway.fetch("alter table callbacks rename to elsewhere")
    assert "9999" == (await gateway.call(signed(purchase()))).error

    await gateway.fetch("alter table elsewhere rename to callbacks")
    assert (await gateway.call(signed(purchase()))).is_true


class FaultyJournal(Journal):
    def record(self, received: Received, tell: Callable[[Outcome], None]) -> None:
        raise ZeroDivisionError


class EmptyJournal(Journal):
    def record(self, received: Received, tell: Callable[[Outcome], None]) -> None:
        tell(Outcome.REFUSED)


class FaultySamples(RefusalSamples):
    def take(self, reason: Reason, caller: str, query: str) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("journal_type", "samples_type", "error"),
    [
        (FaultyJournal, RefusalSamples, ErrorCode.UNKNOWN),
        (EmptyJournal, FaultySamples, ErrorCode.CALLBACK_INVALID_PAYMENT),
    ],
    ids=["before it is in the journal", "in what is noted after the answer"],
)
async def test_a_fault_of_ours_is_answered_as_unknown_where_the_answer_depends_on_it(
    database_url: str, journal_type: type[Journal], samples_type: type[RefusalSamples], error: ErrorCode
) -> None:
    database = Database(database_url, "callback_gateway")
    callbacks = Callbacks(CONFIG.apps, (), journal_type(database, SystemClock()), samples_type(database))
    app = web.Application()
    app.router.add_get("/ok/callback", callbacks.answer)

    async with TestClient(TestServer(app)) as client:
        response = await client.get(URL(f"/ok/callback?{signed(purchase(amount='51'))}", encoded=True))

        assert (200, str(int(error))) == (response.status, response.headers["Invocation-error"])
        assert reply("xml", error).body == await response.read()


async def test_before_the_journal_runs_callbacks_are_put_off(database_url: str) -> None:
    journal = Journal(Database(database_url, "callback_gateway"), SystemClock())
    query = signed(purchase())
    received = to_journal(judge(parse_query(query), CONFIG.apps[0], caller_is_expected=True), query, "")

    assert received is not None
    told: list[Outcome] = []
    journal.record(received, told.append)
    assert [Outcome.UNAVAILABLE] == told


async def test_without_a_database_callbacks_are_answered_at_once_and_accepted_again_with_it(
    blockable: Blockable,
) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    known, unknown = signed(purchase()), signed(purchase())
    assert (await gateway.call(known)).is_true

    barrier.close()
    for query in [known, unknown] * 10:
        error, seconds = await timed(gateway, query)
        assert "2" == error
        assert seconds < 1
    assert "104" == (await gateway.call(signed(purchase(), "wrong"))).error
    await barrier.open()

    assert (await gateway.call(known)).is_true
    assert (await gateway.call(unknown)).is_true
    assert 2 == len(await gateway.events())


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "not yet connected"])
async def test_while_the_database_hangs_callbacks_are_answered_within_a_second(
    blockable: Blockable, is_connected: bool
) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    if is_connected:
        assert (await gateway.call(signed(purchase()))).is_true
    waiting = [signed(purchase()) for _ in range(30)]

    barrier.requests_pass.clear()
    answers = await asyncio.gather(*(timed(gateway, query) for query in waiting))
    assert {"2"} == {error for error, _ in answers}
    assert max(seconds for _, seconds in answers) < 1
    barrier.requests_pass.set()

    async def recovered() -> bool:
        return (await gateway.call(waiting[0])).is_true

    await wait_until(recovered)
    for query in waiting:
        assert (await gateway.call(query)).is_true
    assert len(waiting) + is_connected == len(await gateway.events())


async def test_a_connection_that_hangs_for_good_is_given_up(blockable: Blockable) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    query = signed(purchase())
    assert (await gateway.call(signed(purchase()))).is_true

    barrier.freeze()
    assert "2" == (await gateway.call(query)).error

    async def recovered() -> bool:
        return (await gateway.call(query)).is_true

    await wait_until(recovered)
    assert 2 == len(await gateway.events())
    # The gateway says goodbye to all of its connections, also to those that do not answer.
    barrier.close()
    await barrier.open()


async def test_what_was_committed_though_ok_was_told_otherwise_is_noted_until_ok_hears_of_it(
    blockable: Blockable,
) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    heard_of, not_heard_of = signed(purchase()), signed(purchase())
    assert (await gateway.call(signed(purchase()))).is_true

    async def uncertain() -> set[str]:
        return {row["query"] for row in await gateway.fetch("select query from callbacks where ack_uncertain")}

    for query in (heard_of, not_heard_of):
        barrier.answers_pass.clear()
        assert "2" == (await gateway.call(query)).error
        barrier.answers_pass.set()

        async def is_noted(query: str = query) -> bool:
            return query in await uncertain()

        await wait_until(is_noted)

    assert (await gateway.call(heard_of)).is_true
    assert {not_heard_of} == await uncertain()
    assert 3 == len(await gateway.events())


async def test_a_caller_who_hung_up_may_not_have_heard_the_answer(blockable: Blockable) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    assert (await gateway.call(signed(purchase()))).is_true
    query = signed(purchase())
    host, _, port = gateway.base.removeprefix("http://").partition(":")

    barrier.answers_pass.clear()
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /ok/callback?{query} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())

    async def written() -> bool:
        return bool(await gateway.fetch("select from callbacks where query = $1", query))

    await wait_until(written, timeout=0.7)
    writer.transport.abort()
    barrier.answers_pass.set()

    async def noted() -> bool:
        return bool(await gateway.fetch("select from callbacks where query = $1 and ack_uncertain", query))

    await wait_until(noted)


async def test_nothing_is_answered_true_before_it_is_committed(blockable: Blockable) -> None:
    gateway, barrier = blockable.gateway, blockable.barrier
    answered: list[str] = []

    async def buy(query: str) -> None:
        if (await gateway.call(query)).is_true:
            answered.append(query)

    async def count() -> int:
        return len(await gateway.fetch("select from callbacks"))

    for number_before_the_cut in (0, 1, 2, 5, 10, 20, 40, 60, 99):
        wanted = len(answered) + number_before_the_cut
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(buy(signed(purchase())))
            await wait_until(lambda wanted=wanted: len(answered) >= wanted)
            barrier.close()
        committed = {row["query"] for row in await gateway.fetch("select query from callbacks")}
        assert set(answered) <= committed
        await barrier.open()

    assert await count() == len(await gateway.events())
    assert len(answered) < 900
