from datetime import UTC, datetime, timedelta

import pytest

from okgames.ok_protocol import ErrorCode, reply
from simulator.domain.attempts import Answer, Attempt, Conclusion, Outcome, Policy, Silence, attempt, conclusion

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
XMLNS = 'xmlns="http://api.forticom.com/1.0/"'


def answer(body: str, *, status: int = 200, error: str | None = None, kind: str = "application/xml") -> Answer:
    return Answer(status, error, kind, body.encode())


ACCEPTED = [
    answer(f"<callbacks_payment_response {XMLNS}>true</callbacks_payment_response>"),
    answer(f"<callbacks_payment_response {XMLNS}>\n    true\n</callbacks_payment_response>"),
    answer("<callbacks_payment_response>true</callbacks_payment_response>"),
    answer(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<callbacks_payment_response xmlns:ns2="http://api.forticom.com/1.0/">true</callbacks_payment_response>'
    ),
    answer('<a:callbacks_payment_response xmlns:a="http://api.forticom.com/1.0/"> true</a:callbacks_payment_response>'),
    answer("true", kind="application/json"),
    answer(" true\n", kind="application/json"),
]


@pytest.mark.parametrize("given", ACCEPTED)
def test_true_in_any_form_that_the_pages_of_ok_show_is_a_success(given: Answer) -> None:
    heard = attempt(given, NOW, is_lost=False)

    assert Attempt(NOW, Outcome.ACCEPTED, 200, None, "", was_accepted=True) == heard


NO_ANSWERS = [
    answer(""),
    answer("true"),
    answer("<callbacks_payment_response>false</callbacks_payment_response>"),
    answer("<callbacks_payment_response><a/>true</callbacks_payment_response>"),
    answer("<callbacks_payment_response>true"),
    answer("<response>true</response>"),
    answer("<html>It works!</html>", kind="text/html"),
    answer('"true"', kind="application/json"),
    answer("1", kind="application/json"),
    answer("tru", kind="application/json"),
    answer("true", kind="application/json", error="many"),
    answer("true", status=201, kind="application/json"),
    answer("true", status=302, kind="application/json"),
    answer("true", status=500, kind="application/json", error="1001"),
    # An error that is told in the body alone.
    answer(f"<ns2:error_response xmlns:ns2='{XMLNS[7:-1]}'><error_code>1001</error_code></ns2:error_response>"),
]


@pytest.mark.parametrize("given", NO_ANSWERS)
def test_anything_else_is_no_answer(given: Answer) -> None:
    heard = attempt(given, NOW, is_lost=False)

    assert (Outcome.FAILED, None, False) == (heard.outcome, heard.invocation_error, heard.was_accepted)


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("form", ["xml", "json"])
def test_the_header_makes_an_answer_an_error_whatever_the_body_says(form: str, code: ErrorCode) -> None:
    for body in (reply("xml", code).body, reply("xml").body, reply("json").body):
        heard = attempt(Answer(200, f" {int(code)}", f"application/{form}", body), NOW, is_lost=False)

        assert Attempt(NOW, Outcome.REFUSED, 200, int(code), "refused", was_accepted=False) == heard


@pytest.mark.parametrize("form", ["xml", "json"])
def test_our_own_reply_is_understood(form: str) -> None:
    ours = reply("json" if form == "json" else "xml")

    assert attempt(Answer(200, None, ours.content_type, ours.body), NOW, is_lost=False).was_accepted


def test_a_lost_answer_tells_ok_nothing_but_the_books_keep_that_the_game_said_true() -> None:
    lost = attempt(ACCEPTED[0], NOW, is_lost=True)

    assert (Outcome.LOST, None, None, True) == (lost.outcome, lost.status, lost.invocation_error, lost.was_accepted)
    assert not attempt(answer("", error="1001"), NOW, is_lost=True).was_accepted
    assert Outcome.FAILED is attempt(Silence("refused"), NOW, is_lost=True).outcome


def accepted() -> Attempt:
    return attempt(ACCEPTED[0], NOW, is_lost=False)


def refused(code: int) -> Attempt:
    return attempt(answer("", error=str(code)), NOW, is_lost=False)


def silent() -> Attempt:
    return attempt(Silence("no answer in time"), NOW, is_lost=False)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([accepted()], Conclusion.COMPLETED),
        ([silent(), silent(), accepted()], Conclusion.COMPLETED),
        ([refused(104)], Conclusion.REFUSED),
        ([refused(1001)], Conclusion.REFUSED),
        ([silent(), refused(9999)], Conclusion.REFUSED),
        ([refused(1)], None),
        ([refused(2), refused(1)], None),
        ([refused(2), refused(1), refused(2)], Conclusion.UNHEARD),
        ([silent()], None),
        ([silent(), silent(), silent()], Conclusion.UNHEARD),
    ],
)
def test_ok_calls_three_times_unless_the_answer_is_final(attempts: list[Attempt], expected: Conclusion | None) -> None:
    assert expected == conclusion(attempts, Policy())


def test_how_often_ok_calls_and_which_codes_are_final_is_a_setting() -> None:
    policy = Policy(attempts=2, interval=timedelta(seconds=1), final=frozenset({2}))

    assert conclusion([refused(1001)], policy) is None
    assert Conclusion.REFUSED == conclusion([refused(2)], policy)
    assert Conclusion.UNHEARD == conclusion([silent(), silent()], policy)
