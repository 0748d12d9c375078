import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

import structlog
from aiohttp.abc import AbstractResolver
from prometheus_client import Counter

from notifier.domain.delivery import Answer, Delivered, EndpointGone, decide_outcome
from notifier.domain.endpoint import Endpoint, judge, paused_event
from notifier.domain.lane import Attempt, Lane, LaneKey, Release, finished_event
from notifier.domain.webhook import ping_body
from notifier.endpoint_client import ANSWER_WITHIN, EndpointClient
from notifier.store.attempts import save_attempts
from notifier.store.endpoints import lock_health, pause_endpoint, save_endpoints, save_health
from notifier.store.lanes import claim_lanes, find_next_due, free_lanes_of_the_dead, lock_leases, release_lanes
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.events import EndpointPaused, Event, WebhookExhausted, derive_id
from okgames.outbox import append
from okgames.retry import Exhausted, RetryAt

_LANES_AT_ONCE: Final = 256
_MOST_TO_ONE_ENDPOINT: Final = 64
_LEAST_TO_ONE_ENDPOINT: Final = 4
_LEASED_PER_ATTEMPT: Final = 4
_BEGINNING_TOGETHER: Final = 4
"""
Attempts that begin in one turn of the event loop where more is due than there is room for. Otherwise each has a turn
of its own, and no callback of the same process waits for several.
"""
_MOST_UNRECORDED: Final = 2048
_REST: Final = 0.03
"""Seconds between two transactions that record attempts, so that those of a while share one."""
_LONGEST_WAIT: Final = 1.0
"""Seconds after which the database is asked for due lanes, should nobody have said that there are any."""

ATTEMPTS: Final = Counter("okgames_webhook_attempts", "Attempts to deliver a webhook.", ["endpoint_id", "outcome"])

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A lane with the time of its claim, by the clock and by the event loop, and the stops of its line before."""

    lane: Lane
    clock_time: datetime
    loop_time: float
    stops: int


@dataclass
class _Line:
    """What this process has leased of one endpoint's lanes: those attempted at once, and some that stand in line."""

    endpoint: Endpoint
    at_once: int
    claims: asyncio.Queue[_Claim] = field(default_factory=asyncio.Queue)
    leased: int = 0
    stops: int = 0
    is_gone: bool = False
    """It answered 410, which is not recorded yet."""

    @property
    def room(self) -> int:
        return 0 if self.is_gone else _LEASED_PER_ATTEMPT * self.at_once - self.leased


class Courier:
    """
    Bring pending deliveries to the game's servers.

    Three tasks work side by side: `feed` leases lanes that are due, `send` makes the attempts, those of one lane one
    after the other, and `record` keeps what came of them, many in one transaction. Each endpoint has a share of its
    own in what goes on at once, so that one that hangs takes nothing from the others.

    No attempt begins that could outlast its lease, so two processes never work on one lane at the same time.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        endpoints: Sequence[Endpoint],
        *,
        answer_within: timedelta = ANSWER_WITHIN,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._answer_within = answer_within
        self._resolver = resolver
        self._lease = 2 * answer_within
        # What is left of the lease after the last attempt is for recording it.
        self._begin_within = answer_within.total_seconds() * 2 / 3
        share = _LANES_AT_ONCE // max(1, len(endpoints))
        at_once = max(_LEAST_TO_ONE_ENDPOINT, min(share, _MOST_TO_ONE_ENDPOINT))
        self._lines = {endpoint.id: _Line(endpoint, at_once) for endpoint in endpoints}
        self._leases: dict[LaneKey, datetime] = {}
        self._attempts: list[Attempt] = []
        self._releases: list[Release] = []
        self._news = asyncio.Event()
        self._results = asyncio.Event()
        self._recording = asyncio.Lock()
        self._more_is_due = False
        self._endpoints_known = asyncio.Event()

    async def look(self, _now: datetime) -> bool:
        """Look for due lanes at once: something was added, or the clock was moved."""
        self.wake()
        return False

    def wake(self) -> None:
        """Look for due lanes at once."""
        self._news.set()

    def stop(self, endpoint_id: UUID) -> None:
        """Begin no more attempts of what is leased already; what is leased later goes on."""
        if endpoint_id in self._lines:
            self._lines[endpoint_id].stops += 1

    async def feed(self) -> None:
        """Make the endpoints known, then lease lanes as they fall due, until cancelled."""
        # Its end tells the others, and us after a restart, that our leases need not be waited for.
        presence = await self._database.connect()
        try:
            async with self._database.transaction() as tx:
                await save_endpoints(tx, [line.endpoint for line in self._lines.values()])
                # When only the connection was lost, what was leased by it is still being worked on.
                if not self._endpoints_known.is_set():
                    await free_lanes_of_the_dead(tx)
            self._endpoints_known.set()
            while not presence.is_closed():
                self._news.clear()
                wait = await self._claim(presence.get_server_pid())
                try:
                    async with asyncio.timeout(wait):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            presence.terminate()

    async def send(self) -> None:
        """Make the attempts until cancelled, and then give all lanes back."""
        try:
            async with (
                self._new_client() as client,
                asyncio.TaskGroup() as group,
            ):
                for line in self._lines.values():
                    for _ in range(line.at_once):
                        group.create_task(self._work(client, line))
                await asyncio.Future()
        finally:
            await self._record_the_last()

    async def record(self) -> None:
        """Keep what came of the attempts until cancelled."""
        # What could not be recorded before this was started again is still there.
        self._results.set()
        while True:
            await self._results.wait()
            self._results.clear()
            await self._record()
            await asyncio.sleep(_REST)

    async def wait_for_endpoints(self) -> None:
        """Return once the endpoints of the configuration are in the database; raise TimeoutError after 5 s."""
        async with asyncio.timeout(5):
            await self._endpoints_known.wait()

    async def ping(self, endpoint: Endpoint) -> Answer:
        """Send a webhook of type ping at once; it is no delivery, and nothing follows from its answer."""
        now = await self._clock.now()
        async with self._new_client() as client:
            return await client.post(endpoint, derive_id("ping", endpoint.id, now.isoformat()), ping_body(now))

    def _new_client(self) -> EndpointClient:
        return EndpointClient(answer_within=self._answer_within, resolver=self._resolver)

    async def _claim(self, leased_by: int) -> float:
        """Lease what is due and there is room for; return the seconds after which to look again."""
        room = self._room()
        if not room:
            return _LONGEST_WAIT
        stops = {id_: line.stops for id_, line in self._lines.items()}
        loop_time = asyncio.get_running_loop().time()
        clock_time = await self._clock.now()
        async with self._database.transaction() as tx:
            lanes = await claim_lanes(tx, room, clock_time, self._lease, leased_by)
            self._more_is_due = len(lanes) == sum(room.values())
            next_due = None if self._more_is_due else await find_next_due(tx, list(room), clock_time)
        if any(lane.key in self._leases for lane in lanes):
            # Perhaps given back by a transaction that is committed, while `_record` has not heard so yet.
            async with self._recording:
                pass
        claims = [
            _Claim(lane, clock_time, loop_time, stops[lane.key.endpoint_id])
            for lane in lanes
            if lane.key not in self._leases
        ]
        # One that is still here had its lease run out before it could be recorded: it is leased for longer.
        self._leases |= {lane.key: lane.leased_until for lane in lanes}
        await self._hand_out(claims)
        if next_due is None:
            return _LONGEST_WAIT
        return min((next_due - clock_time).total_seconds(), _LONGEST_WAIT)

    async def _hand_out(self, claims: Sequence[_Claim]) -> None:
        """Let attempts begin a few at a time."""
        together = _BEGINNING_TOGETHER if self._more_is_due else 1
        rest = deque(claims)
        for claim in claims:
            self._lines[claim.lane.key.endpoint_id].leased += 1
        try:
            while rest:
                for _ in range(min(together, len(rest))):
                    self._hand_to_worker(rest.popleft())
                await asyncio.sleep(0)
        finally:
            for claim in rest:
                self._hand_to_worker(claim)

    def _hand_to_worker(self, claim: _Claim) -> None:
        self._lines[claim.lane.key.endpoint_id].claims.put_nowait(claim)

    def _room(self) -> Mapping[UUID, int]:
        if len(self._leases) > _MOST_UNRECORDED:
            return {}
        return {id_: line.room for id_, line in self._lines.items() if line.room > 0}

    async def _work(self, client: EndpointClient, line: _Line) -> None:
        while True:
            claim = await line.claims.get()
            due_at = claim.clock_time
            try:
                due_at = await self._go_through(client, line, claim)
            finally:
                self._give_back(line, claim, due_at)

    def _give_back(self, line: _Line, claim: _Claim, due_at: datetime) -> None:
        line.leased -= 1
        self._releases.append(Release(claim.lane, due_at))
        self._results.set()
        # A claim for each lane that ends would cost more than it brings.
        if self._more_is_due and line.room >= line.at_once:
            self._news.set()

    async def _go_through(self, client: EndpointClient, line: _Line, claim: _Claim) -> datetime:
        """Attempt a lane's deliveries in order; return when the lane is due again."""
        loop, lane = asyncio.get_running_loop(), claim.lane
        for delivery in lane.deliveries:
            if claim.stops != line.stops or loop.time() - claim.loop_time > self._begin_within:
                break
            answer = await client.post(line.endpoint, delivery.id, delivery.body)
            at = claim.clock_time + timedelta(seconds=loop.time() - claim.loop_time)
            outcome = decide_outcome(delivery.id, delivery.step, answer, at)
            self._attempts.append(Attempt(lane, delivery, at, answer, outcome))
            self._results.set()
            match outcome:
                case Delivered() | Exhausted():
                    continue
                case RetryAt(time):
                    return time
                case EndpointGone():
                    line.is_gone = True
                    line.stops += 1
                case _:
                    assert_never(outcome)
        return claim.clock_time

    async def _record_the_last(self) -> None:
        for line in self._lines.values():
            while not line.claims.empty():
                claim = line.claims.get_nowait()
                self._give_back(line, claim, claim.clock_time)
        await self._record()

    async def _record(self) -> None:
        async with self._recording:
            attempts, releases = self._attempts.copy(), self._releases.copy()
            if not releases and not attempts:
                return
            endpoints = {id_: line.endpoint for id_, line in self._lines.items()}
            async with self._database.transaction() as tx:
                events, some_go_on = await _save(tx, endpoints, self._leases, attempts, releases)
                await append(tx, *events)
            was_full = len(self._leases) > _MOST_UNRECORDED
            del self._attempts[: len(attempts)]
            del self._releases[: len(releases)]
            for release in releases:
                del self._leases[release.lane.key]
        if some_go_on or was_full:
            self._news.set()
        for attempt in attempts:
            endpoint_id = attempt.lane.key.endpoint_id
            ATTEMPTS.labels(str(endpoint_id), type(attempt.outcome).__name__).inc()
            if isinstance(attempt.outcome, EndpointGone):
                self._lines[endpoint_id].is_gone = False
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        match event:
            case EndpointPaused():
                self.stop(event.endpoint_id)
                logger.error("endpoint_paused", endpoint_id=str(event.endpoint_id), reason=event.reason)
            case WebhookExhausted():
                logger.error("webhook_exhausted", delivery_id=str(event.delivery_id), status=event.status)


async def _save(
    tx: Tx,
    endpoints: Mapping[UUID, Endpoint],
    leases: Mapping[LaneKey, datetime],
    attempts: Sequence[Attempt],
    releases: Sequence[Release],
) -> tuple[list[Event], bool]:
    """Write what came of attempts and give lanes back; return what happened by it, and whether lanes go on."""
    # Endpoints before lanes: who resumes an endpoint locks them in the same order.
    events = await _save_health(tx, endpoints, attempts)
    keys = {*(attempt.lane.key for attempt in attempts), *(release.lane.key for release in releases)}
    held = await lock_leases(tx, {key: leases[key] for key in keys})
    if attempts:
        finished = await save_attempts(tx, attempts, held)
        for attempt in attempts:
            if attempt.delivery.id in finished:
                endpoint = endpoints[attempt.lane.key.endpoint_id]
                events.append(finished_event(attempt, endpoint.application_key, finished[attempt.delivery.id]))
    ours = [release for release in releases if release.lane.key in held]
    return events, bool(ours) and await release_lanes(tx, ours)


async def _save_health(tx: Tx, endpoints: Mapping[UUID, Endpoint], attempts: Sequence[Attempt]) -> list[Event]:
    answers: dict[UUID, list[tuple[Answer, datetime]]] = defaultdict(list)
    for attempt in attempts:
        answers[attempt.lane.key.endpoint_id].append((attempt.answer, attempt.at))
    events: list[Event] = []
    for endpoint_id, before in (await lock_health(tx, answers.keys())).items():
        health, pause = judge(before, answers[endpoint_id])
        if health != before:
            await save_health(tx, endpoint_id, health)
        if pause is not None and await pause_endpoint(tx, endpoint_id, pause):
            endpoint = endpoints[endpoint_id]
            events.append(paused_event(endpoint_id, endpoint.application_key, endpoint.url, pause))
    return events
