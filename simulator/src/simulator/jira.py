import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

import orjson
from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from pydantic import TypeAdapter, ValidationError

from okgames.http import HttpHandler, Problem, json_response, wrong_input
from okgames.jira_account import Jira as Account
from simulator.chance import Chance
from simulator.domain.faults import Fault, Mischief
from simulator.domain.jira_books import ISSUE_TYPES, STATUSES, JiraBooks, NoSuchIssue, WrongIssue
from simulator.domain.jira_moderator import Moderator
from simulator.domain.jira_orders import JiraOrder
from simulator.domain.jira_query import WrongQuery, find
from simulator.domain.jira_rows import MOSCOW, JiraRows, field_rows, meta_fields
from simulator.pace import Pace

MOST_BYTES: Final = 20 * 1024 * 1024

_API: Final = "/rest/api/2"
_USER: Final = "studio"
_MOST_ISSUES: Final = 1000
_RETRY_AFTER: Final = "90"
_LOGIN_PAGE: Final = "<!DOCTYPE html><html><head><title>Log in - OK JIRA</title></head><body>Log in</body></html>"
_ORDER: Final[TypeAdapter[JiraOrder]] = TypeAdapter(JiraOrder)

_Act = Callable[[web.Request, str, datetime], Awaitable[web.StreamResponse]]


class Jira:
    """Answer calls of OK's JIRA: what Jira Server's REST API, version 2, has of what games' developers use."""

    def __init__(
        self,
        account: Account,
        url: str,
        pace: Pace,
        mischief: Mischief,
        books: JiraBooks,
        moderator: Moderator,
        seed: str,
    ) -> None:
        self.books = books
        self._account = account
        self._rows = JiraRows(url)
        self._pace = pace
        self._mischief = mischief
        self._moderator = moderator
        self._chance = Chance(seed, "jira")
        self._calls = count()

    def routes(self) -> list[tuple[str, str, HttpHandler]]:
        one = f"{_API}/issue/{{key}}"
        calls: list[tuple[str, str, _Act]] = [
            ("GET", f"{_API}/myself", self._myself),
            ("GET", f"{_API}/field", self._fields),
            ("GET", f"{_API}/project", self._projects),
            ("GET", f"{_API}/project/{{key}}", self._project),
            ("GET", f"{_API}/search", self._search),
            ("POST", f"{_API}/search", self._search),
            ("GET", f"{_API}/issue/createmeta", self._meta),
            ("GET", f"{_API}/issue/createmeta/{{key}}/issuetypes", self._meta_types),
            ("GET", f"{_API}/issue/createmeta/{{key}}/issuetypes/{{type}}", self._meta_fields),
            ("POST", f"{_API}/issue", self._create),
            ("GET", one, self._show),
            ("PUT", one, self._edit),
            ("GET", f"{one}/comment", self._comments),
            ("POST", f"{one}/comment", self._comment),
            ("GET", f"{one}/comment/{{id}}", self._one_comment),
            ("PUT", f"{one}/comment/{{id}}", self._edit_comment),
            ("DELETE", f"{one}/comment/{{id}}", self._delete_comment),
            ("POST", f"{one}/attachments", self._attach),
            ("GET", f"{one}/transitions", self._transitions),
            ("POST", f"{one}/transitions", self._transition),
            ("GET", f"{_API}/attachment/{{id}}", self._attachment),
            ("DELETE", f"{_API}/attachment/{{id}}", self._delete_attachment),
            ("GET", "/secure/attachment/{id}/{name}", self._content),
        ]
        return [
            ("POST", "/sim/jira", self._order),
            ("GET", f"{_API}/serverInfo", self._server_info),
            *((method, path, self._guarded(act)) for method, path, act in calls),
        ]

    def _guarded(self, act: _Act) -> HttpHandler:
        async def answer(request: web.Request) -> web.StreamResponse:
            chance = self._chance.of(next(self._calls))
            trouble = await self._trouble(request, chance)
            if trouble is not None:
                return trouble
            name = self._name_of(request)
            if name is None:
                return _errors(401, "You are not authenticated. Authentication required to perform this operation.")
            try:
                response = await act(request, name, await self._now())
            except NoSuchIssue:
                return _errors(404, "Issue Does Not Exist")
            except WrongIssue as error:
                return _errors(400, **error.errors)
            except WrongQuery as error:
                return _errors(400, str(error))
            except (KeyError, TypeError, ValueError):
                return _errors(400, "Unexpected input")
            if request.method == "POST" and self._mischief.strikes(Fault.JIRA_LOST_ANSWERS, chance):
                _hang_up(request)
            return response

        return answer

    async def _trouble(self, request: web.Request, chance: Chance) -> web.StreamResponse | None:
        strikes = self._mischief.strikes
        if strikes(Fault.JIRA_DOWN, chance):
            _hang_up(request)
        # JIRA is slow where it has to write.
        if request.method == "POST" and strikes(Fault.JIRA_SLOW, chance):
            # What was sent has come, also if the caller does not wait for the answer.
            await request.read()
            await asyncio.sleep(self._mischief.mix.slow_seconds)
        if strikes(Fault.JIRA_UNAUTHORIZED, chance):
            return _errors(401, "You are not authenticated.")
        if strikes(Fault.JIRA_FORBIDDEN, chance):
            return _errors(403, "You do not have permission.")
        if strikes(Fault.JIRA_TOO_MANY, chance):
            return web.Response(status=429, headers={"Retry-After": _RETRY_AFTER})
        if strikes(Fault.JIRA_ERRORS, chance):
            return web.Response(status=503, text="Service Unavailable")
        if strikes(Fault.JIRA_HTML, chance):
            return web.Response(text=_LOGIN_PAGE, content_type="text/html")
        return None

    def _name_of(self, request: web.Request) -> str | None:
        """Return the account of a request; where the configuration has none, any will do."""
        method, _, given = request.headers.get("Authorization", "").partition(" ")
        name = self._account.user or _USER
        if method.lower() == "bearer":
            tokens = [token.get_secret_value() for token in self._account.tokens]
            is_known = any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)
            return name if is_known or (given and not tokens and not self._account.passwords) else None
        if method.lower() != "basic":
            return None
        user, _, password = base64.b64decode(given).decode().partition(":")
        if self._account.passwords:
            right = f"{name}:{self._account.passwords[0].get_secret_value()}"
            return name if hmac.compare_digest(f"{user}:{password}".encode(), right.encode()) else None
        return user if user and not self._account.tokens else None

    async def _now(self) -> datetime:
        return await self._pace.now() + timedelta(seconds=self._mischief.mix.jira_clock_ahead_seconds)

    async def _server_info(self, _request: web.Request) -> web.Response:
        return _json(self._rows.server(await self._now()))

    async def _myself(self, _request: web.Request, name: str, _now: datetime) -> web.Response:
        return _json(self._rows.person(name))

    async def _fields(self, _request: web.Request, _name: str, _now: datetime) -> web.Response:
        return _json(field_rows())

    async def _projects(self, _request: web.Request, _name: str, _now: datetime) -> web.Response:
        return _json([self._rows.project(key) for key in ISSUE_TYPES])

    async def _project(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        key = request.match_info["key"]
        if key not in ISSUE_TYPES:
            return _errors(404, f"No project could be found with key '{key}'.")
        return _json({**self._rows.project(key), "issueTypes": self._rows.issue_types(key)})

    async def _search(self, request: web.Request, name: str, _now: datetime) -> web.Response:
        asked: Mapping[str, Any] = request.query if request.method == "GET" else orjson.loads(await request.read())
        start, most = int(asked.get("startAt", 0)), min(int(asked.get("maxResults", 50)), _MOST_ISSUES)
        found = find(self.books, str(asked.get("jql", "")), MOSCOW, name)
        with_changes = "changelog" in str(asked.get("expand", ""))
        shown = [self._rows.issue(issue, with_changes=with_changes) for issue in found[start : start + most]]
        return _json({"startAt": start, "maxResults": most, "total": len(found), "issues": shown})

    async def _meta(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        keys = [key for each in request.query.getall("projectKeys", []) for key in each.split(",")]
        names = [name for each in request.query.getall("issuetypeNames", []) for name in [each]]
        projects = [
            {
                **self._rows.project(key),
                "issuetypes": [
                    {**kind, "fields": meta_fields()}
                    for kind in self._rows.issue_types(key)
                    if not names or kind["name"] in names
                ],
            }
            for key in keys or ISSUE_TYPES
            if key in ISSUE_TYPES
        ]
        return _json({"projects": projects})

    async def _meta_types(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        rows = self._rows.issue_types(request.match_info["key"])
        return _json({"maxResults": 50, "startAt": 0, "total": len(rows), "isLast": True, "values": rows})

    async def _meta_fields(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        known = {kind["id"] for kind in self._rows.issue_types(request.match_info["key"])}
        if request.match_info["type"] not in known:
            return _errors(404, "Issue type does not exist")
        rows = list(meta_fields().values())
        return _json({"maxResults": 50, "startAt": 0, "total": len(rows), "isLast": True, "values": rows})

    async def _create(self, request: web.Request, name: str, now: datetime) -> web.Response:
        fields = dict(orjson.loads(await request.read())["fields"])
        project = fields.pop("project")
        by_id = {self._rows.project(each)["id"]: each for each in ISSUE_TYPES}
        key = project.get("key") or by_id[project["id"]]
        kind = fields.pop("issuetype")
        kinds = self._rows.issue_types(key)
        named = next((str(each["name"]) for each in kinds if each["id"] == kind.get("id")), kind.get("name", ""))
        unknown = fields.keys() - meta_fields().keys()
        if unknown:
            raise WrongIssue(**dict.fromkeys(unknown, "Field cannot be set. It is not on the appropriate screen."))
        summary, description = str(fields.pop("summary", "")), str(fields.pop("description", None) or "")
        issue = self.books.create(key, named, summary, description, name, now, fields)
        self._moderator.on_created(issue, await self._pace.now())
        return _json(self._rows.made(issue), status=201)

    async def _show(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        issue = self.books.issue(request.match_info["key"])
        return _json(self._rows.issue(issue, with_changes="changelog" in request.query.get("expand", "")))

    async def _edit(self, request: web.Request, _name: str, now: datetime) -> web.Response:
        fields = orjson.loads(await request.read())["fields"]
        changed = {name: str(fields[name]) for name in ("summary", "description") if name in fields}
        self.books.edit(request.match_info["key"], now, **changed)
        return web.Response(status=204)

    async def _comments(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        return _json(self._rows.comments(self.books.issue(request.match_info["key"])))

    async def _comment(self, request: web.Request, name: str, now: datetime) -> web.Response:
        body = str(orjson.loads(await request.read())["body"])
        if not body.strip():
            return _errors(400, comment="Comment body can not be empty!")
        key = request.match_info["key"]
        comment = self.books.comment(key, name, body, now)
        self._moderator.on_comment(self.books.issue(key), await self._pace.now())
        return _json(self._rows.comment(self.books.issue(key), comment), status=201)

    async def _one_comment(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        issue = self.books.issue(request.match_info["key"])
        for comment in issue.comments:
            if comment.id == request.match_info["id"]:
                return _json(self._rows.comment(issue, comment))
        raise NoSuchIssue

    async def _edit_comment(self, request: web.Request, _name: str, now: datetime) -> web.Response:
        body = str(orjson.loads(await request.read())["body"])
        place = request.match_info
        comment = self.books.edit_comment(place["key"], place["id"], body, now)
        return _json(self._rows.comment(self.books.issue(place["key"]), comment))

    async def _delete_comment(self, request: web.Request, _name: str, now: datetime) -> web.Response:
        self.books.delete_comment(request.match_info["key"], request.match_info["id"], now)
        return web.Response(status=204)

    async def _attach(self, request: web.Request, name: str, now: datetime) -> web.Response:
        if request.headers.get("X-Atlassian-Token") not in {"no-check", "nocheck"}:
            return web.Response(status=403, text="XSRF check failed")
        attached = []
        async for part in MultipartReader(request.headers, await _read_before(request)):
            if not isinstance(part, BodyPartReader) or part.name != "file":
                continue
            content, file_name = bytes(await part.read()), part.filename or "file"
            media_type = part.headers.get("Content-Type", "application/octet-stream")
            attached.append(self.books.attach(request.match_info["key"], name, file_name, media_type, content, now))
        if not attached:
            return _errors(400, "No file was attached")
        return _json([self._rows.attachment(each) for each in attached])

    async def _transitions(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        self.books.issue(request.match_info["key"])
        return _json(self._rows.transitions())

    async def _transition(self, request: web.Request, name: str, now: datetime) -> web.Response:
        number = str(orjson.loads(await request.read())["transition"]["id"])
        self.books.set_status(request.match_info["key"], STATUSES[number], name, now)
        return web.Response(status=204)

    async def _attachment(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        return _json(self._rows.attachment(self.books.attachment(request.match_info["id"])[1]))

    async def _delete_attachment(self, request: web.Request, _name: str, now: datetime) -> web.Response:
        self.books.delete_attachment(request.match_info["id"], now)
        return web.Response(status=204)

    async def _content(self, request: web.Request, _name: str, _now: datetime) -> web.Response:
        attachment = self.books.attachment(request.match_info["id"])[1]
        return web.Response(body=attachment.content, headers={"Content-Type": attachment.media_type})

    async def _order(self, request: web.Request) -> web.Response:
        """Have OK's people, or others, do something in JIRA; answers with the issue as its API shows it."""
        try:
            order = _ORDER.validate_json(await request.read())
            issue = order.carry_out(self.books, await self._now())
        except ValidationError as error:
            raise wrong_input("Wrong body", error) from error
        except NoSuchIssue as error:
            raise Problem(404, "Unknown issue", str(error)) from error
        except WrongIssue as error:
            raise Problem(400, "Wrong issue", str(error)) from error
        return json_response(self._rows.issue(issue, with_changes=True))


async def _read_before(request: web.Request) -> StreamReader:
    """Return a request's body to be read, also if it was read whole before."""
    body = await request.read()
    stream = StreamReader(request.protocol, limit=MOST_BYTES)
    stream.feed_data(body)
    stream.feed_eof()
    return stream


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _json(row: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(row), content_type="application/json", charset="utf-8")


def _errors(status: int, *messages: str, **errors: str) -> web.Response:
    headers = {"WWW-Authenticate": 'OAuth realm="jira"'} if status == 401 else {}
    body = orjson.dumps({"errorMessages": messages, "errors": errors})
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)
