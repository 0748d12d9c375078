"""A studio's business with OK in JIRA, done by the desk or by a person who copies from it and tells it the rest."""

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any, Final

import aiohttp
from world import APPLICATION_KEY, JIRA_PASSWORD, JIRA_USER, World

from okgames.testing import wait_until

_TURNS: Final = count(1)
_SECONDS: Final = 30


@dataclass(frozen=True)
class Answer:
    """Hold what OK's people say in an issue, and what the status in which they leave it means."""

    comment: str | None = None
    status: str | None = None
    meaning: str = "waiting"


@dataclass
class Office:
    """Do a studio's business with OK; no caller knows whether the desk or a person does it."""

    studio: World
    mode: str

    async def open(self) -> None:
        """Give the desk its mode, as an operator does; nobody but the test speaks for OK."""
        config = self.studio.directory / "okgames.toml"
        config.write_text(re.sub(r'mode = "\w+"', f'mode = "{self.mode}"', config.read_text()))
        desks = self.studio.copies_of("jira-desk")
        assert {0} == set(await asyncio.gather(*(desk.stop() for desk in desks)))
        await asyncio.gather(*(desk.start(self.studio.http) for desk in desks))
        await self.studio.sim("faults", {"jira_silent": True})

    async def kill_the_desk(self) -> None:
        desks = self.studio.copies_of("jira-desk")
        await asyncio.gather(*(desk.kill() for desk in desks))
        await asyncio.gather(*(desk.start(self.studio.http) for desk in desks))

    async def ask(self, asked: Mapping[str, Any]) -> Any:
        """Want a request made; return its errand, which is another one each time."""
        notes = f"Запрос {next(_TURNS)}"
        return await self.post("requests", application_key=APPLICATION_KEY, notes=notes, **asked)

    async def post(self, path: str, **body: Any) -> Any:
        return await self.studio.post(f"/v1/jira/{path}", {"by": "Anna", **body})

    async def get(self, path: str, **query: str) -> Any:
        return await self.studio.get(f"/v1/jira/{path}", **query)

    async def items(self, path: str, **query: str) -> list[Any]:
        return list((await self.get(path, **query))["items"])

    async def issue(self, key: str) -> Any:
        """Return an issue as the desk knows it."""
        return await self.get(f"issues/{key}")

    async def done(self, errand_id: str, content: bytes = b"") -> Any:
        """Let the desk do an errand, or a person, who has the `content` of its file; return it when it is done."""
        if self.mode == "manual":
            await self._do_by_hand(await self._in_state(errand_id, "for_person"), content)
        return await self._in_state(errand_id, "done")

    async def is_tried(self, errand_id: str) -> None:
        """Wait until the desk has called JIRA, unless a person will."""

        async def is_so() -> bool:
            return bool((await self.get(f"errands/{errand_id}"))["tries"])

        if self.mode == "rest":
            await wait_until(is_so, timeout=_SECONDS, message="the errand is not tried")

    async def said(self, key: str, **what: Any) -> Any:
        """Comment on an issue and wait until the comment is there; return the issue as the desk knows it."""
        await self.done((await self.post(f"issues/{key}/comments", **what))["id"])
        return await self.issue(key)

    async def attached(self, key: str, file_name: str, content: bytes, media_type: str) -> None:
        """Attach a file to an issue."""
        path = f"/v1/jira/issues/{key}/attachments"
        errand = await self.studio.upload(path, content, media_type, by="Anna", file_name=file_name)
        await self.done(errand["id"], content)

    async def opened(self, task: str, issue_type: str, title: str) -> str:
        """Let OK open a task, and wait until we know of it; return its key."""
        made = await self.order("create", project=task, issue_type=issue_type, summary=title)
        key = str(made["key"])
        if self.mode == "manual":
            await self.post(f"issues/{key}/record", title=title)
        await self._hear(key, {"title": title})
        return key

    async def answered(self, key: str, answer: Answer) -> Any:
        """Let OK's people say something, and wait until we know of it; return the issue as the desk knows it."""
        wanted: dict[str, Any] = {}
        if answer.comment is not None:
            await self.order("comment", issue=key, text=answer.comment)
            wanted["comment"] = answer.comment
        if answer.status is not None:
            await self.order("status", issue=key, status=answer.status)
            wanted["status"] = answer.status
        if self.mode == "manual":
            await self.post(f"issues/{key}/record", **wanted)
        return await self._hear(key, wanted)

    async def reported(self, key: str, file_name: str, content: bytes) -> Any:
        """Let OK attach a report, and wait until we keep it; return what is known of the file."""
        encoded = base64.b64encode(content).decode()
        await self.order("attach", issue=key, file_name=file_name, media_type="text/csv", content=encoded)
        if self.mode == "manual":
            path = f"/v1/jira/issues/{key}/reports"
            await self.studio.upload(path, content, "text/csv", by="Anna", file_name=file_name)
        else:
            await self.studio.advance("3m")
        found: list[Any] = []

        async def is_kept() -> bool:
            files = await self.items("reports", state="kept", limit="1000")
            found[:] = [each for each in files if (each["issue_key"], each["file_name"]) == (key, file_name)]
            return bool(found)

        await wait_until(is_kept, timeout=_SECONDS, message="the report is not kept")
        return found[0]

    async def order(self, do: str, **what: Any) -> Any:
        """Have OK's people do something in JIRA."""
        return await self.studio.sim("jira", {"do": do, **what})

    async def in_jira(self, key: str) -> Any:
        """Return the fields of an issue as JIRA itself shows them."""
        return (await self._jira("GET", f"issue/{key}"))["fields"]

    async def files_in_jira(self, key: str) -> list[str]:
        """Return the checksums of an issue's files."""
        return [
            checksum
            for each in (await self.studio.books())["jira_issues"]
            if each["key"] == key
            for _, checksum in each["attachments"]
        ]

    async def how_often_in_jira(self, text: str) -> int:
        """Return in how many issues' descriptions JIRA has a text."""
        found = await self._jira("GET", "search", params={"jql": "project = PROMO", "maxResults": "1000"})
        return sum(text in (each["fields"]["description"] or "") for each in found["issues"])

    async def _hear(self, key: str, wanted: Mapping[str, Any]) -> Any:
        if self.mode == "rest":
            await self.studio.advance("3m")

        async def is_known() -> bool:
            known = next((each for each in await self.items("issues", limit="1000") if each["key"] == key), None)
            if known is None or known["title"] != wanted.get("title", known["title"]):
                return False
            issue = await self.issue(key)
            texts = [each["text"] for each in issue["comments"]]
            is_said = "comment" not in wanted or wanted["comment"] in texts
            return is_said and issue["status"] == wanted.get("status", issue["status"])

        await wait_until(is_known, timeout=_SECONDS, message=f"{key} is not as OK left it")
        return await self.issue(key)

    async def _in_state(self, errand_id: str, state: str) -> Any:
        found: list[Any] = []

        async def is_in_it() -> bool:
            found[:] = [await self.get(f"errands/{errand_id}")]
            return bool(found[0]["state"] == state)

        await wait_until(is_in_it, timeout=_SECONDS, message=f"the errand is not {state}")
        return found[0]

    async def _do_by_hand(self, errand: Any, content: bytes) -> None:
        """Copy what the desk has prepared into JIRA's own pages, and tell the desk."""
        pack, told = errand["pack"], {}
        key = pack["where"].rpartition("/")[2]
        match errand["kind"]:
            case "request":
                fields = {
                    "project": {"key": pack["project"]},
                    "issuetype": {"name": pack["issue_type"]},
                    "summary": pack["title"],
                    "description": pack["text"],
                }
                told = {"key": (await self._jira("POST", "issue", json={"fields": fields}))["key"]}
            case "comment":
                await self._jira("POST", f"issue/{key}/comment", json={"body": pack["text"]})
            case "attachment":
                if pack["picture"] is not None:
                    content = await self.studio.download(pack["picture"])
                assert sha256(content).hexdigest() == errand["sha256"]
                form = aiohttp.FormData()
                form.add_field("file", content, filename=pack["file_name"], content_type=errand["media_type"])
                await self._jira("POST", f"issue/{key}/attachments", data=form)
        await self.post(f"errands/{errand['id']}/done", **told)

    async def _jira(self, method: str, path: str, **content: Any) -> Any:
        url = f"{self.studio.simulator_url}/rest/api/2/{path}"
        headers = {
            "Authorization": aiohttp.encode_basic_auth(JIRA_USER, JIRA_PASSWORD),
            "X-Atlassian-Token": "no-check",
        }
        async with self.studio.http.request(method, url, headers=headers, **content) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json()
