import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

import orjson
import structlog
from aiohttp import hdrs, web
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from okgames.database import is_unavailable

Body = TypeVar("Body", bound=BaseModel)
HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TIME: Final = TypeAdapter(AwareDatetime)

logger = structlog.get_logger()


class Problem(Exception):
    """
    Answer a request with an RFC 9457 problem document.

    `detail` is for the caller's eyes, `members` for programs that want to know more.
    """

    def __init__(
        self, status: int, title: str, detail: str = "", members: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        super().__init__(title, detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.members = members

    def response(self) -> web.Response:
        document = {
            "type": "about:blank",
            "status": self.status,
            "title": self.title,
            "detail": self.detail,
            **self.members,
        }
        headers = {"WWW-Authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else None
        return web.Response(
            status=self.status,
            body=orjson.dumps(document),
            content_type="application/problem+json",
            headers=headers,
        )


def json_response(value: object, status: int = 200) -> web.Response:
    """Answer with JSON; times become RFC 3339 with offset, ids text."""
    body = orjson.dumps(value, default=_id_text)
    return web.Response(status=status, body=body, content_type="application/json")


def _id_text(value: object) -> str:
    # asyncpg's ids are of a subclass, which orjson does not know.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


def page(items: Sequence[object], next_cursor: str | None) -> web.Response:
    """Answer with one page of a list; `next_cursor` is None on the last."""
    return json_response({"items": items, "next": next_cursor})


def cursor_of(value: object) -> str:
    """Write the place where the next page begins, as one opaque word."""
    return base64.urlsafe_b64encode(orjson.dumps(value, default=_id_text)).decode().rstrip("=")


def read_cursor(text: str) -> object:
    """Return what `cursor_of` was given, as JSON has it; raise a 400 Problem for what cannot be read."""
    try:
        return orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise wrong_cursor() from error


def wrong_cursor() -> Problem:
    """Return the Problem of a cursor that says something else than ours do."""
    return Problem(400, "Wrong parameter", "after must be a cursor that an earlier answer gave")


def query_int(request: web.Request, name: str, default: int, minimum: int, maximum: int) -> int:
    """Read a whole number from the query; raise a 400 Problem outside its bounds."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not minimum <= int(text) <= maximum:
        raise Problem(400, "Wrong parameter", f"{name} must be a whole number from {minimum} to {maximum}")
    return int(text)


def query_time(request: web.Request, name: str) -> datetime | None:
    """Read an RFC 3339 time with offset from the query; raise a 400 Problem for anything else."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        # A bare + in a query means a space, and callers forget to escape the offset's.
        return _TIME.validate_strings(text.replace(" ", "+"))
    except ValidationError as error:
        example = "2026-03-02T10:00:00%2B03:00"
        raise Problem(400, "Wrong parameter", f"{name} must be an RFC 3339 time, such as {example}") from error


async def read_body(request: web.Request, model: type[Body]) -> Body:
    """Read a JSON body; raise a 400 Problem that names each field at fault."""
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise wrong_input("Wrong body", error) from error


def wrong_input(title: str, error: ValidationError) -> Problem:
    """Return the Problem of what a model does not take, each field at fault by its name; never what was given."""
    found = error.errors(include_input=False, include_url=False)
    faults = [(".".join(map(str, each["loc"])) or "body", each["msg"].removeprefix("Value error, ")) for each in found]
    return Problem(400, title, "; ".join(f"{field}: {said}" for field, said in faults))


async def not_found(request: web.Request) -> web.StreamResponse:
    """Answer 405 where the path exists with another method, else 404; the last route of an application."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        _, methods = await resource.resolve(request)
        allowed |= methods - {"*"}
    if allowed:
        named = ", ".join(sorted(allowed))
        response = Problem(405, "Method not allowed", f"Allowed: {named}").response()
        response.headers[hdrs.ALLOW] = named
        return response
    return Problem(404, "Not found", request.path).response()


def with_problems(handler: HttpHandler) -> HttpHandler:
    """Turn a Problem, an absent database and any fault of ours into a problem document."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except web.HTTPException as error:
            return Problem(error.status, error.reason).response()
        except Exception as error:
            if is_unavailable(error):
                logger.warning("request_failed", path=request.path, error=repr(error))
                return Problem(503, "Service unavailable", "The database is out of reach; try again.").response()
            logger.exception("request_failed", path=request.path)
            return Problem(500, "Internal error", "The fault is ours and is in the log.").response()

    return answer
