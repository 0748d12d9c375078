from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from notifier.domain.post import Post, PostState
from okgames.ok_answer import (
    RIGHT_CODES,
    TOKEN_CODES,
    ApiCode,
    CallsLeft,
    GroupTopic,
    NoToken,
    NotSent,
    OkApiError,
    Outcome,
    Refused,
)
from okgames.retry import Exhausted, RetryAt, decide_retry

MOST_ATTEMPTS: Final = 3
"""So often a post is sent whose outcome stayed unknown and that was then not found in the group."""

MAILINGS: Final = "notifications.sendMass"
"""The method whose allowance a notification uses."""

_ASK_AGAIN: Final = timedelta(minutes=15)
"""OK's page on limits does not say in which zone the allowance starts anew at 04:00, so it may be soon."""
_STOP_AGAIN: Final = timedelta(minutes=1)
_SPENT: Final = "OK takes no more notifications of this application today"
_LIMITS: Final = frozenset({ApiCode.LIMIT_REACHED, ApiCode.TOTAL_LIMIT_REACHED})
UNKNOWN: Final = "it is not known whether OK published it: look for it before you do"
"""Why a post is left to a person of which players may see something, also when its promotion was cancelled."""

# OK may set links and blanks its own way, further down.
_COMPARED: Final = 80


class AllowanceSpent(NotSent):
    """OK would take no notification now, so it was not asked to."""


def require_some_left(allowances: Sequence[CallsLeft]) -> None:
    """Raise AllowanceSpent where users.getCallsLeft tells that no notification is left."""
    if any(each.method == MAILINGS and not (each.available and each.calls_left) for each in allowances):
        raise AllowanceSpent


def decide_outcome(post: Post, group_id: str | None, said: str | OkApiError, now: datetime) -> Post:
    """
    Return an attempted post as it stands after OK's answer, which is the id that OK gave it or an error.

    It stays attempted where nobody knows whether OK did it and the group can be looked at. A notification cannot be
    looked up, so a person has to. Where OK's allowance is spent, it waits for more, and is left to a person when it
    would come too late.
    """
    match said:
        case str():
            return _published(post, group_id, said, now)
        case NoToken():
            return post.drafted("the configuration has no access_token")
        case AllowanceSpent():
            return _when_some_are_left(post, now)
        case Refused(code=code) if code in _LIMITS and not post.kind.is_in_group:
            return _when_some_are_left(post, now)
        case NotSent():
            return _again(post, decide_retry(post.id, post.attempts, now))
        case Refused(outcome=Outcome.NOT_DONE):
            return post.drafted(_refusal(said))
        case _ if post.kind.is_in_group:
            return post
        case _:
            return post.drafted(UNKNOWN)


def decide_after_look(post: Post, group_id: str | None, seen: Sequence[GroupTopic] | OkApiError, now: datetime) -> Post:
    """
    Return a post whose outcome is unknown as it stands after a look at the group's newest posts.

    It is left to a person where there is nothing to look at: for notifications, or without the right to look.
    """
    if isinstance(seen, OkApiError):
        is_final = isinstance(seen, Refused | NoToken) and seen.outcome is Outcome.NOT_DONE
        return post.drafted(UNKNOWN) if is_final else post
    found = [topic for topic in seen if _comparable(topic.text) == _comparable(post.text)]
    if found:
        return _published(post, group_id, found[0].id, now)
    if post.attempts >= MOST_ATTEMPTS:
        return post.drafted(UNKNOWN)
    return _again(post, RetryAt(now))


def decide_after_stop(post: Post, said: bool | OkApiError, now: datetime) -> Post:
    """Return a post that is to be taken back as it stands after OK's answer; asking again does no harm."""
    match said:
        case True | Refused(code=ApiCode.NOT_FOUND):
            return replace(post, state=PostState.STOPPED, retry_at=None)
        case False:
            return _left_standing(post, "OK did not take it back")
        case Refused(outcome=Outcome.NOT_DONE):
            return _left_standing(post, _refusal(said))
        case _ if post.expires_at is not None and post.expires_at <= now:
            return _left_standing(post, "OK was out of reach until its end")
        case _:
            return replace(post, retry_at=now + _STOP_AGAIN)


def is_token_refused(error: OkApiError) -> bool:
    """Tell whether a person has to renew the access token."""
    return isinstance(error, Refused) and error.code in TOKEN_CODES


def _published(post: Post, group_id: str | None, ok_id: str, now: datetime) -> Post:
    url = f"https://ok.ru/group/{group_id}/topic/{ok_id}" if post.kind.is_in_group else None
    return replace(post, state=PostState.PUBLISHED, ok_id=ok_id, url=url, published_at=now, retry_at=None)


def _left_standing(post: Post, why: str) -> Post:
    reason = f"its promotion was cancelled and players see it still: {why}"
    return replace(post, state=PostState.PUBLISHED, reason=reason, retry_at=None)


def _when_some_are_left(post: Post, now: datetime) -> Post:
    if now + _ASK_AGAIN > post.due_by:
        return post.drafted(_SPENT)
    return replace(post, state=PostState.APPROVED, retry_at=now + _ASK_AGAIN, reason=_SPENT)


def _again(post: Post, decision: RetryAt | Exhausted) -> Post:
    if isinstance(decision, Exhausted):
        return post.drafted("OK was out of reach for too long")
    return replace(post, state=PostState.APPROVED, retry_at=decision.time)


def _refusal(error: Refused) -> str:
    assert error.code is not None, "an unknown code leaves the outcome open"
    if error.code in TOKEN_CODES:
        return f"OK refused the access token: {error.code.name}"
    if error.code in RIGHT_CODES:
        return f"OK has not granted the right: {error.code.name}"
    return f"OK refused it: {error.code.name}"


def _comparable(text: str) -> str:
    return " ".join(text.split())[:_COMPARED]
