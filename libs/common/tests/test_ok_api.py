import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web
from ok_vectors import APPLICATION_KEY, CALLS, SECRET, CallVector

from okgames.catalogue import App
from okgames.ok_answer import (
    Answer,
    ApiCode,
    NoAnswer,
    NoToken,
    NotSent,
    OkApiError,
    Outcome,
    Refused,
    Unreadable,
    UserInfo,
    winners_of,
)
from okgames.ok_api import OkApi, ok_session
from okgames.ok_protocol import Query, parse_query, session_secret, text_parameters, verify

TOKEN = "tkn-TEST-ACCESS-TOKEN"
DAY_BEGINS = datetime.fromisoformat("2026-03-02T00:00:00+03:00")
DAY_ENDS = datetime.fromisoformat("2026-03-03T00:00:00+03:00")
QUICK = timedelta(seconds=0.2)

APP = App.model_validate(
    {
        "name": "Backgammon",
        "application_id": "1234567890",
        "application_key": APPLICATION_KEY,
        "secret_keys": [SECRET],
        # Whatever an application's own zone is, promotions and notifications go by Moscow's.
        "timezone": "Asia/Yekaterinburg",
        "access_tokens": [TOKEN],
    }
)


def said(body: str, error: int | None = None, status: int = 200) -> web.Response:
    headers = {} if error is None else {"Invocation-Error": str(error)}
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


def refusal(code: int) -> web.Response:
    return said(f'{{"error_code":{code},"error_data":null,"error_msg":"NAME : text"}}', code)


Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Ok:
    """Answer calls as the test says, the last answer again and again."""

    api: OkApi
    answers: list[web.Response | Answering] = field(default_factory=list)
    calls: list[tuple[str, Query]] = field(default_factory=list)

    async def on_call(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.raw_path, parse_query(await request.text())))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return await answer(request)

    @property
    def last(self) -> dict[str, str]:
        return dict(text_parameters(self.calls[-1][1]))


@asynccontextmanager
async def serving(app: App = APP) -> AsyncIterator[Ok]:
    site = web.Application()
    runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.1)
    async with ok_session() as session:
        ok = Ok(OkApi(session, "http://127.0.0.1:1", app))
        site.router.add_post("/fb.do", ok.on_call)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ok.api = OkApi(session, url, app, answer_within=QUICK, cashback_within=QUICK, waits=[timedelta()] * 3)
            yield ok
        finally:
            await runner.cleanup()


@pytest.fixture
async def ok() -> AsyncIterator[Ok]:
    async with serving() as one:
        yield one


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def hanging_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def breaking_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"users":[1')
    return await hanging_up(request)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(20):
        await response.write(b"0" * 100_000)
    return response


async def redirecting(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "/fb.do"})


VECTORS = {vector.id: vector for vector in CALLS}
CALLERS: dict[str, Callable[[OkApi], Awaitable[Any]]] = {
    "F01": lambda api: api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000]),
    "F03": lambda api: api.send_mass(
        text_parameters(parse_query(VECTORS["F03"].query))["text"],
        datetime.fromisoformat("2026-03-02T23:59:00+03:00"),
        "PUBLIC",
    ),
    "F04": lambda api: api.post_topic("70000000000001", "Победитель: Иван Петров https://ok.ru/profile/500000000001"),
}


@pytest.mark.parametrize("vector", [VECTORS[each] for each in CALLERS], ids=lambda vector: vector.id)
async def test_a_call_goes_out_as_others_computed_it(ok: Ok, vector: CallVector) -> None:
    ok.answers = [said('"1"')]
    await CALLERS[vector.id](ok.api)

    path, query = ok.calls[0]
    expected = parse_query(vector.query)
    assert "/fb.do" == path
    assert text_parameters(expected) == text_parameters(query)
    assert vector.sig == query.signature


async def test_who_a_player_is_can_be_asked_without_session(ok: Ok) -> None:
    ok.answers = [said('[{"uid":"500000000001","first_name":"Иван","url_profile":"https://ok.ru/profile/5"}]')]

    assert (UserInfo("500000000001", "Иван", "https://ok.ru/profile/5"),) == await ok.api.users_info(["500000000001"])
    assert "access_token" not in ok.last
    assert verify(ok.calls[0][1], [SECRET])
    for wrong in ([], ["1"] * 101):
        with pytest.raises(ValueError, match="takes 1 to 100"):
            await ok.api.users_info(wrong)


async def test_the_posts_of_a_group_are_looked_up_with_the_token(ok: Ok) -> None:
    ok.answers = [
        said('{"topics":[{"id":"7"},{"id":"8"}]}'),
        said('{"media_topics":[{"id":"7","media":[{"type":"text","text":"hello"}]}]}'),
    ]
    (topic,) = await ok.api.group_topics("70000000000001", DAY_BEGINS)

    assert ("7", "hello") == (topic.id, topic.text)
    assert ["group.getStatTopics", "mediatopic.getByIds"] == [text_parameters(query)["method"] for _, query in ok.calls]
    assert str(int(DAY_BEGINS.timestamp() * 1000)) == text_parameters(ok.calls[0][1])["start_time"]
    assert ("7,8", TOKEN) == (ok.last["topic_ids"], ok.last["access_token"])


async def test_every_other_method_is_asked_as_documented(ok: Ok) -> None:
    ok.answers = [said("true")]
    await ok.api.touch_session()
    assert ("auth.touchSession", TOKEN) == (ok.last["method"], ok.last["access_token"])
    assert await ok.api.stop_send_mass("9")
    assert ("notifications.stopSendMass", "9") == (ok.last["method"], ok.last["id"])
    assert await ok.api.send_simple("5", "hello")
    assert ("notifications.sendSimple", "5", "hello") == (ok.last["method"], ok.last["uid"], ok.last["text"])
    ok.answers = [said('[{"name":"notifications.sendMass","available":true,"callsLeft":3}]')]
    assert 3 == (await ok.api.calls_left(["notifications.sendMass"]))[0].calls_left
    ok.answers = [said('{"data":[],"anchor":"b","has_more":false}')]
    assert () == (await ok.api.daily_transactions(date(2026, 3, 2), "a")).rows
    assert ("2026.03.02", "a", "100") == (ok.last["date"], ok.last["anchor"], ok.last["count"])


async def test_the_answer_of_the_call_that_pays_comes_back_unread(ok: Ok) -> None:
    ok.answers = [said('{"users":[9007199254740993]}'), refusal(1005), said("<html>", status=502)]
    answers = [await ok.api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000, 100]) for _ in range(3)]

    assert Answer(200, None, "application/json", b'{"users":[9007199254740993]}') == answers[0]
    assert ("9007199254740993",) == winners_of(answers[0])
    assert (200, "1005", 502) == (answers[1].status, answers[1].invocation_error, answers[2].status)
    assert "1000,100" == ok.last["amount"]


@pytest.mark.parametrize("answering", [hanging, hanging_up, breaking_off])
async def test_a_payment_whose_answer_does_not_come_is_called_once_and_unknown(ok: Ok, answering: Answering) -> None:
    ok.answers = [answering]
    with pytest.raises(NoAnswer) as raised:
        await ok.api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert Outcome.UNKNOWN is raised.value.outcome
    assert 1 == len(ok.calls)


@pytest.mark.parametrize("answering", [refusal(1), refusal(2), refusal(1005), redirecting])
async def test_a_payment_is_called_once_whatever_the_answer(ok: Ok, answering: web.Response | Answering) -> None:
    ok.answers = [answering]
    await ok.api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert 1 == len(ok.calls)


async def test_an_answer_without_end_is_cut_and_leaves_the_outcome_open(ok: Ok) -> None:
    ok.answers = [endless]
    with pytest.raises(Unreadable) as raised:
        await ok.api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert Outcome.UNKNOWN is raised.value.outcome


async def test_a_call_that_finds_nobody_there_surely_did_nothing() -> None:
    async with ok_session() as session:
        api = OkApi(session, "http://127.0.0.1:1", APP)
        with pytest.raises(NotSent) as raised:
            await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert Outcome.NOT_DONE is raised.value.outcome


@pytest.mark.parametrize("passing", [refusal(1), refusal(2), said("<html>", status=503), hanging_up])
async def test_what_may_be_asked_twice_is_asked_again(ok: Ok, passing: web.Response | Answering) -> None:
    ok.answers = [passing, passing, passing, said("true")]
    await ok.api.touch_session()

    assert 4 == len(ok.calls)


async def test_asking_again_ends(ok: Ok) -> None:
    ok.answers = [refusal(2)]
    with pytest.raises(Refused):
        await ok.api.touch_session()

    assert 4 == len(ok.calls)


async def test_a_final_refusal_is_not_asked_again(ok: Ok) -> None:
    ok.answers = [refusal(102)]
    with pytest.raises(Refused) as raised:
        await ok.api.touch_session()

    assert ApiCode.PARAM_SESSION_EXPIRED is raised.value.code
    assert 1 == len(ok.calls)


@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.post_topic("1", "text"),
        lambda api: api.send_mass("text", DAY_ENDS, "PUBLIC"),
        lambda api: api.send_simple("1", "text"),
    ],
)
async def test_what_others_see_is_not_said_twice(ok: Ok, call: Callable[[OkApi], Awaitable[object]]) -> None:
    ok.answers = [refusal(2)]
    with pytest.raises(Refused):
        await call(ok.api)

    assert 1 == len(ok.calls)


async def test_without_a_token_nothing_is_sent_that_wants_one() -> None:
    async with serving(APP.model_copy(update={"access_tokens": ()})) as ok:
        with pytest.raises(NoToken) as raised:
            await ok.api.touch_session()
        with pytest.raises(NoToken):
            await ok.api.post_topic("1", "text")

    assert Outcome.NOT_DONE is raised.value.outcome
    assert [] == ok.calls


async def test_no_secret_stands_in_an_address_an_error_or_a_log(ok: Ok) -> None:
    ok.answers = [refusal(104), hanging]
    errors: list[OkApiError] = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(OkApiError) as raised:
                await ok.api.post_topic("1", "text")
            errors.append(raised.value)

    assert 2 == len(logs)
    seen = f"{logs} {errors!r} {[path for path, _ in ok.calls]}"
    for secret in (SECRET, TOKEN, session_secret(TOKEN, SECRET), ok.calls[0][1].signature):
        assert secret not in seen
    assert TOKEN not in ok.calls[0][0]


async def test_a_call_gets_no_connection_that_served_another(ok: Ok) -> None:
    peers: set[Any] = set()

    async def answering(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return said("true")

    ok.answers = [answering]
    await ok.api.touch_session()
    await ok.api.touch_session()

    assert 2 == len(peers)


async def test_times_are_told_in_moscow_wherever_they_come_from(ok: Ok) -> None:
    ok.answers = [said('"1"')]
    await ok.api.send_mass("text", DAY_ENDS.astimezone(UTC) - timedelta(minutes=1), "ADMINS_ONLY")

    assert ("2026.03.02 23:59", "ADMINS_ONLY") == (ok.last["expires"], ok.last["status"])
