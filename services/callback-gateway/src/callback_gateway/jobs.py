import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from callback_gateway import store
from callback_gateway.domain.callback import Reason
from callback_gateway.domain.journal import Conflict, Outcome, Received, Settled, first_of_each, settle, storable
from callback_gateway.store import Refusal
from okgames.clock import Clock
from okgames.database import Database, Tx, is_unavailable

_BATCH: Final = 512
_LONGEST_QUEUE: Final = 4096
_PATIENCE_SECONDS: Final = 0.75
_TICK_SECONDS: Final = 0.05
_HANGING_SECONDS: Final = 3.0
_REFUSALS: Final = 5
_LONGEST_SAMPLE: Final = 2048
_SIGNATURE: Final = re.compile(r"(^|&)sig=[^&]*")

BATCH_SIZE: Final = Histogram(
    "okgames_callback_batch_size", "Callbacks that shared a commit.", buckets=[2**n for n in range(10)]
)
CONFLICTS: Final = Counter("okgames_callback_conflicts", "Repeats that said something else than the first time.")
ACK_UNCERTAIN: Final = Counter(
    "okgames_callback_ack_uncertain", "Accepted callbacks whose answer OK may not have heard in time."
)

logger = structlog.get_logger()


@dataclass(slots=True)
class _Waiting:
    received: Received
    tell: Callable[[Outcome], None]
    deadline: float
    is_told: bool = False


class Journal:
    """
    Write callbacks and their events; those that come while a commit is under way share the next one.

    No callback waits for a timer. Each is told what became of it within a second, also when the database hangs, and
    is never told NEW or REPEATED before that is committed.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_available = True
        self._has_work = asyncio.Event()
        self._waiting: deque[_Waiting] = deque()
        self._writing: Sequence[_Waiting] = ()
        self._asked_at = 0.0
        self._uncertain: set[str] = set()

    def record(self, received: Received, tell: Callable[[Outcome], None]) -> None:
        """Write an accepted callback, or look up a refused one, and tell what became of it."""
        loop = self._loop
        if loop is None or len(self._waiting) >= _LONGEST_QUEUE:
            tell(Outcome.UNAVAILABLE)
            return
        self._waiting.append(_Waiting(received, tell, loop.time() + _PATIENCE_SECONDS))
        self._has_work.set()

    def note_ack_uncertain(self, callback_id: str) -> None:
        """Remember that OK may not have heard that this callback was accepted."""
        self._uncertain.add(callback_id)

    async def save_ack_uncertain(self, _now: datetime) -> bool:
        """Write down what was noted since the last time."""
        if self._uncertain:
            noted, self._uncertain = self._uncertain, set()
            try:
                async with self._database.transaction() as tx:
                    marked = await store.save_ack_uncertain(tx, noted, uncertain=True)
            except BaseException:
                self._uncertain |= noted
                raise
            ACK_UNCERTAIN.inc(marked)
        return False

    async def run(self) -> None:
        """Write until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_batches())
                group.create_task(self._lose_patience())
        finally:
            self._loop = None
            for waiting in (*self._writing, *self._waiting):
                self._tell(waiting, Outcome.UNAVAILABLE)
            self._waiting.clear()
            if self._connection is not None:
                self._connection.terminate()

    async def _write_batches(self) -> None:
        size = 0
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while self._waiting:
                # Half of those under way: while the database writes them, this process reads and answers the others.
                # Were all in one batch, each would stand still while the other works.
                size = min(len(self._waiting), (len(self._waiting) + size + 1) // 2, _BATCH)
                self._writing = [self._waiting.popleft() for _ in range(size)]
                await self._write(self._writing)
                self._writing = ()

    async def _lose_patience(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            for waiting in self._writing:
                if waiting.deadline <= now:
                    self._tell(waiting, Outcome.UNAVAILABLE)
            while self._waiting and self._waiting[0].deadline <= now:
                self._tell(self._waiting.popleft(), Outcome.UNAVAILABLE)
            if self._writing and self._connection and self._asked_at + _HANGING_SECONDS <= now:
                # A statement that is cancelled waits for the server's consent; this one may never give it.
                self._connection.terminate()

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            settled = await self._commit([waiting.received for waiting in batch])
        except Exception as error:
            if len(batch) > 1 and not is_unavailable(error):
                # One callback that cannot be written must not fail its neighbours.
                half = len(batch) // 2
                await self._write(batch[:half])
                await self._write(batch[half:])
                return
            outcome = self._outcome_of(error, batch)
            if outcome is Outcome.FAILED:
                logger.exception("callback_not_written", callback_id=batch[0].received.identity.id)
            self._tell_all(batch, [outcome] * len(batch))
        else:
            self._tell_all(batch, settled.outcomes)
            asyncio.get_running_loop().call_soon(self._note_written, len(batch), settled.conflicts)

    async def _commit(self, batch: Sequence[Received]) -> Settled:
        self._asked_at = asyncio.get_running_loop().time()
        connection = await self._connected()
        now = await self._clock.now()
        accepted = first_of_each(batch)
        try:
            new = await store.write_callbacks(connection, accepted, now)
            written = accepted if len(new) == len(accepted) else {each: accepted[each] for each in new}
            settled = await self._settle(connection, batch, written, now)
        except Exception as error:
            if is_unavailable(error):
                # They will be told so, but may have been committed all the same.
                self._uncertain |= accepted.keys()
            raise
        if self._uncertain:
            self._uncertain -= written.keys() | settled.repeated
        return settled

    async def _settle(
        self, connection: Tx, batch: Sequence[Received], written: Mapping[str, Received], now: datetime
    ) -> Settled:
        if len(written) == len(batch):
            return settle(batch, written, {})
        others = {received.identity.id for received in batch} - written.keys()
        stored = await store.load_callbacks(connection, others)
        settled = settle(batch, written, stored)
        # OK hears the answer now that it did not hear before.
        heard = [each for each in settled.repeated if each in stored and stored[each].ack_uncertain]
        if heard or settled.conflicts:
            async with connection.transaction():
                await store.save_ack_uncertain(connection, heard, uncertain=False)
                await store.save_conflicts(connection, settled.conflicts, now)
        return settled

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
        return self._connection

    def _tell_all(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        loop = asyncio.get_running_loop()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if self._waiting:
                # Later, so that the database has those that wait while these are answered.
                loop.call_soon(self._tell, waiting, outcome)
            else:
                self._tell(waiting, outcome)

    def _tell(self, waiting: _Waiting, outcome: Outcome) -> None:
        if not waiting.is_told:
            waiting.is_told = True
            waiting.tell(outcome)
        elif outcome in (Outcome.NEW, Outcome.REPEATED):
            # It was told that the database is unavailable.
            self._uncertain.add(waiting.received.identity.id)

    def _note_written(self, size: int, conflicts: Sequence[Conflict]) -> None:
        BATCH_SIZE.observe(size)
        for conflict in conflicts:
            CONFLICTS.inc()
            logger.error("callback_conflicted", callback_id=conflict.received.identity.id)
        if not self._is_available:
            self._is_available = True
            logger.info("journal_recovered")

    def _outcome_of(self, error: Exception, batch: Sequence[_Waiting]) -> Outcome:
        if is_unavailable(error):
            if self._is_available:
                # Once an outage: a line for each of its callbacks would fill the disk.
                self._is_available = False
                logger.error("journal_unavailable", error=repr(error))
            return Outcome.UNAVAILABLE
        if isinstance(error, asyncpg.PostgresError):
            # Not the error's text, which may quote the row.
            callback_id = batch[0].received.identity.id
            logger.error("callback_not_written", callback_id=callback_id, sqlstate=error.sqlstate)
            return Outcome.UNWRITABLE
        return Outcome.FAILED


class RefusalSamples:
    """Keep the first few refused callbacks of each second, for a person to look at."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._samples: list[Refusal] = []

    def take(self, reason: Reason, caller: str, query: str) -> bool:
        """Keep a refused callback, or pass it over and return False if there are enough of this second."""
        if len(self._samples) >= _REFUSALS:
            return False
        without_signature = _SIGNATURE.sub(r"\1sig=", query[:_LONGEST_SAMPLE])
        self._samples.append(Refusal(reason, caller, storable(without_signature)))
        return True

    async def save(self, now: datetime) -> bool:
        """Write down the samples; they are lost if that fails."""
        if self._samples:
            samples, self._samples = self._samples, []
            async with self._database.transaction() as tx:
                await store.save_refusals(tx, samples, now)
        return False
