from collections.abc import Sequence
from dataclasses import asdict
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from notifier.domain.delivery import DeliveryState
from notifier.domain.endpoint import Endpoint, Pause, PauseReason, paused_event
from notifier.domain.report import DeliveryReport, EndpointReport, Selection
from notifier.http.parameters import path_id, query_id, query_state
from notifier.jobs.courier import Courier
from notifier.store.deliveries import find_deliveries, load_deliveries, resend_deliveries
from notifier.store.endpoints import load_endpoints, pause_endpoint, resume_endpoint
from okgames.clock import Clock
from okgames.database import Database, Tx
from okgames.http import Problem, json_response, page, query_int, read_body
from okgames.outbox import append
from okgames.service import Route, Scope

_RESENT_AT_ONCE: Final = 5_000


class ResendRange(BaseModel):
    """Choose what to send again: what the notifier took on at `from` or later, and before `to`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    application_key: str
    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    state: DeliveryState | None = None
    uid: str | None = None
    endpoint_id: UUID | None = None

    def selection(self) -> Selection:
        return Selection(
            application_key=self.application_key,
            uid=self.uid,
            endpoint_id=self.endpoint_id,
            state=self.state,
            since=self.from_,
            before=self.to,
        )


class DeliveriesApi:
    """Show deliveries and send them again."""

    def __init__(self, database: Database, clock: Clock, courier: Courier) -> None:
        self._database = database
        self._clock = clock
        self._courier = courier

    def routes(self) -> list[Route]:
        """Return the routes, a range before what could be an id."""
        return [
            Route("GET", "/v1/deliveries", self.show_some, Scope.DELIVERIES_READ),
            Route("POST", "/v1/deliveries/resend", self.resend_range, Scope.DELIVERIES_WRITE),
            Route("GET", "/v1/deliveries/{id}", self.show, Scope.DELIVERIES_READ),
            Route("POST", "/v1/deliveries/{id}/resend", self.resend, Scope.DELIVERIES_WRITE),
        ]

    async def show_some(self, request: web.Request) -> web.Response:
        """Answer with chosen deliveries and every attempt of each, the oldest first."""
        query = request.query
        chosen = Selection(
            application_key=query.get("application_key"),
            uid=query.get("uid"),
            endpoint_id=query_id(query["endpoint_id"]) if "endpoint_id" in query else None,
            state=query_state(query["state"], DeliveryState) if "state" in query else None,
        )
        limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
        after = query_int(request, "after", default=0, minimum=0, maximum=10**18)
        async with self._database.connection() as connection:
            found = await find_deliveries(connection, chosen, after, limit + 1)
            shown, more = found[:limit], len(found) > limit
            deliveries = await load_deliveries(connection, [each.id for each in shown])
        return page(deliveries, str(shown[-1].position) if more else None)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with one delivery and every attempt."""
        async with self._database.connection() as connection:
            return json_response(await _load_delivery(connection, path_id(request)))

    async def resend(self, request: web.Request) -> web.Response:
        """Send one delivery again, whatever became of it, under its webhook-id."""
        now = await self._clock.now()
        async with self._database.transaction() as tx:
            delivery = await _load_delivery(tx, path_id(request))
            await resend_deliveries(tx, [delivery.id], now)
            delivery = await _load_delivery(tx, delivery.id)
        self._courier.wake()
        return json_response(delivery)

    async def resend_range(self, request: web.Request) -> web.Response:
        """Send all deliveries of a range again, each player's in their order; answer how many they are."""
        chosen = (await read_body(request, ResendRange)).selection()
        now = await self._clock.now()
        resent, position = 0, 0
        while True:
            async with self._database.transaction() as tx:
                found = await find_deliveries(tx, chosen, position, _RESENT_AT_ONCE)
                if found:
                    await resend_deliveries(tx, [each.id for each in found], now)
                    resent, position = resent + len(found), found[-1].position
            self._courier.wake()
            if len(found) < _RESENT_AT_ONCE:
                return json_response({"resent": resent})


class EndpointsApi:
    """Show, pause, resume and try the game's endpoints."""

    def __init__(self, database: Database, clock: Clock, courier: Courier, endpoints: Sequence[Endpoint]) -> None:
        self._database = database
        self._clock = clock
        self._courier = courier
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/endpoints", self.show_all, Scope.ENDPOINTS_READ),
            Route("GET", "/v1/endpoints/{id}", self.show, Scope.ENDPOINTS_READ),
            Route("POST", "/v1/endpoints/{id}/pause", self.pause, Scope.ENDPOINTS_WRITE),
            Route("POST", "/v1/endpoints/{id}/resume", self.resume, Scope.ENDPOINTS_WRITE),
            Route("POST", "/v1/endpoints/{id}/ping", self.ping, Scope.ENDPOINTS_WRITE),
        ]

    async def show_all(self, request: web.Request) -> web.Response:
        """Answer with all endpoints, those too that the configuration names no more."""
        application_key = request.query.get("application_key")
        await self._courier.wait_for_endpoints()
        async with self._database.connection() as connection:
            reports = await load_endpoints(connection)
        shown = [each for each in reports if application_key in (None, each.application_key)]
        return page([self._item(each) for each in shown], None)

    async def show(self, request: web.Request) -> web.Response:
        """Answer with one endpoint."""
        async with self._database.connection() as connection:
            return json_response(self._item(await self._load(connection, path_id(request))))

    async def pause(self, request: web.Request) -> web.Response:
        """Give an endpoint no more attempts; attempts under way end, and nothing is dropped."""
        pause = Pause(PauseReason.OPERATOR, await self._clock.now())
        async with self._database.transaction() as tx:
            endpoint = await self._load(tx, path_id(request))
            is_new = await pause_endpoint(tx, endpoint.id, pause)
            report = await self._load(tx, endpoint.id)
            if is_new:
                await append(tx, paused_event(endpoint.id, endpoint.application_key, endpoint.url, pause))
        self._courier.stop(endpoint.id)
        return json_response(self._item(report))

    async def resume(self, request: web.Request) -> web.Response:
        """Let what waits for an endpoint go on at once and in order."""
        now = await self._clock.now()
        async with self._database.transaction() as tx:
            endpoint = await self._load(tx, path_id(request))
            await resume_endpoint(tx, endpoint.id, now)
            report = await self._load(tx, endpoint.id)
        self._courier.wake()
        return json_response(self._item(report))

    async def ping(self, request: web.Request) -> web.Response:
        """Send a webhook of type ping at once and answer what came of it; nothing else follows from it."""
        async with self._database.connection() as connection:
            report = await self._load(connection, path_id(request))
        endpoint = self._endpoints.get(report.id)
        if endpoint is None:
            raise Problem(409, "Endpoint removed", "The configuration does not name this endpoint any more.")
        answer = await self._courier.ping(endpoint)
        return json_response(
            {
                "is_success": answer.is_success,
                "status": answer.status,
                "latency_ms": answer.latency_ms,
                "answer": answer.beginning,
                "error": answer.error,
            }
        )

    async def _load(self, tx: Tx, endpoint_id: UUID) -> EndpointReport:
        await self._courier.wait_for_endpoints()
        endpoints = await load_endpoints(tx, endpoint_id)
        if not endpoints:
            raise Problem(404, "Unknown endpoint", str(endpoint_id))
        return endpoints[0]

    def _item(self, report: EndpointReport) -> dict[str, object]:
        endpoint = self._endpoints.get(report.id)
        return {**asdict(report), "events": endpoint.events if endpoint else ()}


async def _load_delivery(tx: Tx, delivery_id: UUID) -> DeliveryReport:
    deliveries = await load_deliveries(tx, [delivery_id])
    if not deliveries:
        raise Problem(404, "Unknown delivery", str(delivery_id))
    return deliveries[0]
