from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from simulator_world import APPLICATION_KEY, CONFIG, GROUP_ID, SECRET, START, TOKEN, Simulator

from okgames.ok_answer import ApiCode, NoAnswer, Operation, Refused, Unreadable, winners_of
from okgames.ok_api import OkApi, ok_session
from okgames.ok_protocol import session_secret, sign

DAY_BEGINS = datetime.fromisoformat("2026-03-02T00:00:00+03:00")
DAY_ENDS = datetime.fromisoformat("2026-03-03T00:00:00+03:00")
CASHBACK = {"method": "payment.appCashback", "from": "2026.03.02 00:00", "to": "2026.03.03 00:00", "amount": "1000"}
SOON = START + timedelta(hours=12)


@pytest.fixture
async def api(ok: Simulator) -> AsyncIterator[OkApi]:
    """A game's side of OK's API, which waits two seconds for an answer."""
    async with ok_session() as session:
        within = timedelta(seconds=2)
        yield OkApi(session, ok.url, CONFIG.apps[0], answer_within=within, cashback_within=within, waits=[timedelta()])


async def call(
    ok: Simulator, parameters: Mapping[str, str], *, token: str | None = None, path: str = "/fb.do", **wrong: str
) -> tuple[str | None, Any]:
    """Call as a client of another make: by GET, and with what is `wrong` put in after signing."""
    secret = SECRET if token is None else session_secret(token, SECRET)
    signed = {"application_key": APPLICATION_KEY, **parameters}
    query = signed | {"sig": sign(signed, secret)} | ({} if token is None else {"access_token": token}) | wrong
    async with ok.http.get(path, params=query) as response:
        assert response.status == 200
        return response.headers.get("Invocation-Error"), await response.json()


async def top_up(ok: Simulator, oks: int = 1000) -> None:
    await ok.post("cashback", {"application_key": APPLICATION_KEY, "oks": oks})


async def balance(ok: Simulator) -> int:
    (account,) = (await ok.books())["cashback_accounts"]
    return int(account["balance_oks"])


async def refusal(awaitable: Any) -> ApiCode | None:
    with pytest.raises(Refused) as raised:
        await awaitable
    return raised.value.code


async def test_a_draw_pays_one_of_the_payers_at_once(ok: Simulator, api: OkApi) -> None:
    await top_up(ok, 5000)
    for uid in ("9007199254740993", "1002"):
        await ok.player("purchase", "gold_100", uid)
    await ok.advance("1d")
    (winner,) = winners_of(await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000]))

    assert winner in {"9007199254740993", "1002"}
    assert 4000 == await balance(ok)
    books = await ok.books()
    assert [(winner, 1000)] == [(each["uid"], each["amount_oks"]) for each in books["winners"]]
    assert [[winner]] == [each["winners"] for each in books["cashback_calls"]]


async def test_a_draw_that_is_called_again_pays_again(ok: Simulator, api: OkApi) -> None:
    await top_up(ok, 2000)
    await ok.player("purchase", "gold_100")
    await ok.advance("1d")
    for _ in range(2):
        await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert 0 == await balance(ok)
    answer = await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])
    assert str(int(ApiCode.NOT_ENOUGH_MONEY)) == answer.invocation_error
    assert [None, None, 1005] == [each["error"] for each in (await ok.books())["cashback_calls"]]


async def test_a_draw_counts_from_its_first_minute_until_before_its_last(ok: Simulator, api: OkApi) -> None:
    await top_up(ok)
    await ok.post("clock", {"to": "2026-03-02T23:59:30+03:00"})
    await ok.player("purchase", "gold_100", "in-time")
    await ok.post("clock", {"to": "2026-03-03T00:00:00+03:00"})
    await ok.player("purchase", "gold_100", "too-late")
    await ok.advance("1h")
    last_minute = DAY_ENDS - timedelta(minutes=1)

    assert () == winners_of(await api.award_cashback(DAY_BEGINS, last_minute, [10]))
    assert ("in-time",) == winners_of(await api.award_cashback(last_minute, DAY_ENDS, [10, 20]))
    assert ("too-late",) == winners_of(await api.award_cashback(DAY_ENDS, DAY_ENDS + timedelta(minutes=1), [10]))
    assert 980 == await balance(ok)


async def test_several_prizes_go_to_several_players(ok: Simulator, api: OkApi) -> None:
    await top_up(ok, 5000)
    for number in range(4):
        await ok.player("purchase", "gold_100", str(number))
    await ok.advance("1d")
    winners = winners_of(await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000, 500, 100]))

    assert 3 == len(set(winners))
    paid = [(each["uid"], each["amount_oks"]) for each in (await ok.books())["winners"]]
    assert list(zip(winners, [1000, 500, 100], strict=True)) == paid


async def test_who_was_not_charged_cannot_win(ok: Simulator, api: OkApi) -> None:
    await top_up(ok)
    await ok.faults(lost_answers=1)
    await ok.player("purchase", "gold_100")
    await ok.faults()
    await ok.player("subscribe", "apples", "on-trial")
    await ok.advance("1d")

    assert () == winners_of(await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000]))


@pytest.mark.parametrize(
    ("fault", "error", "left"),
    [
        ({"cashback_lost_answers": {"next": 1}}, NoAnswer, 0),
        ({"cashback_slow": {"next": 1}, "slow_seconds": 2.5}, NoAnswer, 0),
        ({"cashback_malformed": {"next": 1}}, Unreadable, 0),
        ({"cashback_no_money": {"next": 1}}, Refused, 1000),
        ({"api_errors": {"next": 1}}, Refused, 1000),
    ],
)
async def test_a_draw_goes_wrong_on_request(
    ok: Simulator, api: OkApi, fault: dict[str, Any], error: type[Exception], left: int
) -> None:
    await top_up(ok)
    await ok.player("purchase", "gold_100")
    await ok.advance("1d")
    await ok.faults(**fault)
    with pytest.raises(error):
        winners_of(await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000]))

    assert left == await balance(ok)


async def test_on_request_nobody_has_paid(ok: Simulator, api: OkApi) -> None:
    await top_up(ok)
    await ok.player("purchase", "gold_100")
    await ok.advance("1d")
    await ok.faults(cashback_no_payers=1)

    assert () == winners_of(await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000]))
    assert 1000 == await balance(ok)


@pytest.mark.parametrize(
    ("parameters", "wrong", "code"),
    [
        (CASHBACK, {"sig": "0" * 32}, 104),
        (CASHBACK, {"amount": "9000"}, 104),
        (CASHBACK | {"application_key": "OTHER"}, {}, 101),
        ({"method": "payment.refund"}, {}, 3),
        (CASHBACK | {"session_key": "of-a-player"}, {}, 451),
        ({"method": "auth.touchSession", "session_key": "of-a-player"}, {}, 103),
        (CASHBACK | {"from": "2026-03-02 00:00"}, {}, 100),
        (CASHBACK | {"from": "2026.3.2 0:00"}, {}, 100),
        (CASHBACK | {"to": "2026.03.32 00:00"}, {}, 100),
        (CASHBACK | {"to": "2026.03.02 00:00"}, {}, 100),
        (CASHBACK | {"amount": "0"}, {}, 100),
        (CASHBACK | {"amount": "1000,"}, {}, 100),
        (CASHBACK | {"amount": ""}, {}, 100),
        (CASHBACK | {"format": "xml"}, {}, 100),
        (CASHBACK, {}, 100),  # the day is not over
        ({"method": "mediatopic.post", "gid": GROUP_ID, "type": "GROUP_THEME", "attachment": "{}"}, {}, 453),
        ({"method": "notifications.stopSendMass", "id": "5"}, {}, 300),
        ({"method": "notifications.sendSimple", "uid": "5", "text": "x" * 101}, {}, 100),
        ({"method": "payment.getDailyTransactionsFromServer", "date": "02.03.2026"}, {}, 100),
        ({"method": "payment.getDailyTransactionsFromServer", "date": "2026.03.02", "anchor": "x"}, {}, 100),
    ],
)
async def test_a_wrong_call_is_refused_with_status_200_and_a_header(
    ok: Simulator, parameters: dict[str, str], wrong: dict[str, str], code: int
) -> None:
    error, body = await call(ok, parameters, **wrong)

    assert (str(code), code) == (error, body["error_code"])
    assert body["error_msg"].startswith(f"{ApiCode(code).name} : ")
    assert [] == (await ok.books())["winners"]


@pytest.mark.parametrize(
    ("parameters", "token", "code"),
    [
        (CASHBACK, TOKEN, 451),
        (CASHBACK, "tkn-OF-SOMEBODY-ELSE", 451),
        ({"method": "auth.touchSession"}, "tkn-OF-SOMEBODY-ELSE", 103),
        ({"method": "mediatopic.post", "gid": "1", "type": "GROUP_THEME", "attachment": "{}"}, TOKEN, 160),
        ({"method": "mediatopic.post", "gid": GROUP_ID, "type": "USER", "attachment": "{}"}, TOKEN, 100),
        ({"method": "mediatopic.post", "gid": GROUP_ID, "type": "GROUP_THEME", "attachment": "{}"}, TOKEN, 100),
        ({"method": "mediatopic.post", "gid": GROUP_ID, "type": "GROUP_THEME", "attachment": "{"}, TOKEN, 100),
    ],
)
async def test_a_token_has_its_own_rules(ok: Simulator, parameters: dict[str, str], token: str, code: int) -> None:
    assert str(code) == (await call(ok, parameters, token=token))[0]


async def test_a_method_may_stand_in_the_path(ok: Simulator) -> None:
    parameters = {"uids": "5", "fields": "uid,url_profile"}

    assert (None, [{"uid": "5", "url_profile": "https://ok.ru/profile/5"}]) == await call(
        ok, parameters, path="/api/users/getInfo"
    )


async def test_players_have_names_unless_their_profiles_are_closed(ok: Simulator, api: OkApi) -> None:
    (user,) = await api.users_info(["1001"])
    (again,) = await api.users_info(["1001"])
    await ok.faults(closed_profiles=1)
    (closed,) = await api.users_info(["1001"])

    assert user.name
    assert user == again
    assert (None, "https://ok.ru/profile/1001") == (closed.name, closed.profile_url)


async def test_a_post_is_in_the_group_and_can_be_looked_up(ok: Simulator, api: OkApi) -> None:
    first = await api.post_topic(GROUP_ID, "Победитель: Иван")
    await ok.advance("1h")
    second = await api.post_topic(GROUP_ID, "again")

    assert [(first, "Победитель: Иван"), (second, "again")] == [
        (each.id, each.text) for each in await api.group_topics(GROUP_ID, START - timedelta(minutes=1))
    ]
    assert [second] == [each.id for each in await api.group_topics(GROUP_ID, START + timedelta(minutes=30))]
    assert int(first) > 2**53
    assert [first, second] == [each["id"] for each in (await ok.books())["posts"]]


async def test_without_the_right_or_with_an_old_token_there_is_no_post(ok: Simulator, api: OkApi) -> None:
    await ok.faults(no_group_right=True)
    assert ApiCode.PERMISSION_DENIED is await refusal(api.post_topic(GROUP_ID, "text"))
    await api.touch_session()
    await ok.faults(expired_token=True)
    assert ApiCode.PARAM_SESSION_EXPIRED is await refusal(api.post_topic(GROUP_ID, "text"))
    assert ApiCode.PARAM_SESSION_EXPIRED is await refusal(api.touch_session())

    assert [] == (await ok.books())["posts"]


async def test_a_post_is_there_although_its_answer_was_lost(ok: Simulator, api: OkApi) -> None:
    await ok.faults(post_lost_answers={"next": 1})
    with pytest.raises(NoAnswer):
        await api.post_topic(GROUP_ID, "text")

    assert ["text"] == [each.text for each in await api.group_topics(GROUP_ID, START - timedelta(minutes=1))]


async def test_five_mailings_are_public_at_once_and_the_oldest_is_hidden(ok: Simulator, api: OkApi) -> None:
    for number in range(6):
        await api.send_mass(f"text {number}", SOON, "PUBLIC")
    rehearsal = await api.send_mass("rehearsal", SOON, "ADMINS_ONLY")

    notifications = (await ok.books())["notifications"]
    assert [False, True, True, True, True, True, True] == [each["is_live"] for each in notifications]
    assert ("ADMINS_ONLY", "rehearsal") == (notifications[-1]["status"], notifications[-1]["text"])
    assert await api.stop_send_mass(rehearsal)
    assert not (await ok.books())["notifications"][-1]["is_live"]


async def test_thirty_mailings_a_day_are_allowed_and_the_day_begins_at_four_in_moscow(
    ok: Simulator, api: OkApi
) -> None:
    for _ in range(30):
        await api.send_mass("text", SOON, "ADMINS_ONLY")
    assert 0 == (await api.calls_left(["notifications.sendMass"]))[0].calls_left
    assert ApiCode.LIMIT_REACHED is await refusal(api.send_mass("text", SOON, "ADMINS_ONLY"))

    later = SOON + timedelta(days=1)
    await ok.post("clock", {"to": "2026-03-03T03:59:00+03:00"})
    assert ApiCode.LIMIT_REACHED is await refusal(api.send_mass("text", later, "PUBLIC"))
    await ok.post("clock", {"to": "2026-03-03T04:00:00+03:00"})
    await api.send_mass("text", later, "PUBLIC")
    (left, other) = await api.calls_left(["notifications.sendMass", "users.getInfo"])
    assert (29, True, True) == (left.calls_left, left.available, other.available)


@pytest.mark.parametrize(
    ("text", "ahead"),
    [("x" * 201, timedelta(hours=1)), ("text", timedelta(days=14, minutes=1)), ("text", -timedelta(minutes=1))],
)
async def test_a_mailing_out_of_bounds_is_refused(ok: Simulator, api: OkApi, text: str, ahead: timedelta) -> None:
    assert ApiCode.PARAM is await refusal(api.send_mass(text, START + ahead, "PUBLIC"))
    assert [] == (await ok.books())["notifications"]


async def test_a_player_is_notified_five_times_a_day(ok: Simulator, api: OkApi) -> None:
    for _ in range(5):
        assert await api.send_simple("1001", "text")
    assert ApiCode.LIMIT_REACHED is await refusal(api.send_simple("1001", "text"))
    await ok.faults(notification_lost_answers={"next": 1})
    with pytest.raises(NoAnswer):
        await api.send_simple("1002", "text")

    assert 6 == len((await ok.books())["simple_notifications"])


async def test_statistics_show_payments_refunds_and_prizes_of_a_day(ok: Simulator, api: OkApi) -> None:
    await top_up(ok)
    await ok.faults(refunds={"next": 1})
    concluded = await ok.player("purchase", "gold_100")
    await ok.faults(lost_answers=1)
    await ok.player("purchase", "gold_500", "1002")
    await ok.faults()
    await ok.advance("4d")
    await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])
    pages = [await api.daily_transactions(date(2026, 3, day)) for day in range(2, 7)]

    payments, credited = pages[0].rows[:2], [row for page in pages for row in page.rows if row.operation == "CREDIT"]
    assert [(concluded["transaction_id"], "SUCCESS", 50, "1001"), ("CANCEL", 200, "1002")] == [
        (payments[0].id, payments[0].status, payments[0].amount_oks, payments[0].user_id),
        (payments[1].status, payments[1].amount_oks, payments[1].user_id),
    ]
    assert {(50, "1001"), (1000, CONFIG.apps[0].application_id)} == {(row.amount_oks, row.user_id) for row in credited}
    assert {Operation.DEBIT} == {row.operation for row in payments}


async def test_statistics_come_by_pages(ok: Simulator, api: OkApi) -> None:
    for number in range(101):
        await ok.player("purchase", "gold_100", str(number))
    first = await api.daily_transactions(date(2026, 3, 2))
    second = await api.daily_transactions(date(2026, 3, 2), first.anchor)

    assert (100, 1, None) == (len(first.rows), len(second.rows), second.anchor)
    assert 101 == len({row.id for row in (*first.rows, *second.rows)})


async def test_applications_do_not_share_an_account(ok: Simulator, api: OkApi) -> None:
    await ok.post("cashback", {"application_key": "OTHER", "oks": 1000})
    await ok.player("purchase", "gold_100")
    await ok.advance("1d")
    answer = await api.award_cashback(DAY_BEGINS, DAY_ENDS, [1000])

    assert "1005" == answer.invocation_error
    await ok.post("cashback", {"application_key": "OTHER", "oks": 0}, status=400)
