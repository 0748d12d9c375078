from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import chain
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from notifier_world import KEY, NOW, Game, Notifier, notifying, reward, statuses

from notifier.http.deliveries import DeliveriesApi, EndpointsApi
from okgames.events import derive_id
from okgames.http import with_problems
from okgames.service import Scope
from okgames.testing import wait_until
from okgames.webhooks import Webhook

Json = dict[str, Any]


class Person:
    """Asks the notifier over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, at_work: Notifier) -> None:
        self._session = session
        self.at_work = at_work

    async def get(self, path: str, status: int = 200) -> Json:
        async with self._session.get(path) as response:
            assert status == response.status, await response.text()
            return dict(await response.json(content_type=None))

    async def post(self, path: str, body: object = None, status: int = 200) -> Json:
        async with self._session.post(path, json=body) as response:
            assert status == response.status, await response.text()
            return dict(await response.json(content_type=None))

    async def endpoint_path(self) -> str:
        (endpoint,) = (await self.get("/v1/endpoints"))["items"]
        return f"/v1/endpoints/{endpoint['id']}"


def routes(at_work: Notifier) -> list[web.RouteDef]:
    apis = (
        DeliveriesApi(at_work.database, at_work.clock, at_work.courier),
        EndpointsApi(at_work.database, at_work.clock, at_work.courier, at_work.endpoints),
    )
    return [web.route(each.method, each.path, with_problems(each.handler)) for api in apis for each in api.routes()]


@asynccontextmanager
async def asking(at_work: Notifier) -> AsyncIterator[Person]:
    app = web.Application()
    app.add_routes(routes(at_work))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield Person(session, at_work)
    finally:
        await runner.cleanup()


@pytest.fixture
async def person(at_work: Notifier) -> AsyncIterator[Person]:
    async with asking(at_work) as one:
        yield one


async def test_a_delivery_is_shown_with_every_attempt(game: Game, person: Person) -> None:
    game.answering = statuses(500, 200)
    await person.at_work.tell(reward("1", 1))
    await person.at_work.pass_retries(1)
    (listed,) = (await person.get("/v1/deliveries"))["items"]
    shown = await person.get(f"/v1/deliveries/{listed['id']}")

    assert listed == shown
    assert game.seen[0].id == shown["id"]
    assert ("delivered", "reward.granted", KEY, "1") == (
        shown["state"],
        shown["type"],
        shown["application_key"],
        shown["uid"],
    )
    assert [(500, "that is 500"), (200, "that is 200")] == [
        (attempt["status"], attempt["answer"]) for attempt in shown["attempts"]
    ]
    assert shown["body"].encode() == game.bodies[0]


async def test_deliveries_are_listed_by_pages_and_chosen(game: Game, person: Person) -> None:
    game.answering = statuses(500)
    await person.at_work.tell(*(reward("1", number) for number in range(5)))
    await wait_until(lambda: game.seen)
    game.answering = None
    await person.at_work.tell(*(reward("2", number) for number in range(2)))
    await wait_until(lambda: len(game.rewards_of("2")) == 2)
    await wait_until(person.at_work.rests)

    pages, after = [], ""
    while after is not None:
        answer = await person.get(f"/v1/deliveries?limit=2&uid=1{after and '&after=' + after}")
        pages.append([item["id"] for item in answer["items"]])
        after = answer["next"]
    everything = (await person.get("/v1/deliveries"))["items"]
    assert [2, 2, 1] == [len(page) for page in pages]
    assert [item["id"] for item in everything if item["uid"] == "1"] == [*chain.from_iterable(pages)]
    assert 5 == len((await person.get("/v1/deliveries?state=pending"))["items"])
    assert 2 == len((await person.get(f"/v1/deliveries?state=delivered&application_key={KEY}"))["items"])
    assert [] == (await person.get("/v1/deliveries?application_key=OTHER"))["items"]
    assert 7 == len((await person.get(f"/v1/deliveries?endpoint_id={everything[0]['endpoint_id']}"))["items"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/deliveries?state=lost", 400),
        ("/v1/deliveries?limit=0", 400),
        ("/v1/deliveries?limit=1001", 400),
        ("/v1/deliveries?after=x", 400),
        ("/v1/deliveries?endpoint_id=x", 400),
        (f"/v1/deliveries/{derive_id('no delivery')}", 404),
        ("/v1/deliveries/x", 404),
        (f"/v1/endpoints/{derive_id('no endpoint')}", 404),
        ("/v1/endpoints/x", 404),
    ],
)
async def test_a_wrong_question_is_told_to_be_so(person: Person, path: str, status: int) -> None:
    problem = await person.get(path, status)

    assert status == problem["status"]
    assert problem["title"]


async def test_one_delivery_is_sent_again_under_its_id(game: Game, person: Person) -> None:
    await person.at_work.tell(reward("1", 1), reward("1", 2))
    await person.at_work.until("delivered", "delivered")
    answer = await person.post(f"/v1/deliveries/{game.seen[0].id}/resend")
    await wait_until(lambda: len(game.seen) == 3)
    await person.at_work.until("delivered", "delivered")

    assert "pending" == answer["state"]
    assert game.seen[0] == game.seen[2]
    assert game.bodies[0] == game.bodies[2]
    assert ["WebhookDelivered"] * 3 == await person.at_work.events()
    assert 2 == len((await person.get(f"/v1/deliveries/{game.seen[0].id}"))["attempts"])
    await person.post(f"/v1/deliveries/{derive_id('none')}/resend", status=404)


async def test_a_delivery_that_waits_goes_at_once_when_it_is_sent_again(game: Game, person: Person) -> None:
    game.answering = statuses(500, 500, 500, 500, 500, 200)
    await person.at_work.tell(reward("1", 1))
    await person.at_work.pass_retries(4)
    await person.post(f"/v1/deliveries/{game.seen[0].id}/resend")
    await person.at_work.until("delivered")


async def test_a_range_is_sent_again_in_order(game: Game, person: Person) -> None:
    await person.at_work.tell(reward("1", 1))
    await person.at_work.until("delivered")
    await person.at_work.move(timedelta(hours=1))
    await person.at_work.tell(*(reward("1", number) for number in range(2, 5)), reward("2", 1))
    await person.at_work.until(*["delivered"] * 5)
    chosen = {
        "application_key": KEY,
        "from": (NOW + timedelta(minutes=30)).isoformat(),
        "to": (NOW + timedelta(days=1)).isoformat(),
    }
    assert {"resent": 3} == await person.post("/v1/deliveries/resend", chosen | {"uid": "1"})
    await wait_until(lambda: len(game.rewards_of("1")) == 7)
    await person.at_work.until(*["delivered"] * 5)

    assert ["1", "2", "3", "4", "2", "3", "4"] == game.rewards_of("1")
    assert {"resent": 0} == await person.post("/v1/deliveries/resend", chosen | {"state": "exhausted"})
    assert {"resent": 4} == await person.post("/v1/deliveries/resend", chosen | {"state": "delivered"})
    assert {"resent": 0} == await person.post(
        "/v1/deliveries/resend", chosen | {"endpoint_id": str(derive_id("another"))}
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"application_key": KEY},
        {"application_key": KEY, "from": "2026-03-02", "to": "2026-03-03T00:00:00+03:00"},
        {"application_key": KEY, "from": "2026-03-02T00:00:00", "to": "2026-03-03T00:00:00"},
        {"application_key": KEY, "from": NOW.isoformat(), "to": NOW.isoformat(), "state": "lost"},
        {"application_key": KEY, "from": NOW.isoformat(), "to": NOW.isoformat(), "wrong": 1},
    ],
)
async def test_a_wrong_range_is_refused(person: Person, body: object) -> None:
    assert "Wrong body" == (await person.post("/v1/deliveries/resend", body, status=400))["title"]


async def test_an_endpoint_is_shown_without_its_secret(game: Game, person: Person) -> None:
    game.answering = statuses(500)
    await person.at_work.tell(reward("1", 1), reward("1", 2))
    await wait_until(lambda: game.seen)
    await wait_until(person.at_work.rests)
    endpoint = await person.get(await person.endpoint_path())

    assert {
        "id": str(person.at_work.endpoints[0].id),
        "application_key": KEY,
        "url": game.url,
        "events": ["*"],
        "configured": True,
        "state": "active",
        "paused_reason": None,
        "paused_at": None,
        "failing_since": endpoint["failing_since"],
        "consecutive_failures": 1,
        "pending": 2,
    } == endpoint
    assert [] == (await person.get("/v1/endpoints?application_key=OTHER"))["items"]


async def test_a_paused_endpoint_gets_nothing_and_loses_nothing(game: Game, person: Person) -> None:
    path = await person.endpoint_path()
    paused = await person.post(f"{path}/pause")
    again = await person.post(f"{path}/pause")
    await person.at_work.tell(*(reward("1", number) for number in range(3)), reward("2", 1))
    await person.at_work.move(timedelta(days=1))

    assert ("paused", "operator") == (paused["state"], paused["paused_reason"])
    assert paused == again
    assert ["EndpointPaused"] == await person.at_work.events()
    assert [] == game.seen
    resumed = await person.post(f"{path}/resume")
    await person.at_work.until(*["delivered"] * 4)
    assert ("active", None, 4) == (resumed["state"], resumed["paused_reason"], resumed["pending"])
    assert ["0", "1", "2"] == game.rewards_of("1")


async def test_after_a_pause_what_waited_long_goes_at_once_with_its_schedule_from_the_start(
    game: Game, person: Person
) -> None:
    async def answering(_webhook: Webhook) -> web.Response:
        return web.Response(status=500 if len(game.seen) < 12 else 200)

    game.answering = answering
    await person.at_work.tell(reward("1", 1), reward("1", 2))
    await person.at_work.pass_retries(9)
    path = await person.endpoint_path()
    assert "failing" == (await person.get(path))["paused_reason"]
    await person.post(f"{path}/resume")
    await person.at_work.pass_retries(1)
    await person.at_work.until("delivered", "delivered")

    attempts = (await person.at_work.deliveries())[0].attempts
    assert 12 == len(attempts)
    assert attempts[11].at - attempts[10].at < timedelta(seconds=5)
    endpoint = await person.get(path)
    assert ("active", None) == (endpoint["state"], endpoint["failing_since"])


async def test_a_ping_tells_what_came_of_it_and_is_no_delivery(game: Game, person: Person) -> None:
    async def answering(webhook: Webhook) -> web.Response:
        return web.Response(status=202, text=f"heard {webhook.type}")

    game.answering = answering
    path = await person.endpoint_path()
    await person.post(f"{path}/pause")
    answer = await person.post(f"{path}/ping")

    assert answer.pop("latency_ms") >= 0
    assert {"is_success": True, "status": 202, "answer": "heard ping", "error": None} == answer
    assert {} == game.seen[0].data
    assert [] == await person.at_work.deliveries()


async def test_a_ping_of_an_endpoint_that_is_configured_no_more_is_refused(
    database_url: str, game: Game, person: Person
) -> None:
    path = await person.endpoint_path()
    async with notifying(database_url) as other, asking(other) as person_there:
        await wait_until(lambda: _is_removed(person_there))

        await person_there.post(f"{path}/ping", status=409)


async def _is_removed(person: Person) -> bool:
    (endpoint,) = (await person.get("/v1/endpoints"))["items"]
    return not endpoint["configured"]


async def test_each_route_wants_the_scope_of_what_it_does(at_work: Notifier) -> None:
    apis = (
        DeliveriesApi(at_work.database, at_work.clock, at_work.courier),
        EndpointsApi(at_work.database, at_work.clock, at_work.courier, at_work.endpoints),
    )
    expected = {
        "GET /v1/deliveries": Scope.DELIVERIES_READ,
        "GET /v1/deliveries/{id}": Scope.DELIVERIES_READ,
        "POST /v1/deliveries/resend": Scope.DELIVERIES_WRITE,
        "POST /v1/deliveries/{id}/resend": Scope.DELIVERIES_WRITE,
        "GET /v1/endpoints": Scope.ENDPOINTS_READ,
        "GET /v1/endpoints/{id}": Scope.ENDPOINTS_READ,
        "POST /v1/endpoints/{id}/pause": Scope.ENDPOINTS_WRITE,
        "POST /v1/endpoints/{id}/resume": Scope.ENDPOINTS_WRITE,
        "POST /v1/endpoints/{id}/ping": Scope.ENDPOINTS_WRITE,
    }

    assert expected == {f"{each.method} {each.path}": each.scope for api in apis for each in api.routes()}
