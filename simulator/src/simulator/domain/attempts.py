from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from xml.etree import ElementTree as ET

import orjson

from okgames.ok_protocol import ErrorCode


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what came back over HTTP; `invocation_error` is the text of that header."""

    status: int
    invocation_error: str | None
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """Say why no answer came."""

    reason: str


class Outcome(StrEnum):
    """Say what OK took from one attempt; of a lost answer, only the game knows that it was given."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    Record one call; `at` is its beginning by OK's clock.

    `was_accepted` tells whether the game said true, which OK does not know where the answer was lost.
    """

    at: datetime
    outcome: Outcome
    status: int | None
    invocation_error: int | None
    reason: str
    was_accepted: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """
    Say how OK calls: CB names three calls five seconds apart, the rest is not documented.

    An answer with one of the `final` codes ends the attempts; any other error, silence and what is no answer are
    tried again. `timeout` is real time whatever the clock.
    """

    attempts: int = 3
    interval: timedelta = timedelta(seconds=5)
    timeout: timedelta = timedelta(seconds=5)
    final: frozenset[int] = frozenset({ErrorCode.PARAM_SIGNATURE, ErrorCode.CALLBACK_INVALID_PAYMENT, ErrorCode.SYSTEM})


class Conclusion(StrEnum):
    """Say what OK makes of its attempts, and whether it gave up or was told no."""

    COMPLETED = "completed"
    REFUSED = "refused"
    UNHEARD = "unheard"


def conclusion(attempts: Sequence[Attempt], policy: Policy) -> Conclusion | None:
    """Return what OK concludes from the attempts so far; None if it calls again."""
    last = attempts[-1]
    if last.outcome is Outcome.ACCEPTED:
        return Conclusion.COMPLETED
    if last.outcome is Outcome.REFUSED and last.invocation_error in policy.final:
        return Conclusion.REFUSED
    return Conclusion.UNHEARD if len(attempts) >= policy.attempts else None


def attempt(answer: Answer | Silence, at: datetime, *, is_lost: bool) -> Attempt:
    """Read an answer as OK does; one that is lost on its way back tells OK nothing."""
    if isinstance(answer, Silence):
        return Attempt(at, Outcome.FAILED, None, None, answer.reason, was_accepted=False)
    heard = _read(answer, at)
    if is_lost:
        return Attempt(at, Outcome.LOST, None, None, "the answer was lost", heard.outcome is Outcome.ACCEPTED)
    return heard


def _read(answer: Answer, at: datetime) -> Attempt:
    def failed(reason: str) -> Attempt:
        return Attempt(at, Outcome.FAILED, answer.status, None, reason, was_accepted=False)

    if answer.status != 200:
        return failed(f"HTTP status {answer.status}")
    if answer.invocation_error is not None:
        # The header counts for more than the body: `true` beside it is an error.
        code = answer.invocation_error.strip()
        if not code.isascii() or not code.isdigit():
            return failed("an Invocation-error that is no number")
        return Attempt(at, Outcome.REFUSED, answer.status, int(code), "refused", was_accepted=False)
    if not _is_true(answer):
        return failed("neither true nor an error")
    return Attempt(at, Outcome.ACCEPTED, answer.status, None, "", was_accepted=True)


_SUCCESS: Final = "callbacks_payment_response"


def _is_true(answer: Answer) -> bool:
    if "json" in answer.content_type:
        try:
            return orjson.loads(answer.body) is True
        except orjson.JSONDecodeError:
            return False
    try:
        root = ET.fromstring(answer.body)  # noqa: S314 - expat itself refuses entities that explode
    except ET.ParseError:
        return False
    # OK's own sample binds the namespace to a prefix that it does not use, so any form of it must do.
    return root.tag.rpartition("}")[2] == _SUCCESS and not len(root) and (root.text or "").strip() == "true"
