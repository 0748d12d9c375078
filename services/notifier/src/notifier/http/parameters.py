from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from aiohttp import web

from okgames.http import Problem

S = TypeVar("S", bound=StrEnum)


def path_id(request: web.Request) -> UUID:
    """Return the id in the path; raise a 404 Problem."""
    text = request.match_info["id"]
    try:
        return UUID(text)
    except ValueError as error:
        raise Problem(404, "Unknown id", text) from error


def query_id(text: str) -> UUID:
    """Return an id of the query; raise a 400 Problem."""
    try:
        return UUID(text)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", f"{text!r} is not an id") from error


def query_state(text: str, states: type[S]) -> S:
    """Return a state of the query; raise a 400 Problem."""
    try:
        return states(text)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", f"state must be one of {', '.join(states)}") from error
