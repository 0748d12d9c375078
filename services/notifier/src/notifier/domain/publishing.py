from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from notifier.domain.post import Post, PostState
from okgames.ok_answer import RIGHT_CODES, TOKEN_CODES, GroupTopic, NoToken, NotSent, OkApiError, Outcome, Refused
from okgames.retry import Exhausted, RetryAt, decide_retry

MOST_ATTEMPTS: Final = 3
"""So often a post is sent whose outcome stayed unknown and that was then not found in the group."""

_UNKNOWN: Final = "it is not known whether OK published it: look for it before you do"
# OK may set links and blanks its own way, further down.
_COMPARED: Final = 80


def decide_outcome(post: Post, group_id: str | None, said: str | OkApiError, now: datetime) -> Post:
    """
    Return an attempted post as it stands after OK's answer, which is the id that OK gave it or an error.

    It stays attempted where nobody knows whether OK did it and the group can be looked at. A notification cannot be
    looked up, so a person has to.
    """
    match said:
        case str():
            return _published(post, group_id, said, now)
        case NoToken():
            return post.drafted("the configuration has no access_token")
        case NotSent():
            return _again(post, decide_retry(post.id, post.attempts, now))
        case Refused(outcome=Outcome.NOT_DONE):
            return post.drafted(_refusal(said))
        case _ if post.kind.is_in_group:
            return post
        case _:
            return post.drafted(_UNKNOWN)


def decide_after_look(post: Post, group_id: str | None, seen: Sequence[GroupTopic] | OkApiError, now: datetime) -> Post:
    """
    Return a post whose outcome is unknown as it stands after a look at the group's newest posts.

    It is left to a person where there is nothing to look at: for notifications, or without the right to look.
    """
    if isinstance(seen, OkApiError):
        is_final = isinstance(seen, Refused | NoToken) and seen.outcome is Outcome.NOT_DONE
        return post.drafted(_UNKNOWN) if is_final else post
    found = [topic for topic in seen if _comparable(topic.text) == _comparable(post.text)]
    if found:
        return _published(post, group_id, found[0].id, now)
    if post.attempts >= MOST_ATTEMPTS:
        return post.drafted(_UNKNOWN)
    return _again(post, RetryAt(now))


def is_token_refused(error: OkApiError) -> bool:
    """Tell whether a person has to renew the access token."""
    return isinstance(error, Refused) and error.code in TOKEN_CODES


def _published(post: Post, group_id: str | None, ok_id: str, now: datetime) -> Post:
    url = f"https://ok.ru/group/{group_id}/topic/{ok_id}" if post.kind.is_in_group else None
    return replace(post, state=PostState.PUBLISHED, ok_id=ok_id, url=url, published_at=now, retry_at=None)


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
