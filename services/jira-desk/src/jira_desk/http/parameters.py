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


def named_file(file_name: str, by: str) -> tuple[str, str]:
    """Return how an uploaded file is called and who uploads it; raise a 400 Problem."""
    named = file_name.strip(), by.strip()
    if not all(0 < len(each) <= 200 for each in named) or "/" in file_name:
        raise Problem(400, "Wrong parameters", "give file_name, without a path, and by")
    return named


async def read_file(request: web.Request, most_bytes: int) -> bytes:
    """Read a file, which is the body; raise a Problem for one that is empty or too large."""
    taken = bytearray()
    async for chunk in request.content.iter_any():
        taken += chunk
        if len(taken) > most_bytes:
            raise Problem(413, "Too large", f"A file has at most {most_bytes} bytes.")
    if not taken:
        raise Problem(400, "Wrong body", "The file is empty.")
    return bytes(taken)
