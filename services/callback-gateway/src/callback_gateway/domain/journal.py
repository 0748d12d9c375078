from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from callback_gateway.domain.callback import Identity
from callback_gateway.domain.verdict import PaymentEvent


class Outcome(Enum):
    """Say what became of a callback that was brought to the journal."""

    NEW = auto()
    REPEATED = auto()
    """The journal has it already, with the same content."""
    CONFLICTING = auto()
    """The journal has it already, with another content."""
    ABSENT = auto()
    """It was refused and only looked up, and the journal does not have it."""
    UNAVAILABLE = auto()
    """The database did not answer in time, so that nobody knows whether it was written."""
    UNWRITABLE = auto()
    """The database does not take it, and would not at another time."""
    FAILED = auto()
    """The fault is in our code."""


@dataclass(frozen=True, slots=True)
class Received:
    """Hold a callback on its way to the journal; without an event it was refused and is only looked up."""

    identity: Identity
    event: PaymentEvent | None
    query: str
    caller: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold what the journal said of a callback before this batch."""

    content: str
    ack_uncertain: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """Hold a callback that says something else than the one that was accepted under its id."""

    received: Received
    stored_content: str


def first_of_each(batch: Sequence[Received]) -> dict[UUID, Received]:
    """Return what is to be written: of the accepted callbacks with one id, the first."""
    accepted: dict[UUID, Received] = {}
    for received in batch:
        if received.event is not None:
            accepted.setdefault(received.identity.id, received)
    return accepted


@dataclass(frozen=True, slots=True)
class Settled:
    """Hold what became of a batch, each outcome at the place of its callback."""

    outcomes: Sequence[Outcome]
    conflicts: Sequence[Conflict]


def settle(
    batch: Sequence[Received], written: Mapping[UUID, Received], stored: Mapping[UUID, Stored]
) -> Settled:
    """Compare a batch with what was written of it just now and with what had been stored before."""
    outcomes: list[Outcome] = []
    conflicts: list[Conflict] = []
    for received in batch:
        callback_id, content = received.identity.id, received.identity.content
        if written.get(callback_id) is received:
            outcomes.append(Outcome.NEW)
            continue
        known = _known_content(callback_id, written, stored)
        if known is None:
            outcomes.append(Outcome.ABSENT)
        elif known == content:
            outcomes.append(Outcome.REPEATED)
        else:
            outcomes.append(Outcome.CONFLICTING)
            conflicts.append(Conflict(received, known))
    return Settled(outcomes, conflicts)


def _known_content(
    callback_id: UUID, written: Mapping[UUID, Received], stored: Mapping[UUID, Stored]
) -> str | None:
    if callback_id in written:
        return written[callback_id].identity.content
    return stored[callback_id].content if callback_id in stored else None
