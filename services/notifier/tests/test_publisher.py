from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog
from notifier_world import CONFIG
from post_world import CLOSES_AT, DAY, KEY, OPENS_AT, PROMOTION, START, Press, at_press, configured, notification, post

from notifier.domain.post import PostKind, PostState
from okgames.events import Audience, PromotionCancelled, PromotionPost, derive_id
from okgames.ok_api import OkApi, ok_session

CONDITIONS, WINNER = PromotionPost.CONDITIONS, PromotionPost.WINNER
HOUR = timedelta(hours=1)


@pytest.fixture
async def press(database_url: str) -> AsyncIterator[Press]:
    """A notifier that needs no approval."""
    async with at_press(database_url) as one:
        yield one


async def test_a_post_is_published_at_its_time_and_once(press: Press) -> None:
    await press.tell(post(CONDITIONS, not_before=START + HOUR))
    await press.publish()
    assert [PostState.APPROVED] == await press.states()
    await press.clock.move_to(START + HOUR)
    await press.publish()
    await press.tell(post(CONDITIONS))
    await press.publish()

    published = await press.post()
    (seen,) = await press.books("posts")
    assert (PostState.PUBLISHED, seen["id"], seen["text"]) == (published.state, published.ok_id, published.text)
    assert f"https://ok.ru/group/70000000000001/topic/{seen['id']}" == published.url
    assert ["GroupPostPublished"] == await press.events()


async def test_what_wants_approval_waits_for_a_person(database_url: str) -> None:
    app = configured().apps[0]
    wanting = configured(promotions=app.promotions.model_copy(update={"publishing": "confirmed"}))
    async with at_press(database_url, wanting) as press:
        await press.tell(post(CONDITIONS), notification())
        await press.publish()

        assert [PostState.PROPOSED, PostState.PROPOSED] == await press.states()
        assert [] == await press.books("posts")
        assert [] == await press.books("notifications")


@pytest.mark.parametrize("missing", [{"access_tokens": ()}, {"group_id": None}])
async def test_without_token_or_group_a_post_is_a_draft_at_once(database_url: str, missing: dict[str, object]) -> None:
    async with at_press(database_url, configured(**missing)) as press:
        await press.tell(post(CONDITIONS), notification(Audience.ADMINS_ONLY))
        await press.publish()

        assert [PostState.DRAFT, PostState.PUBLISHED] == await press.states()
        assert ["GroupPostDrafted", "NotificationSent"] == await press.events()
        draft = (await press.posts())[0]
        assert "3 марта" in draft.text
        assert draft.reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"no_group_right": True}, "OK has not granted the right: PERMISSION_DENIED"),
        ({"expired_token": True}, "OK refused the access token: PARAM_SESSION_EXPIRED"),
    ],
)
async def test_without_the_right_a_post_becomes_a_draft(press: Press, fault: dict[str, Any], reason: str) -> None:
    await press.ok.faults(**fault)
    await press.tell(post(CONDITIONS))
    with structlog.testing.capture_logs() as logs:
        await press.publish()

    draft = await press.post()
    assert (PostState.DRAFT, reason) == (draft.state, draft.reason)
    assert ["GroupPostDrafted"] == await press.events()
    assert ("expired_token" in fault) == ("access_token_refused" in [log["event"] for log in logs])


async def test_a_post_whose_answer_was_lost_is_found_in_the_group(press: Press) -> None:
    await press.ok.faults(post_lost_answers={"next": 1})
    await press.tell(post(CONDITIONS))
    await press.publish()
    await press.publish()
    assert [PostState.ATTEMPTED] == await press.states()
    await press.look_up()
    await press.publish()

    (seen,) = await press.books("posts")
    assert (PostState.PUBLISHED, seen["id"]) == ((await press.post()).state, (await press.post()).ok_id)
    assert ["GroupPostPublished"] == await press.events()


async def test_a_post_that_is_not_found_in_the_group_is_sent_again(press: Press) -> None:
    await press.ok.faults(api_errors={"next": 1})
    await press.tell(post(CONDITIONS))
    await press.publish()
    assert [] == await press.books("posts")
    await press.look_up()
    await press.publish()

    assert [PostState.PUBLISHED] == await press.states()
    assert 1 == len(await press.books("posts"))
    assert 2 == (await press.post()).attempts


async def test_a_post_that_is_never_found_is_left_to_a_person(press: Press) -> None:
    await press.tell(post(CONDITIONS))
    for _ in range(3):
        await press.ok.faults(api_errors={"next": 1})
        await press.publish()
        await press.look_up()
    await press.publish()

    draft = await press.post()
    assert (PostState.DRAFT, 3) == (draft.state, draft.attempts)
    assert "look for it before you do" in str(draft.reason)
    assert [] == await press.books("posts")


async def test_while_the_group_cannot_be_looked_at_nothing_is_sent_again(press: Press) -> None:
    await press.ok.faults(post_lost_answers={"next": 1})
    await press.tell(post(CONDITIONS))
    await press.publish()
    await press.ok.faults(api_errors={"next": 4})
    await press.look_up()
    await press.publish()
    assert [PostState.ATTEMPTED] == await press.states()
    await press.look_up()

    assert [PostState.PUBLISHED] == await press.states()
    assert 1 == len(await press.books("posts"))


async def test_an_attempt_is_not_looked_up_while_its_answer_may_come(press: Press) -> None:
    await press.ok.faults(post_lost_answers={"next": 1})
    await press.tell(post(CONDITIONS))
    await press.publish()
    await press.publisher.look_up(await press.clock.now())

    assert [PostState.ATTEMPTED] == await press.states()


async def test_ok_out_of_reach_is_tried_again_later(database_url: str) -> None:
    async with at_press(database_url, ok_api="http://127.0.0.1:1") as press:
        await press.tell(post(CONDITIONS))
        await press.publish()
        waiting = await press.post()

        assert (PostState.APPROVED, 1) == (waiting.state, waiting.attempts)
        assert waiting.retry_at is not None
        assert waiting.retry_at > START


@pytest.mark.parametrize("kind", PostKind)
async def test_a_kill_after_ok_has_acted_sends_nothing_twice(press: Press, kind: PostKind) -> None:
    due = {
        PostKind.CONDITIONS: post(CONDITIONS),
        PostKind.WINNER: post(WINNER),
        PostKind.REHEARSAL: notification(Audience.ADMINS_ONLY),
        PostKind.NOTIFICATION: notification(),
    }
    await press.tell(due[kind])
    send = press.publisher._send

    async def send_and_die(*arguments: Any) -> str:
        said = await send(*arguments)
        press.killed()
        return said

    press.publisher._send = send_and_die
    with pytest.raises((asyncpg.InterfaceError, ConnectionError)):
        await press.publish()
    press.publisher._send = send
    await press.database.open()
    await press.publish()
    await press.look_up()
    await press.publish()

    expected = PostState.PUBLISHED if kind.is_in_group else PostState.DRAFT
    assert [expected] == await press.states()
    assert 1 == len(await press.books("posts")) + len(await press.books("notifications"))


async def test_a_kill_before_ok_was_called_is_made_up_for(press: Press) -> None:
    await press.tell(post(CONDITIONS))

    async def die(*_arguments: Any) -> str:
        raise Killed

    send, press.publisher._send = press.publisher._send, die
    with pytest.raises(ExceptionGroup):
        await press.publish()
    press.publisher._send = send
    assert [PostState.ATTEMPTED] == await press.states()
    await press.look_up()
    await press.publish()

    assert [PostState.PUBLISHED] == await press.states()
    assert 1 == len(await press.books("posts"))


class Killed(Exception):
    pass


async def test_a_person_may_be_faster_than_an_answer(press: Press) -> None:
    await press.tell(post(CONDITIONS))
    send = press.publisher._send

    async def send_while_a_person_publishes(*arguments: Any) -> str:
        said = await send(*arguments)
        async with press.database.connection() as connection:
            await connection.execute(
                "update posts set state = 'published', published_at = now(), published_by = 'Ann', url = 'https://ok.ru/1'"
            )
        return said

    press.publisher._send = send_while_a_person_publishes
    await press.publish()

    assert "Ann" == (await press.post()).published_by
    assert [] == await press.events()


async def test_the_morning_notification_follows_its_rehearsal(press: Press) -> None:
    await press.tell(notification(Audience.ADMINS_ONLY), notification(not_before=OPENS_AT + timedelta(hours=4)))
    await press.publish()
    assert ["ADMINS_ONLY"] == [each["status"] for each in await press.books("notifications")]
    await press.ok.post("clock", {"to": "2026-03-03T04:00:00+03:00"})
    await press.publish()

    rehearsal, public = await press.books("notifications")
    assert ("PUBLIC", rehearsal["text"]) == (public["status"], public["text"])
    assert "2026-03-03T20:59:00+00:00" == public["expires_at"]
    assert ["NotificationSent"] * 2 == await press.events()
    assert public["id"] == (await press.posts())[1].ok_id


async def test_a_notification_whose_answer_was_lost_is_left_to_a_person(press: Press) -> None:
    await press.ok.faults(notification_lost_answers={"next": 1})
    await press.tell(notification())
    await press.publish()
    await press.look_up()
    await press.publish()

    assert [PostState.DRAFT] == await press.states()
    assert 1 == len(await press.books("notifications"))


async def test_what_is_too_late_to_be_of_use_is_left_to_a_person(press: Press) -> None:
    await press.tell(post(CONDITIONS), post(WINNER), notification())
    await press.ok.post("clock", {"to": CLOSES_AT.isoformat()})
    await press.publish()

    assert [PostState.DRAFT, PostState.PUBLISHED, PostState.DRAFT] == await press.states()
    assert [(await press.posts())[1].text] == [each["text"] for each in await press.books("posts")]
    assert [] == await press.books("notifications")


CANCELLED = PromotionCancelled(
    id=derive_id("cancelled"),
    occurred_at=START,
    application_key=KEY,
    promotion_id=PROMOTION,
    game="Backgammon",
    day=DAY,
    reason="declined",
)


async def test_a_cancelled_promotion_says_nothing_more(press: Press) -> None:
    await press.tell(notification(Audience.ADMINS_ONLY))
    await press.publish()
    await press.tell(post(CONDITIONS), notification())
    await press.tell(CANCELLED)
    await press.publish()

    assert [PostState.PUBLISHED, PostState.CANCELLED, PostState.CANCELLED] == await press.states()
    assert [] == await press.books("posts")


async def test_what_players_see_of_a_cancelled_promotion_is_taken_back(press: Press) -> None:
    await press.tell(notification(Audience.ADMINS_ONLY), notification())
    await press.publish()
    await press.tell(CANCELLED)
    await press.stop()
    await press.stop()

    assert [PostState.PUBLISHED, PostState.STOPPED] == await press.states()
    are_live = {each["status"]: each["is_live"] for each in await press.books("notifications")}
    assert {"ADMINS_ONLY": True, "PUBLIC": False} == are_live
    assert ["NotificationSent"] * 2 == await press.events()


async def test_a_kill_while_ok_takes_a_notification_back_is_made_up_for(press: Press) -> None:
    await press.tell(notification())
    await press.publish()
    await press.tell(CANCELLED)
    take_back = press.publisher._take_back

    async def take_back_and_die(*arguments: Any) -> bool:
        said = await take_back(*arguments)
        press.killed()
        return said

    press.publisher._take_back = take_back_and_die
    with pytest.raises((asyncpg.InterfaceError, ConnectionError)):
        await press.stop()
    press.publisher._take_back = take_back
    await press.database.open()
    assert [PostState.STOPPING] == await press.states()
    await press.leases_end()
    await press.stop()

    assert [PostState.STOPPED] == await press.states()


@pytest.mark.parametrize(
    ("kind", "faults", "state"),
    [
        (PostKind.NOTIFICATION, {}, PostState.STOPPED),
        (PostKind.NOTIFICATION, {"notification_lost_answers": {"next": 1}}, PostState.DRAFT),
        (PostKind.CONDITIONS, {}, PostState.PUBLISHED),
        (PostKind.CONDITIONS, {"no_group_right": True}, PostState.CANCELLED),
    ],
)
async def test_a_promotion_may_be_cancelled_while_ok_is_asked(
    press: Press, kind: PostKind, faults: dict[str, Any], state: PostState
) -> None:
    await press.ok.faults(**faults)
    await press.tell(post(CONDITIONS) if kind is PostKind.CONDITIONS else notification())
    send = press.publisher._send

    async def send_while_it_is_cancelled(*arguments: Any) -> str:
        await press.tell(CANCELLED)
        return await send(*arguments)

    press.publisher._send = send_while_it_is_cancelled
    await press.publish()
    await press.stop()

    assert [state] == await press.states()


async def send_others(press: Press, number: int) -> None:
    async with ok_session() as session:
        api = OkApi(session, press.ok.url, CONFIG.apps[0])
        for _ in range(number):
            await api.send_mass("Something else", CLOSES_AT, "ADMINS_ONLY")


async def test_a_notification_waits_while_oks_allowance_is_spent(press: Press) -> None:
    await send_others(press, 30)
    await press.tell(notification())
    await press.publish()
    waiting = await press.post()
    await press.ok.post("clock", {"to": "2026-03-03T04:00:00+03:00"})
    await press.publish()

    spent = "OK takes no more notifications of this application today"
    assert (PostState.APPROVED, spent) == (waiting.state, waiting.reason)
    sent = await press.post()
    assert (PostState.PUBLISHED, None) == (sent.state, sent.reason)
    assert 31 == len(await press.books("notifications"))


async def test_a_notification_that_would_wait_for_too_long_is_left_to_a_person(press: Press) -> None:
    await press.ok.post("clock", {"to": "2026-03-03T11:50:00+03:00"})
    await send_others(press, 30)
    await press.tell(notification())
    await press.publish()

    assert [PostState.DRAFT] == await press.states()
    assert 30 == len(await press.books("notifications"))


async def test_tokens_are_touched_once_a_day(press: Press) -> None:
    with structlog.testing.capture_logs() as logs:
        for hours in (0, 1, 25):
            await press.clock.move_to(START + hours * HOUR)
            await press.tokens.touch(await press.clock.now())
        await press.ok.faults(expired_token=True)
        await press.clock.move_to(START + 50 * HOUR)
        await press.tokens.touch(await press.clock.now())

    assert [(KEY, "access_token_refused")] == [
        (log["application_key"], log["event"]) for log in logs if log["event"] == "access_token_refused"
    ]
    async with press.database.connection() as connection:
        (row,) = await connection.fetch("select touch_at, refused_at, reason from access_tokens")
    assert START + 74 * HOUR <= row["touch_at"] < START + 75 * HOUR
    assert "PARAM_SESSION_EXPIRED" in row["reason"]
