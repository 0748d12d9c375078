from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from okgames.database import Database


class LogUnavailable(Exception):
    """The log cannot be read just now; open the reader again later."""


class GroupIsRead(Exception):
    """Somebody reads as this group, and would not notice that it was rewound."""


class Record(NamedTuple):
    """Hold an event as the log keeps it; `data` is its JSON text."""

    id: UUID
    type: str
    key: str
    data: str | bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Hold records of one topic, each key's in order, or none; `done` moves the group past them.

    Once this batch is done, the whole group is done with what had been committed by `complete_until`, a time of the
    event loop's clock; None where that is not known.
    """

    records: Sequence[Record]
    done: Callable[[], Awaitable[None]]
    complete_until: float | None = None


class EventLog(Protocol):
    """
    Read what services have appended.

    Every log promises:

    1. An event of a committed transaction reaches every group at least once; one of a rolled-back transaction never.
    2. Events of one key reach a group in the order in which their transactions committed.
    3. A batch that is not done (crash, cancel) comes again, before any later event of its keys.
    4. A new group starts at the oldest event kept.
    5. A partition is held by one member of a group at a time; where two overlap in a hand-over, the inbox lets one
       of them win.
    6. Cancelling a reader returns within a bounded time and loses nothing.
    7. Batches say, time and again, until when the group is complete (`complete_until`), also while others write
       without a pause, and batches without records come for it where there is nothing to read.
    8. A group that nobody reads can be rewound: what was appended since a time comes again, and nothing is left out.

    Not promised: order across keys, and exactly-once delivery (the inbox makes the effects once).
    """

    def read(
        self, group: str, topic: str, *, max_records: int = 1000
    ) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """
        Join a group as one more member and read its batches of a topic, waiting for new ones without end.

        A batch must be done before the next is asked for. Raise LogUnavailable where the log is out of reach.
        """
        ...

    async def lags(self, database: Database) -> dict[tuple[str, str], int]:
        """Count what each (group, topic) has not read yet, as far as this log can tell; raise LogUnavailable."""
        ...

    async def rewind(self, group: str, topic: str, since: datetime) -> None:
        """
        Have a group read again what was appended to a topic since a time (real time), as far as it is kept.

        It may get some from before that time too. Raise GroupIsRead where it has members, and LogUnavailable.
        """
        ...

    async def prune(self, database: Database, keep: timedelta) -> bool:
        """Forget events older than `keep` (real time) that every group has read; True if there may be more."""
        ...
