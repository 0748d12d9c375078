from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from okgames.ok_answer import (
    Answer,
    ApiCode,
    GroupTopic,
    OkApiError,
    Operation,
    Outcome,
    Refused,
    Unreadable,
    UserInfo,
    bare_flag_of,
    bare_id_of,
    calls_left_of,
    result_of,
    statement_of,
    topic_ids_of,
    topics_of,
    users_of,
    winners_of,
)


def answer(body: object, error: str | None = None, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, error, "application/json", raw)


def error_body(number: int, message: str = "NAME : text") -> dict[str, object]:
    return {"error_code": number, "error_data": None, "error_msg": message}


@pytest.mark.parametrize("value", [True, False, "70102413183763", 5, {"id": "1"}, [], None])
def test_a_result_may_be_a_bare_scalar(value: object) -> None:
    assert value == result_of(answer(value))


def test_an_error_comes_with_http_status_200_and_a_header() -> None:
    recorded = b'{"error_code":101,"error_data":null,"error_msg":"PARAM_API_KEY : Application not exist"}'
    with pytest.raises(Refused) as raised:
        result_of(answer(recorded, "101"))

    assert (101, ApiCode.PARAM_API_KEY) == (raised.value.number, raised.value.code)
    assert "PARAM_API_KEY : Application not exist" == raised.value.message


@pytest.mark.parametrize(
    "refusal",
    [
        answer(True, "10"),
        answer(b"", " 10 "),
        answer(b"<html>", "10"),
        answer(error_body(10)),
        answer(error_body(10), status=500),
        answer(error_body(2), "10"),
    ],
)
def test_the_header_counts_for_more_than_the_body_and_either_will_do(refusal: Answer) -> None:
    with pytest.raises(Refused) as raised:
        result_of(refusal)

    assert ApiCode.PERMISSION_DENIED is raised.value.code


@pytest.mark.parametrize(
    "nonsense",
    [
        answer(b""),
        answer(b"<html>"),
        answer(b'{"users":[1'),
        answer(True, "ten"),
        answer(True, ""),
        answer({}, status=502),
    ],
)
def test_what_is_neither_a_result_nor_an_error_leaves_the_outcome_open(nonsense: Answer) -> None:
    with pytest.raises(Unreadable) as raised:
        result_of(nonsense)

    assert Outcome.UNKNOWN is raised.value.outcome


@pytest.mark.parametrize("code", ApiCode)
def test_a_known_code_says_that_nothing_was_done_unless_ok_failed_halfway(code: ApiCode) -> None:
    is_open = code in {ApiCode.UNKNOWN, ApiCode.SERVICE, ApiCode.SYSTEM}

    assert (Outcome.UNKNOWN if is_open else Outcome.NOT_DONE) is Refused(code, "").outcome


@given(st.integers(min_value=0, max_value=10**8).filter(lambda number: number not in set(map(int, ApiCode))))
def test_an_unknown_code_leaves_the_outcome_open(number: int) -> None:
    assert (None, Outcome.UNKNOWN) == (Refused(number, "").code, Refused(number, "").outcome)


@pytest.mark.parametrize(
    ("body", "winners"),
    [
        ({"users": [9007199254740993]}, ("9007199254740993",)),
        ({"users": ["500000000001", 500000000002]}, ("500000000001", "500000000002")),
        ({"users": []}, ()),
    ],
)
def test_winners_keep_every_digit_and_their_order(body: object, winners: tuple[str, ...]) -> None:
    assert winners == winners_of(answer(body))


@pytest.mark.parametrize(
    "body", [True, {}, [], {"users": 1}, {"users": [None]}, {"users": [True]}, {"users": [1.5]}, {"users": [""]}, b"{"]
)
def test_winners_that_cannot_be_read_leave_the_outcome_open(body: object) -> None:
    with pytest.raises(Unreadable):
        winners_of(answer(body))


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=5)), st.sampled_from([200, 302, 500]))
def test_reading_an_answer_fails_in_no_other_way(body: bytes, error: str | None, status: int) -> None:
    with suppress(OkApiError):
        winners_of(Answer(status, error, "text/html", body))


@pytest.mark.parametrize(
    ("row", "user"),
    [
        (
            {"uid": "5", "first_name": "Иван", "last_name": "Петров", "url_profile": "https://ok.ru/profile/9"},
            UserInfo("5", "Иван Петров", "https://ok.ru/profile/9"),
        ),
        ({"uid": 5, "first_name": "", "name": " Иван "}, UserInfo("5", "Иван", "https://ok.ru/profile/5")),
        ({"uid": "5"}, UserInfo("5", None, "https://ok.ru/profile/5")),
        ({"uid": "5", "name": "И\nв\0", "url_profile": "javascript:1"}, UserInfo("5", "Ив", "https://ok.ru/profile/5")),
    ],
)
def test_a_player_has_a_link_also_where_the_profile_is_closed(row: object, user: UserInfo) -> None:
    assert (user,) == users_of([row])


def test_posts_are_read_with_all_their_texts() -> None:
    media = [{"type": "text", "text": "one"}, {"type": "link", "url": "x"}, {"type": "text", "text": "two"}]

    assert (GroupTopic("7", "one\ntwo"),) == topics_of({"media_topics": [{"id": 7, "media": media}]})
    assert (GroupTopic("8", ""),) == topics_of({"media_topics": [{"id": "8"}]})
    assert ("7",) == topic_ids_of({"topics": [{"id": "7", "created_ms": 1}]})
    assert ((), ()) == (topic_ids_of({}), topics_of({}))


STATEMENT = {
    "timestamp": 1772435730,
    "id": 9007199254740993,
    "operation": "CREDIT",
    "status": "SUCCESS",
    "amount": 50,
    "desc": "refund",
    "userId": "500000000001",
    "platform": "COMMUNITY_WEB",
}


def test_statistics_are_read_as_objects_and_as_columns() -> None:
    as_objects = statement_of({"data": [STATEMENT], "anchor": "a", "has_more": True})
    as_columns = statement_of({"fields": list(STATEMENT), "data": [list(STATEMENT.values())], "has_more": False})

    assert as_objects.rows == as_columns.rows
    assert ("a", None) == (as_objects.anchor, as_columns.anchor)
    (row,) = as_objects.rows
    assert ("9007199254740993", Operation.CREDIT, 50, "500000000001", "2026-03-02T07:15:30+00:00") == (
        row.id,
        row.operation,
        row.amount_oks,
        row.user_id,
        row.at.isoformat(),
    )


@pytest.mark.parametrize(
    "value",
    [
        True,
        {},
        {"data": [1]},
        {"data": [{}]},
        {"data": [[1, 2]], "fields": ["id"]},
        {"data": [STATEMENT | {"operation": "GIFT"}]},
        {"data": [STATEMENT | {"timestamp": 10**17}]},
    ],
)
def test_statistics_that_cannot_be_read_are_told_to_be_so(value: object) -> None:
    with pytest.raises(Unreadable):
        statement_of(value)


def test_the_last_page_of_statistics_has_no_anchor() -> None:
    assert statement_of({"data": [], "anchor": "a", "has_more": True}).anchor is None


def test_small_answers_are_read() -> None:
    assert "5" == bare_id_of("5") == bare_id_of(5) == bare_id_of({"id": "5"})
    assert bare_flag_of(True)
    (left,) = calls_left_of([{"name": "notifications.sendMass", "available": True, "callsLeft": 30}])
    assert ("notifications.sendMass", True, 30) == (left.method, left.available, left.calls_left)
    for read in (bare_id_of, bare_flag_of, calls_left_of, users_of, topics_of, topic_ids_of):
        with pytest.raises(Unreadable):
            read([None])
