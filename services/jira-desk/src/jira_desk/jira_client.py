import asyncio
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import timedelta
from email.utils import parsedate_to_datetime
from threading import Thread
from typing import Any, Final, TypeVar
from urllib.parse import quote

import requests
from jira import JIRA
from jira.exceptions import JIRAError
from prometheus_client import Counter
from pydantic import ValidationError

from jira_desk.domain.answer import AccountRefused, JiraProblem, NotDone, NotLetIn, NotThere, OutcomeUnknown, Refused
from jira_desk.domain.paging import PAGE
from jira_desk.domain.seen import CreateMeta, FieldMeta, Myself, SeenIssue, SeenPage
from okgames.jira_account import Jira
from okgames.retry import parse_retry_after

_CONNECT_SECONDS: Final = 5.0
_LONGEST_MESSAGE: Final = 300
_CHUNK_BYTES: Final = 64 * 1024
_DOWNLOAD_SECONDS: Final = 120
_FIELDS: Final = "summary,description,status,reporter,created,updated,comment,attachment"

MOST_BYTES: Final = 20 * 1024 * 1024
"""The largest attachment that is fetched."""

T = TypeVar("T")

CALLS: Final = Counter("okgames_jira_calls", "Calls of OK's JIRA, by what came of them.", ["action", "outcome"])


class JiraClient:
    """
    Call OK's JIRA (Server, REST version 2) through the `jira` library, off the event loop.

    The library waits in threads; it never tries again by itself. Every failure is a JiraProblem whose text
    names no address, header or secret.
    """

    def __init__(self, jira: Jira, *, answer_within: timedelta = timedelta(seconds=30)) -> None:
        self._jira = jira
        self._answer_seconds = answer_within.total_seconds()
        self._library: JIRA | None = None
        self._myself: Myself | None = None

    async def myself(self) -> Myself:
        """Return our own account, asked for once."""
        if self._myself is None:
            raw = await self._call("myself", lambda library: library.myself())
            self._myself = _read(Myself, raw)
        return self._myself

    async def our_names(self) -> frozenset[str]:
        """Return the names under which we write in JIRA."""
        names = {(await self.myself()).known_as, self._jira.user}
        return frozenset(name for name in names if name)

    async def search(self, jql: str, start_at: int = 0) -> SeenPage:
        """Return a page of issues with their comments, attachments and changes."""
        raw = await self._call(
            "search",
            lambda library: library.search_issues(
                jql, startAt=start_at, maxResults=PAGE, fields=_FIELDS, expand="changelog", json_result=True
            ),
        )
        return _read(SeenPage, raw)

    async def issue(self, key: str) -> SeenIssue:
        """Return an issue as it is now; NotThere where it is gone or hidden from us."""
        raw = await self._call(
            "issue", lambda library: library.issue(quote(key, safe=""), fields=_FIELDS, expand="changelog").raw
        )
        return _read(SeenIssue, raw)

    async def create_meta(self, project: str, issue_type: str) -> CreateMeta:
        """Return with which fields an issue may be created; raise Refused where there is no such type."""
        return await self._call("create_meta", lambda library: _create_meta(library, project, issue_type))

    async def create(self, fields: Mapping[str, object]) -> str:
        """Create an issue and return its key."""
        issue = await self._call("create", lambda library: library.create_issue(fields=dict(fields), prefetch=False))
        return str(issue.key)

    async def comment(self, key: str, text: str) -> None:
        """Add a comment."""
        await self._call("comment", lambda library: library.add_comment(quote(key, safe=""), text))

    async def attach(self, key: str, file_name: str, content: bytes) -> None:
        """Attach a file."""
        # The library demands a reader of a file and reads any.
        attachment: Any = io.BytesIO(content)
        await self._call(
            "attach", lambda library: library.add_attachment(quote(key, safe=""), attachment, filename=file_name)
        )

    async def attachment(self, attachment_id: str) -> bytes:
        """Return the content of an attachment; raise Refused for one that is too large or lies elsewhere."""

        def fetch(library: JIRA) -> bytes:
            attachment = library.attachment(attachment_id)
            address, size = str(attachment.content), int(attachment.size)
            if not address.startswith(f"{self._jira.url}/"):
                raise _lies_elsewhere()
            if size > MOST_BYTES:
                raise _too_large()
            content = _download(library, address)
            if len(content) != size:
                raise OutcomeUnknown(f"JIRA gives {len(content)} bytes of an attachment that has {size}")
            return content

        return await self._call("attachment", fetch)

    async def _call(self, action: str, ask: Callable[[JIRA], T]) -> T:
        try:
            answer = await _in_thread(lambda: self._ask(ask))
        except JiraProblem as problem:
            CALLS.labels(action, problem.outcome).inc()
            raise
        CALLS.labels(action, "answered").inc()
        return answer

    def _ask(self, ask: Callable[[JIRA], T]) -> T:
        try:
            return ask(self._connected())
        except JIRAError as error:
            raise _problem(error) from None
        except requests.exceptions.ConnectTimeout:
            raise NotDone("JIRA cannot be reached") from None
        except requests.exceptions.ConnectionError as error:
            raise _not_connected(error) from None
        except requests.exceptions.RequestException as error:
            raise OutcomeUnknown(f"no answer of JIRA: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # What the library makes of a page in HTML where JSON was due.
            raise OutcomeUnknown(f"JIRA's answer cannot be read: {type(error).__name__}") from None

    def _connected(self) -> JIRA:
        if self._library is None:
            account: dict[str, Any]
            if self._jira.tokens:
                account = {"token_auth": self._jira.tokens[0].get_secret_value()}
            else:
                account = {"basic_auth": (self._jira.user or "", self._jira.passwords[0].get_secret_value())}
            self._library = JIRA(
                self._jira.url,
                options={"headers": {"User-Agent": "okgames"}},
                timeout=(_CONNECT_SECONDS, self._answer_seconds),
                max_retries=0,
                logging=False,
                **account,
            )
        return self._library


async def _in_thread(work: Callable[[], T]) -> T:
    """Return what a function returns that waits; the end of the process does not wait for it, as for an executor's."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - it is raised again where it is awaited
            future.set_exception(error)

    Thread(target=run, name="jira", daemon=True).start()
    return await asyncio.wrap_future(future)


def _download(library: JIRA, address: str) -> bytes:
    """Read a file in bounded memory and time, without following JIRA to anywhere else."""
    began = time.monotonic()
    taken = bytearray()
    # The library's own `get` goes wherever it is sent, and reads whatever it is given.
    with library._session.get(address, headers={"Accept": "*/*"}, stream=True, allow_redirects=False) as response:  # noqa: SLF001 - it shows no way to stay
        if response.is_redirect:
            raise _lies_elsewhere()
        for chunk in response.iter_content(_CHUNK_BYTES):
            taken += chunk
            if len(taken) > MOST_BYTES:
                raise _too_large()
            if time.monotonic() - began > _DOWNLOAD_SECONDS:
                raise OutcomeUnknown(f"JIRA gives an attachment for more than {_DOWNLOAD_SECONDS} seconds")
    return bytes(taken)


def _lies_elsewhere() -> Refused:
    # Our password would travel to whatever address JIRA names.
    return Refused("the attachment lies at another address than JIRA")


def _too_large() -> Refused:
    return Refused(f"the attachment has more than {MOST_BYTES} bytes")


def _create_meta(library: JIRA, project: str, issue_type: str) -> CreateMeta:
    # The one call for all was removed in JIRA 9, its successor came with 8.4.
    if library._version < (8, 4, 0):  # noqa: SLF001 - the library asks the same of itself and shows it nowhere
        found = library.createmeta(projectKeys=project, issuetypeNames=issue_type, expand="projects.issuetypes.fields")
        types = [kind for each in found["projects"] for kind in each["issuetypes"] if kind["name"] == issue_type]
        if not types:
            raise Refused(f"JIRA has no issue type {issue_type} in {project}")
        return {name: _read(FieldMeta, raw) for name, raw in types[0]["fields"].items()}
    known = {kind.name: kind.id for kind in library.project_issue_types(project)}
    if issue_type not in known:
        raise Refused(f"JIRA has no issue type {issue_type} in {project}; it has {', '.join(known) or 'none'}")
    fields = library.project_issue_fields(project, known[issue_type])
    return {field.fieldId: _read(FieldMeta, field.raw) for field in fields}


def _problem(error: JIRAError) -> JiraProblem:
    status = error.status_code
    response = error.response
    said = _said(response)
    match status:
        case 429:
            return NotDone("JIRA asks for fewer calls (429)", _asked_wait(response))
        case 401:
            return AccountRefused(f"JIRA does not let us in (401){said}")
        case 403 if response is not None and "DENIED" in response.headers.get("X-Seraph-LoginReason", ""):
            return AccountRefused(f"JIRA wants a captcha solved in the browser before it lets us in (403){said}")
        case 403:
            return NotLetIn(f"JIRA does not let us do this (403){said}")
        case 404 | 410:
            return NotThere(f"JIRA knows no such issue or address ({status}){said}")
        case int() if 400 <= status < 500 and status != 408:
            return Refused(f"JIRA refuses it ({status}){said}")
        case _:
            return OutcomeUnknown(f"JIRA has a fault ({status}){said}")


def _said(response: requests.Response | None) -> str:
    """Return the errors that JIRA names, on one line; nothing of a page that is no JSON."""
    try:
        raw = {} if response is None else response.json()
        named = [*raw.get("errorMessages", []), *(f"{name}: {text}" for name, text in raw.get("errors", {}).items())]
    except (ValueError, AttributeError, TypeError):
        return ""
    text = " ".join("; ".join(map(str, named)).split())[:_LONGEST_MESSAGE]
    return f": {text}" if text else ""


def _asked_wait(response: requests.Response | None) -> timedelta | None:
    """Return what Retry-After asks for; a time relates to the server's clock, which its Date tells."""
    asked = None if response is None else response.headers.get("Retry-After")
    if response is None or asked is None:
        return None
    try:
        now = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return parse_retry_after(asked, now)


def _not_connected(error: requests.exceptions.ConnectionError) -> JiraProblem:
    reason = repr(error.args[0]) if error.args else ""
    if "NewConnectionError" in reason or "NameResolutionError" in reason or "ConnectTimeoutError" in reason:
        return NotDone("JIRA cannot be reached")
    return OutcomeUnknown("the connection to JIRA broke")


M = TypeVar("M", Myself, SeenIssue, SeenPage, FieldMeta)


def _read(model: type[M], raw: object) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise OutcomeUnknown(f"JIRA's answer is no {model.__name__}: {error.error_count()} errors") from None
