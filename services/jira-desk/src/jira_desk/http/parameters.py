from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from aiohttp import web

from okgames.catalogue import App, Config
from okgames.http import Problem, page

E = TypeVar("E", bound=StrEnum)


def path_id(request: web.Request) -> UUID:
    """Return the id in the path; raise a 404 Problem."""
    try:
        return UUID(request.match_info["id"])
    except ValueError as error:
        raise Problem(404, "Unknown id", "This is no id of ours.") from error


def one_of(kind: type[E], name: str, text: str) -> E:
    """Return what a parameter of the query names; raise a 400 Problem."""
    try:
        return kind(text)
    except ValueError as error:
        raise Problem(400, "Wrong parameter", f"{name} must be one of {', '.join(kind)}") from error


def window_page(rows: Sequence[tuple[int, object]], limit: int) -> web.Response:
    """Answer with rows by their positions, of which one more than `limit` was looked for."""
    shown = rows[:limit]
    return page([row for _, row in shown], str(shown[-1][0]) if len(rows) > limit else None)


def known_app(config: Config, application_key: str) -> App:
    """Return an application of the configuration; raise a 404 Problem."""
    app = config.app(application_key)
    if app is None:
        raise Problem(404, "Unknown application", f"The configuration has no application {application_key}.")
    return app
