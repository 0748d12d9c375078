from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from callback_gateway.domain.callback import Identity, Reason
from callback_gateway.domain.verdict import Accepted, Refused, Verdict
from okgames.ok_protocol import ErrorCode


class Outcome(StrEnum):
    """Say what became of a callback; these are also the values of a metric's label."""

    NEW = "new"
    REPEATED = "repeated"
    """The journal had it already, with the same content."""
    CONFLICTING = "conflicting"
    """The journal had it already, with another content."""
    REFUSED = "refused"
    """It is not believed, and never was."""
    UNAVAILABLE = "unavailable"
    """The database did not answer in time, and nobody knows whether it was written."""
    UNWRITABLE = "unwritable"
    """The database does not take it, and would not at another time."""
    FAILED = "failed"
    """The fault is in our code."""


class Received(NamedTuple):
    """Hold a callback on its way to the journal; without an event it was refused and is only looked up."""

    identity: Identity
    accepted: Accepted | None
    query: str
    caller: str


def to_journal(verdict: Verdict, query: str, caller: str) -> Received | None:
    """Return what the journal is to be asked; None if it cannot have this callback."""
    identity = verdict.identity
    if identity is None:
        return None
    return Received(identity, verdict if isinstance(verdict, Accepted) else None, storable(query), caller)


def storable(query: str) -> str:
    """Return a query as it came, but bytes that were no text as escapes, which a database can keep."""
    if query.isascii():
        return query
    return query.encode(errors="surrogateescape").decode(errors="backslashreplace")


class Stored(NamedTuple):
    """Hold what the journal said of a callback before this batch."""

    content: str
    ack_uncertain: bool


class Conflict(NamedTuple):
    """Hold a callback that says something else than the one that was accepted under its id."""

    received: Received
    stored_content: str


def first_of_each(batch: Sequence[Received]) -> dict[str, Received]:
    """Return what is to be written: of the accepted callbacks with one id, the first."""
    accepted: dict[str, Received] = {}
    for received in batch:
        if received.accepted is not None:
            accepted.setdefault(received.identity.id, received)
    return accepted


class Settled(NamedTuple):
    """Hold what became of a batch, each outcome at the place of its callback."""

    outcomes: Sequence[Outcome]
    repeated: frozenset[str]
    conflicts: Sequence[Conflict]


def settle(batch: Sequence[Received], written: Mapping[str, Received], stored: Mapping[str, Stored]) -> Settled:
    """Compare a batch with what was written of it just now and with what had been stored before."""
    if len(written) == len(batch):
        return Settled([Outcome.NEW] * len(batch), frozenset(), ())
    outcomes: list[Outcome] = []
    repeated: set[str] = set()
    conflicts: list[Conflict] = []
    for received in batch:
        callback_id, content = received.identity.id, received.identity.content
        if written.get(callback_id) is received:
            outcomes.append(Outcome.NEW)
            continue
        known = _known_content(callback_id, written, stored)
        if known is None:
            outcomes.append(Outcome.REFUSED)
        elif known == content:
            outcomes.append(Outcome.REPEATED)
            repeated.add(callback_id)
        else:
            outcomes.append(Outcome.CONFLICTING)
            conflicts.append(Conflict(received, known))
    return Settled(outcomes, frozenset(repeated), conflicts)


def _known_content(callback_id: str, written: Mapping[str, Received], stored: Mapping[str, Stored]) -> str | None:
    if callback_id in written:
        return written[callback_id].identity.content
    return stored[callback_id].content if callback_id in stored else None


def refusal(verdict: Verdict, outcome: Outcome) -> Reason | None:
    """Return why the callback is refused; None where it is accepted, or where the cause is with us."""
    if outcome is Outcome.CONFLICTING:
        return Reason.CONFLICT
    return verdict.reason if outcome is Outcome.REFUSED and isinstance(verdict, Refused) else None


def error_of(verdict: Verdict, outcome: Outcome) -> ErrorCode | None:
    """Return the error that OK is answered with; None where the callback is accepted."""
    if outcome in (Outcome.NEW, Outcome.REPEATED):
        return None
    reason = refusal(verdict, outcome)
    if reason is not None:
        return reason.code
    return _FAULTS.get(outcome, ErrorCode.UNKNOWN)


_FAULTS: Final[Mapping[Outcome, ErrorCode]] = {
    Outcome.UNAVAILABLE: ErrorCode.SERVICE,
    Outcome.UNWRITABLE: ErrorCode.SYSTEM,
}
