import asyncio
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli.failures import Failed, WrongInput

Row: TypeAlias = Mapping[str, object]
"""A JSON object of the API as it came: commands show its fields and decide nothing on them."""

UrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--url", help="Address of the API.", show_default="http://$OKGAMES_HTTP", metavar="URL"),
]

_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True)
class Api:
    """Ask a running okgames over HTTP."""

    url: str
    token: str

    def get(self, path: str, **query: str | int | None) -> Row:
        """Return the answer; raise WrongInput or Failed for a problem document."""
        return asyncio.run(self._call("GET", path, _present(query)))

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Row:
        """As `get`."""
        content = None if body is None else json.dumps(body).encode()
        return asyncio.run(self._call("POST", path, {}, content, "application/json"))

    def upload(self, path: str, content: bytes, media_type: str, query: Mapping[str, str | None]) -> Row:
        """As `get`, with a file as the body."""
        return asyncio.run(self._call("POST", path, _present(query), content, media_type))

    def content(self, path: str, **query: str | None) -> bytes:
        """Return the answer's bytes, for what is no JSON; raise as `get`."""
        return asyncio.run(self._bytes("GET", path, _present(query)))

    def items(self, path: str, at_most: int, **query: str | None) -> list[Row]:
        """Return a list's items, page by page until there are `at_most`."""
        return list(islice(self.each(path, **query), at_most))

    def each(self, path: str, **query: str | None) -> Iterator[Row]:
        """Return all items of a list, asking for the next page when the one before is used up."""
        after: str | None = None
        while True:
            page = self.get(path, after=after, **query)
            items, following = page["items"], page["next"]
            if not isinstance(items, list):
                raise Failed(f"{self.url}{path} is no list of okgames")
            yield from items
            if following is None:
                return
            after = str(following)

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media_type: str | None = None
    ) -> Row:
        try:
            answer: Row = json.loads(await self._bytes(method, path, query, body, media_type))
        except ValueError as error:
            raise Failed(f"{self.url}{path} is no answer of okgames") from error
        return answer

    async def _bytes(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media_type: str | None = None
    ) -> bytes:
        # Importing aiohttp takes a quarter of a second, which --help must not wait for.
        import aiohttp

        headers = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": media_type} if media_type else {})
        timeout = aiohttp.ClientTimeout(_TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(
                    method, f"{self.url}{path}", params=query, data=None if body is None else io.BytesIO(body)
                ) as response,
            ):
                content = await response.read()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise WrongInput(f"{self.url} is no address of an API") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Failed(f"no answer from {self.url}: {str(error) or type(error).__name__}") from error
        if response.ok:
            return content
        message = _problem(content) or f"{self.url} answered {response.status}"
        # The caller's fault, but for 409: what was asked for is right and could not be done.
        raise Failed(message) if response.status >= 500 or response.status == 409 else WrongInput(message)


def _present(query: Mapping[str, str | int | None]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _problem(content: bytes) -> str:
    """Return what a problem document says, on one line."""
    try:
        document = json.loads(content)
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    said = f"{document.get('title', '')}: {document.get('detail', '')}".strip(": ")
    return " ".join(said.split())


def rows_of(row: Row, field: str) -> list[Row]:
    """Return the objects in a field."""
    return [each for each in list_of(row, field) if isinstance(each, dict)]


def list_of(row: Row, field: str) -> list[object]:
    """Return a field that is a list; an empty one where it is none."""
    found = row.get(field)
    return found if isinstance(found, list) else []


def api(url: str | None) -> Api:
    """Return the API at `url` or at OKGAMES_HTTP, with the token of the environment; raise WrongInput without one."""
    token = _variable("OKGAMES_TOKEN") or _variable("OKGAMES_ADMIN_TOKEN")
    if token is None:
        raise WrongInput("no token: set OKGAMES_TOKEN or OKGAMES_ADMIN_TOKEN (okgames token create makes one)")
    address = url or f"http://{_variable('OKGAMES_HTTP') or '127.0.0.1:8080'}"
    return Api(address.rstrip("/"), token)


def _variable(name: str) -> str | None:
    """Return a variable's value, or the content of the file that NAME_FILE names; None where both are absent."""
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return os.environ.get(name) or None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise WrongInput(f"{name}_FILE: {path}: {error.strerror}") from error
