from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notifier_world import CONFIG
from post_world import CLOSES_AT, START, configured, notification, post

from notifier.domain.post import (
    Allowance,
    Post,
    PostKind,
    PostState,
    allowance_start,
    begun,
    notification_due,
    post_due,
    text_problem,
)
from notifier.domain.publishing import (
    AllowanceSpent,
    decide_after_look,
    decide_after_stop,
    decide_outcome,
    require_some_left,
)
from notifier.service import wording
from okgames.events import Audience, PromotionPost
from okgames.ok_answer import (
    ApiCode,
    CallsLeft,
    GroupTopic,
    NoAnswer,
    NotSent,
    OkApiError,
    Outcome,
    Refused,
    Unreadable,
)

APP = CONFIG.apps[0]
POST = post_due(post(PromotionPost.CONDITIONS), APP, wording(), START).attempted(START)
NOTIFICATION = notification_due(notification(), APP, wording(), START).attempted(START)
UNKNOWN = [NoAnswer(), Unreadable(), *(Refused(code, "") for code in (1, 2, 9999, 777))]


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unknown_outcome_keeps_a_post_attempted_and_leaves_a_notification_to_a_person(error: Exception) -> None:
    assert isinstance(error, NoAnswer | Unreadable | Refused)
    assert POST == decide_outcome(POST, "7", error, START)
    assert PostState.DRAFT is decide_outcome(NOTIFICATION, "7", error, START).state


@pytest.mark.parametrize("code", [ApiCode.LIMIT_REACHED, ApiCode.TOTAL_LIMIT_REACHED])
def test_a_notification_that_oks_limit_stops_waits_for_as_long_as_it_is_of_use(code: ApiCode) -> None:
    due_by = NOTIFICATION.due_by
    waiting, late = (decide_outcome(NOTIFICATION, "7", Refused(code, ""), now) for now in (START, due_by))

    assert (PostState.APPROVED, START + timedelta(minutes=15)) == (waiting.state, waiting.retry_at)
    assert PostState.DRAFT is late.state
    assert waiting.reason == late.reason is not None
    assert PostState.DRAFT is decide_outcome(POST, "7", Refused(code, ""), START).state


@given(
    st.integers(min_value=0, max_value=9999).filter(lambda number: number not in {11, 26}),
    st.sampled_from([POST, NOTIFICATION]),
)
def test_no_answer_of_oks_lets_a_post_go_out_again_unseen(number: int, attempted: Post) -> None:
    after = decide_outcome(attempted, "7", Refused(number, ""), START)

    assert after.state in {PostState.ATTEMPTED, PostState.DRAFT}
    is_open = Refused(number, "").outcome is Outcome.UNKNOWN and attempted.kind.is_in_group
    assert is_open == (after.state is PostState.ATTEMPTED)


def test_what_was_surely_not_sent_is_sent_later_and_not_for_ever() -> None:
    again = decide_outcome(POST, "7", NotSent(), START)
    worn_out = decide_outcome(replace(POST, attempts=13), "7", NotSent(), START)

    assert (PostState.APPROVED, PostState.DRAFT) == (again.state, worn_out.state)
    assert again.retry_at is not None
    assert START < again.retry_at < START + timedelta(minutes=1)


def test_a_post_is_found_however_ok_has_set_its_blanks() -> None:
    shown = GroupTopic("9", f" {POST.text} ".replace("\n\n", "\n").replace(" ", "  "))
    other = GroupTopic("8", "Something else")

    assert "9" == decide_after_look(POST, "7", [other, shown], START).ok_id
    assert PostState.APPROVED is decide_after_look(POST, "7", [other], START).state
    assert POST == decide_after_look(POST, "7", NoAnswer(), START)
    assert PostState.DRAFT is decide_after_look(POST, "7", Refused(ApiCode.PERMISSION_DENIED, ""), START).state


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-03-03T03:59:59+03:00", "2026-03-02T04:00:00+03:00"),
        ("2026-03-03T04:00:00+03:00", "2026-03-03T04:00:00+03:00"),
        ("2026-03-03T23:59:59+03:00", "2026-03-03T04:00:00+03:00"),
        ("2026-03-03T00:30:00+00:00", "2026-03-02T04:00:00+03:00"),
        ("2026-01-01T02:00:00+03:00", "2025-12-31T04:00:00+03:00"),
    ],
)
def test_the_allowance_starts_anew_at_four_in_moscow(now: str, start: str) -> None:
    assert datetime.fromisoformat(start) == allowance_start(datetime.fromisoformat(now))


@pytest.mark.parametrize(
    ("audience", "allowance", "is_sent"),
    [
        (Audience.PUBLIC, Allowance(live=4, today=29), True),
        (Audience.PUBLIC, Allowance(live=5, today=5), False),
        (Audience.ADMINS_ONLY, Allowance(live=5, today=5), True),
        (Audience.ADMINS_ONLY, Allowance(live=0, today=30), False),
    ],
)
def test_a_notification_keeps_within_oks_allowance(audience: Audience, allowance: Allowance, is_sent: bool) -> None:
    due = notification_due(notification(audience), APP, wording(), START)

    assert (PostState.ATTEMPTED if is_sent else PostState.DRAFT) is begun(due, allowance, START).state


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (CLOSES_AT - timedelta(days=14, minutes=1), PostState.DRAFT),
        (CLOSES_AT - timedelta(days=14), PostState.ATTEMPTED),
        (CLOSES_AT - timedelta(minutes=2), PostState.ATTEMPTED),
        (CLOSES_AT - timedelta(minutes=1), PostState.DRAFT),
    ],
)
def test_a_notification_expires_in_the_future_and_within_a_fortnight(now: datetime, state: PostState) -> None:
    due = notification_due(notification(), APP, wording(), START)

    assert state is begun(due, Allowance(), now).state


@pytest.mark.parametrize(
    ("said", "now", "state", "why"),
    [
        (True, START, PostState.STOPPED, None),
        (Refused(300, "NOT_FOUND : Not found"), START, PostState.STOPPED, None),
        (False, START, PostState.PUBLISHED, "OK did not take it back"),
        (Refused(10, "PERMISSION_DENIED"), START, PostState.PUBLISHED, "OK has not granted the right"),
        (Refused(2, "SERVICE"), START, PostState.STOPPING, None),
        (NoAnswer(), START, PostState.STOPPING, None),
        (NotSent(), CLOSES_AT, PostState.PUBLISHED, "OK was out of reach until its end"),
    ],
)
def test_ok_is_asked_to_take_a_notification_back_until_it_says_something(
    said: bool | OkApiError, now: datetime, state: PostState, why: str | None
) -> None:
    seen = replace(notification_due(notification(), APP, wording(), START), state=PostState.STOPPING, ok_id="9")

    after = decide_after_stop(seen, said, now)

    assert state is after.state
    assert (after.reason is None) == (why is None)
    assert (why or "") in (after.reason or "")
    assert (state is PostState.STOPPING) == (after.retry_at is not None)


@pytest.mark.parametrize(
    ("left", "is_spent"),
    [
        (CallsLeft("notifications.sendMass", available=True, calls_left=1), False),
        (CallsLeft("notifications.sendMass", available=True, calls_left=0), True),
        (CallsLeft("notifications.sendMass", available=False, calls_left=5), True),
        (CallsLeft("notifications.sendSimple", available=False, calls_left=0), False),
    ],
)
def test_an_allowance_is_spent_when_ok_says_so_of_notifications(left: CallsLeft, is_spent: bool) -> None:
    with pytest.raises(AllowanceSpent) if is_spent else nullcontext():
        require_some_left([left])


def test_a_notification_that_a_long_name_makes_too_long_is_left_to_a_person() -> None:
    long = notification().model_copy(update={"game": "x" * 200})
    due = notification_due(long, APP, wording(), START)

    assert PostState.DRAFT is due.state
    assert "OK takes 200" in str(due.reason)


@pytest.mark.parametrize(
    ("kind", "text", "is_fine"),
    [
        (PostKind.NOTIFICATION, "x" * 200, True),
        (PostKind.NOTIFICATION, "x" * 201, False),
        (PostKind.CONDITIONS, "x" * 201, True),
        (PostKind.CONDITIONS, "\n", False),
        (PostKind.CONDITIONS, "x\0", False),
    ],
)
def test_a_text_has_bounds(kind: PostKind, text: str, is_fine: bool) -> None:
    assert is_fine == (text_problem(kind, text) is None)


def test_the_language_is_the_applications() -> None:
    english = configured(promotions=APP.promotions.model_copy(update={"language": "en"})).apps[0]

    assert "3 March" in post_due(post(PromotionPost.CONDITIONS), english, wording(), START).text
    assert "3 марта" in post_due(post(PromotionPost.CONDITIONS), APP, wording(), START).text
