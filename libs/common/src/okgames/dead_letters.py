from collections.abc import Sequence
from functools import partial
from uuid import UUID

import asyncpg
from aiohttp import web

from okgames.consumer import decode
from okgames.database import is_unavailable
from okgames.events import Topic
from okgames.http import Problem, json_response, page, query_int
from okgames.log import Record
from okgames.service import Route, Scope, Service


def routes(services: Sequence[Service]) -> list[Route]:
    """Return the routes that show and retry what these services have parked."""
    return [
        Route("GET", "/v1/dead-letters", partial(_list, services), Scope.DEAD_LETTERS_READ),
        Route("GET", "/v1/dead-letters/{id}", partial(_show, services), Scope.DEAD_LETTERS_READ),
        Route("POST", "/v1/dead-letters/{id}/retry", partial(_retry, services), Scope.DEAD_LETTERS_WRITE),
    ]


async def _list(services: Sequence[Service], request: web.Request) -> web.Response:
    """Answer with what these services have parked."""
    limit = query_int(request, "limit", default=100, minimum=1, maximum=1000)
    after = request.query.get("after", "")
    items: list[dict[str, object]] = []
    for service in services:
        async with service.database.connection() as connection:
            rows = await connection.fetch(
                """
                select id, topic, type, key, data, error, parked_at
                from dead_letters
                where $1 || ':' || id::text > $2
                order by id
                limit $3
                """,
                service.name,
                after,
                limit + 1,
            )
        items += [_item(service, row) for row in rows]
    items.sort(key=lambda item: str(item["id"]))
    more = len(items) > limit
    return page(items[:limit], str(items[limit - 1]["id"]) if more else None)


async def _show(services: Sequence[Service], request: web.Request) -> web.Response:
    """Answer with one dead letter, its event and the error."""
    service, event_id = _locate(services, request.match_info["id"])
    async with service.database.connection() as connection:
        row = await connection.fetchrow("select * from dead_letters where id = $1", event_id)
    if row is None:
        raise _unknown(request)
    return json_response(_item(service, row))


async def _retry(services: Sequence[Service], request: web.Request) -> web.Response:
    """Hand a parked event to its handler again; where that fails, nothing has changed."""
    service, event_id = _locate(services, request.match_info["id"])
    async with service.database.transaction() as tx:
        row = await tx.fetchrow("delete from dead_letters where id = $1 returning *", event_id)
        if row is None:
            raise _unknown(request)
        try:
            # A savepoint, so that a failing handler leaves the letter where it is.
            async with tx.transaction():
                record = Record(row["id"], row["type"], row["key"], row["data"])
                await service.handlers[Topic(row["topic"])].handle(tx, decode([record]))
        except Exception as error:
            if is_unavailable(error):
                raise
            raise Problem(409, "Still failing", f"{type(error).__name__}: {error}") from error
    return json_response({"id": request.match_info["id"], "handled": True})


def _locate(services: Sequence[Service], letter_id: str) -> tuple[Service, UUID]:
    name, _, event_id = letter_id.partition(":")
    try:
        return next(service for service in services if service.name == name), UUID(event_id)
    except (StopIteration, ValueError) as error:
        raise Problem(404, "Unknown dead letter", letter_id) from error


def _unknown(request: web.Request) -> Problem:
    return Problem(404, "Unknown dead letter", request.match_info["id"])


def _item(service: Service, row: asyncpg.Record) -> dict[str, object]:
    return {
        "id": f"{service.name}:{row['id']}",
        "service": service.name,
        "topic": row["topic"],
        "type": row["type"],
        "key": row["key"],
        "error": row["error"],
        "parked_at": row["parked_at"],
        "data": row["data"],
    }
