import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ledger import APP, Ledger, event_of, events_of, purchase
from subscription_lives import DAY, HOUR, START, cancellation, payment, trial

from okgames.events import WebhookDelivered, derive_id
from okgames.http import with_problems
from okgames.outbox import prune
from okgames.service import Scope
from okgames.testing import wait_until
from subscription_ledger.handlers import on_deliveries
from subscription_ledger.http import Api
from subscription_ledger.jobs import Watch

PLAYER = f"/v1/apps/{APP}/users/1"
CHANGES = f"/v1/apps/{APP}/changes"

Get = Callable[..., object]


@pytest.fixture
def watch(ledger: Ledger) -> Watch:
    return Watch(ledger.database)


@pytest.fixture
async def client(ledger: Ledger, watch: Watch) -> AsyncIterator[TestClient]:
    application = web.Application()
    for route in Api(ledger.config, ledger.clock, ledger.database, watch).routes():
        assert Scope.ENTITLEMENTS_READ == route.scope
        application.router.add_route(route.method, route.path, with_problems(route.handler))
    async with TestClient(TestServer(application)) as client:
        yield client


@pytest.fixture
def get(client: TestClient) -> Get:
    async def get(path: str, status: int = 200, **query: object) -> dict:
        async with client.get(path, params={name: str(value) for name, value in query.items()}) as response:
            body = orjson.loads(await response.read())
            assert status == response.status, body
            return body

    return get


def rfc3339(at: timedelta) -> str:
    return (START + at).isoformat()


async def test_a_player_whom_nobody_knows_has_an_empty_list_and_version_0(get: Get) -> None:
    assert {"uid": "1", "version": 0, "entitlements": []} == await get(f"{PLAYER}/entitlements")


async def test_an_entitlement_has_these_fields(ledger: Ledger, get: Get) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))

    assert {
        "uid": "1",
        "version": 1,
        "entitlements": [
            {
                "product": "apples",
                "state": "trial",
                "entitled": True,
                "until": rfc3339(3 * DAY),
                "since": rfc3339(0 * DAY),
                "reason": "On trial until 2026-03-04 15:00:00 MSK.",
            }
        ],
    } == await get(f"{PLAYER}/entitlements")


async def test_a_lapse_shows_before_the_job_has_told_of_it(ledger: Ledger, get: Get) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))
    ledger.clock.time = START + 3 * DAY + 2 * HOUR

    answer = await get(f"{PLAYER}/entitlements")
    assert ("lapsed", False, 1) == (
        answer["entitlements"][0]["state"],
        answer["entitlements"][0]["entitled"],
        answer["version"],
    )


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-1 * HOUR, []),
        (0 * HOUR, [("apples", "trial", True)]),
        (3 * DAY, [("apples", "active", True)]),
        (4 * DAY, [("apples", "active", True), ("pears", "active", True)]),
        (6 * DAY, [("apples", "cancelled", False), ("pears", "active", True)]),
        (90 * DAY, [("apples", "cancelled", False), ("pears", "lapsed", False)]),
    ],
)
async def test_entitlements_are_answered_as_of_a_time(
    ledger: Ledger, get: Get, at: timedelta, expected: list[tuple[str, str, bool]]
) -> None:
    await ledger.learn(*events_of([trial(1, 0 * DAY), payment(2, 3 * DAY), cancellation(3, 6 * DAY)], "1"))
    await ledger.learn(*events_of([payment(1, 4 * DAY)], "1", "pears"))

    found = (await get(f"{PLAYER}/entitlements", at=rfc3339(at)))["entitlements"]
    assert expected == [(each["product"], each["state"], each["entitled"]) for each in found]


async def test_waiting_for_a_version_ends_when_it_comes(ledger: Ledger, get: Get, watch: Watch) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(get(f"{PLAYER}/entitlements", wait_version=1, timeout=30))
        await wait_until(lambda: watch._versions)
        await watch.look(START)
        assert not asked.done()
        await ledger.learn(*events_of([trial(1, 0 * DAY)], "1"))
        await watch.look(START)

    assert 1 == asked.result()["version"]
    assert not watch._versions


@pytest.mark.parametrize("timeout", [0, 1])
async def test_waiting_for_a_version_ends_with_what_there_is(get: Get, timeout: int) -> None:
    assert 0 == (await get(f"{PLAYER}/entitlements", wait_version=1, timeout=timeout))["version"]


async def test_the_timeline_tells_what_happened_and_when_it_was_learned(ledger: Ledger, get: Get) -> None:
    ledger.clock.time = START + 5 * DAY
    await ledger.learn(event_of(payment(2, 4 * DAY), "1", "chest"), purchase("1", 7, at=4 * DAY + HOUR))
    await ledger.learn(event_of(trial(1, 0 * DAY), "1", "chest"), purchase("2", 1))
    delivered = WebhookDelivered(
        id=derive_id("delivered"),
        occurred_at=START + 6 * DAY,
        application_key=APP,
        uid="1",
        delivery_id=derive_id("delivery"),
        endpoint_id=derive_id("endpoint"),
        event_id=derive_id("event"),
        webhook_type="reward.granted",
        attempts=1,
        status=200,
    )
    async with ledger.database.transaction() as tx:
        await on_deliveries(ledger.clock, tx, [delivered])

    answer = await get(f"{PLAYER}/timeline")
    assert answer["next"] is None
    assert [
        (0 * DAY, "callback", "trial"),
        (0 * DAY, "reward", "trial"),
        (4 * DAY, "callback", "payment"),
        (4 * DAY, "entitlement", "first_payment"),
        (4 * DAY, "reward", "payment"),
        (4 * DAY + HOUR, "callback", "purchase"),
        (4 * DAY + HOUR, "reward", "purchase"),
        (6 * DAY, "delivery", "reward.granted"),
    ] == [
        (
            datetime.fromisoformat(item["occurred_at"]) - START,
            item["what"],
            item.get("kind") or item.get("cause") or item.get("reason") or item.get("webhook_type"),
        )
        for item in answer["items"]
    ]
    assert {rfc3339(5 * DAY)} == {item["learned_at"] for item in answer["items"]}


async def test_the_timeline_is_read_page_by_page(ledger: Ledger, get: Get) -> None:
    await ledger.learn(*(purchase("1", number) for number in range(5)))
    whole = (await get(f"{PLAYER}/timeline"))["items"]
    read: list[dict] = []
    query: dict[str, object] = {"limit": 3}
    while query.get("after", "") is not None:
        answer = await get(f"{PLAYER}/timeline", **query)
        read += answer["items"]
        query["after"] = answer["next"]

    assert 10 == len(whole)
    assert whole == read


async def test_explain_names_the_callbacks_that_decide(ledger: Ledger, get: Get) -> None:
    life = [trial(1, 0 * DAY), payment(2, 3 * DAY), payment(3, 10 * DAY), payment(4, 17 * DAY)]
    ledger.clock.time = START + 18 * DAY
    await ledger.learn(*events_of(life, "1"), purchase("1", 9))

    answer = await get(f"{PLAYER}/explain", product="apples")
    [found] = answer["explanations"]
    assert [
        "Access is on. Paid until 2026-03-25 15:00:00 MSK.",
        (
            "A trial began on 2026-03-01 15:00:00 MSK, until 2026-03-04 15:00:00 MSK; "
            "this was learned on 2026-03-19 15:00:00 MSK."
        ),
        (
            "A payment of 50 OKs on 2026-03-18 15:00:00 MSK, transaction t4, paid until 2026-03-25 15:00:00 MSK; "
            "this was learned on 2026-03-19 15:00:00 MSK."
        ),
        "2 more callbacks of the same run decide nothing now.",
        "Unless a payment comes, access ends on 2026-03-25 17:00:00 MSK.",
    ] == found["sentences"]
    assert ["trial", "payment"] == [entry["kind"] for entry in found["rests_on"]]
    assert found["entitlement"]["entitled"]
    assert ["apples", "gold_100"] == [each["product"] for each in (await get(f"{PLAYER}/explain"))["explanations"]]


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("map", ["Never bought, never subscribed to."]),
        ("gold_100", ["Bought 2 times, the last time on 2026-03-01 16:00:00 MSK, transaction t2."]),
        (
            "apples",
            [
                "Access is off. Cancelled on 2026-03-02 15:00:00 MSK; access has ended.",
                "A payment of 50 OKs on 2026-03-01 15:00:00 MSK, transaction t1, paid until 2026-03-08 15:00:00 MSK.",
                "The player cancelled on 2026-03-02 15:00:00 MSK.",
                "Of this product a cancellation ends access at once.",
            ],
        ),
        (
            "pears",
            [
                (
                    "Access is off. Cancelled on 2026-03-02 15:00:00 MSK; what was paid for ended on "
                    "2026-03-08 15:00:00 MSK."
                ),
                "A payment of 50 OKs on 2026-03-01 15:00:00 MSK, transaction t1, paid until 2026-03-08 15:00:00 MSK.",
                "The player cancelled on 2026-03-02 15:00:00 MSK.",
                "Of this product a cancellation leaves the time that was paid for.",
            ],
        ),
        (
            "chest",
            [
                "Access is off. Paid until 2026-03-08 15:00:00 MSK; no payment came after that.",
                "A payment of 50 OKs on 2026-03-01 15:00:00 MSK, transaction t1, paid until 2026-03-08 15:00:00 MSK.",
                "A payment was awaited until 2026-03-08 17:00:00 MSK; one that comes later gives access again.",
            ],
        ),
    ],
)
async def test_explain_says_it_in_plain_sentences(ledger: Ledger, get: Get, product: str, expected: list[str]) -> None:
    await ledger.learn(purchase("1", 2, at=HOUR), purchase("1", 1))
    for code in ("apples", "pears", "chest"):
        await ledger.learn(event_of(payment(1, 0 * DAY), "1", code))
        if code != "chest":
            ledger.clock.time = START + DAY
            await ledger.learn(event_of(cancellation(2, 1 * DAY), "1", code))
            ledger.clock.time = START
    ledger.clock.time = START + 30 * DAY

    [found] = (await get(f"{PLAYER}/explain", product=product))["explanations"]
    assert expected == found["sentences"]


async def test_changes_are_pulled_page_by_page_and_only_ones_own(ledger: Ledger, get: Get) -> None:
    for number in range(20):
        await ledger.learn(
            purchase(str(number), 1),
            purchase(str(number), 1, app="CBOTHERKEYABABABAB"),
            *events_of([trial(1, 0 * DAY)], str(number)),
        )
    read: list[dict] = []
    query: dict[str, object] = {"limit": 7}
    while items := (answer := await get(CHANGES, **query))["items"]:
        assert 7 >= len(items)
        read += items
        query["after"] = answer["next"]

    kept = await ledger.rows("select id from event_log.events where key like $1 order by position", f"{APP}:%")
    assert [str(row["id"]) for row in kept] == [item["id"] for item in read]
    assert {"RewardGranted", "EntitlementGranted"} == {item["type"] for item in read}
    assert {APP} == {item["data"]["application_key"] for item in read}


async def test_a_long_poll_ends_with_the_first_change(ledger: Ledger, get: Get, watch: Watch) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(get(CHANGES, wait=30))
        await wait_until(lambda: watch._news)
        await ledger.learn(purchase("1", 1))
        await watch.look(START)

    assert ["RewardGranted"] == [item["type"] for item in asked.result()["items"]]


async def test_a_long_poll_without_changes_ends_in_time(get: Get) -> None:
    assert [] == (await get(CHANGES, wait=1))["items"]


async def test_a_cursor_whose_events_are_deleted_is_gone_and_a_new_start_is_possible(ledger: Ledger, get: Get) -> None:
    start = (await get(CHANGES))["next"]
    await ledger.learn(purchase("1", 1), purchase("2", 1))
    read = (await get(CHANGES))["next"]
    await ledger.rows("insert into event_log.cursors select 'reader', topic, partition, position from event_log.events")
    await prune(ledger.database, timedelta())

    assert "Cursor too old" == (await get(CHANGES, status=410, after=start))["title"]
    assert [] == (await get(CHANGES, after=read))["items"]
    await ledger.learn(purchase("3", 1))
    assert 1 == len((await get(CHANGES, after=read))["items"])
    assert 1 == len((await get(CHANGES))["items"])


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/v1/apps/CBNOBODY/users/1/entitlements", {}, 404),
        ("/v1/apps/CBNOBODY/users/1/timeline", {}, 404),
        ("/v1/apps/CBNOBODY/users/1/explain", {}, 404),
        ("/v1/apps/CBNOBODY/changes", {}, 404),
        (f"{PLAYER}/explain", {"product": "cherries"}, 404),
        (f"{PLAYER}/entitlements", {"at": "yesterday"}, 400),
        (f"{PLAYER}/entitlements", {"at": "2026-03-01T00:00:00"}, 400),
        (f"{PLAYER}/entitlements", {"wait_version": "-1"}, 400),
        (f"{PLAYER}/entitlements", {"wait_version": "1", "timeout": "61"}, 400),
        (f"{PLAYER}/timeline", {"limit": "0"}, 400),
        (f"{PLAYER}/timeline", {"after": "!"}, 400),
        (f"{PLAYER}/timeline", {"after": "WzFd"}, 400),
        (f"{PLAYER}/timeline", {"after": "WyJ4IiwxLCJ5Il0"}, 400),
        (CHANGES, {"limit": "1001"}, 400),
        (CHANGES, {"wait": "61"}, 400),
        (CHANGES, {"after": "\u00e9"}, 400),
        (CHANGES, {"after": "WzFd"}, 400),
        (CHANGES, {"after": "WzEsMiwzLDQsNSw2LDcsLTFd"}, 400),
    ],
)
async def test_what_is_asked_wrongly_gets_a_problem(get: Get, path: str, query: dict[str, str], status: int) -> None:
    assert status == (await get(path, status=status, **query))["status"]


async def test_any_text_is_a_uid(ledger: Ledger, client: TestClient) -> None:
    uid = "a/b \u00fc'\"%"
    await ledger.learn(*events_of([trial(1, 0 * DAY)], uid))

    async with client.get(f"/v1/apps/{APP}/users/{quote(uid, safe='')}/entitlements") as response:
        assert uid == (await response.json())["uid"]


async def test_times_are_utc(ledger: Ledger, get: Get) -> None:
    await ledger.learn(purchase("1", 1))
    at = datetime.fromisoformat((await get(f"{PLAYER}/timeline"))["items"][0]["occurred_at"])

    assert UTC.utcoffset(None) == at.utcoffset()
