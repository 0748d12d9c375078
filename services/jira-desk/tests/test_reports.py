"""Files of REPORT tasks: fetched or brought, kept once, given out whole."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from desk_world import APP, Desk, Refusal, config, listening

from jira_desk.domain.answer import Refused
from jira_desk.jira_client import MOST_BYTES, JiraClient
from jira_desk.jobs.reports import Fetching
from okgames.testing import wait_until

TABLE: Final = b"Transaction;Time;OKs\n1_1;2026-03-02 10:15:30;50\n"
NAME: Final = "Отчёт за март 2026.csv"


async def reported(desk: Desk, file_name: str = NAME, content: bytes = TABLE, issue: str = "REPORT-1") -> None:
    await desk.order(
        "attach", issue=issue, file_name=file_name, media_type="text/csv", content=base64.b64encode(content).decode()
    )


async def task(desk: Desk, title: str = "Отчёт") -> None:
    await desk.order("create", project="REPORT", issue_type="Report", summary=title)


async def files(desk: Desk, **query: str) -> list[dict[str, Any]]:
    return list((await desk.get("reports", **query))["items"])


async def downloaded(desk: Desk, file: dict[str, Any]) -> bytes:
    async with desk.http.get(f"/v1/jira/reports/{file['id']}/content") as response:
        assert 200 == response.status, await response.text()
        assert response.headers["Content-Disposition"].startswith("attachment; ")
        return await response.read()


async def test_what_ok_attaches_to_a_report_is_fetched_and_kept_with_its_checksum(desk: Desk) -> None:
    await task(desk)
    await reported(desk)
    await desk.order("create", project="DOC", issue_type="Company", summary="Our company")
    await reported(desk, issue="DOC-1")
    await desk.turn()

    (file,) = await files(desk)
    assert ("kept", "2026-03", APP) == (file["state"], file["month"], file["application_key"])
    assert (sha256(TABLE).hexdigest(), len(TABLE), NAME) == (file["sha256"], file["size"], file["file_name"])
    assert TABLE == await downloaded(desk, file)
    assert [file] == await files(desk, application_key=APP, month="2026-03", state="kept")
    for other in ({"month": "2026-02"}, {"application_key": "NOBODY"}, {"state": "due"}):
        assert [] == await files(desk, **other)


async def test_the_same_file_is_kept_once_and_shown_to_be_the_same(desk: Desk) -> None:
    await task(desk)
    await reported(desk)
    await reported(desk, "2026-03 corrected.csv")
    await reported(desk, "2026-03 corrected again.csv", TABLE + b"2_2;2026-03-02 10:15:30;50\n")
    await desk.turn()

    first, second, third = await files(desk)
    assert (None, first["id"], None) == (first["same_as"], second["same_as"], third["same_as"])
    assert 2 == (await desk.rows("select count(*) from report_contents"))[0][0]
    assert TABLE == await downloaded(desk, second)


async def test_a_file_of_ours_in_a_report_is_no_report(desk: Desk) -> None:
    await task(desk)
    await desk.turn()
    await desk.upload("issues/REPORT-1/attachments", b"%PDF-1.7", file_name="act.pdf")
    await desk.run()
    await desk.turn()

    assert [] == await files(desk)


async def test_a_file_that_is_taken_away_before_it_was_fetched_is_left_alone(desk: Desk) -> None:
    await task(desk)
    await reported(desk)
    await desk.read()
    (attachment,) = (await desk.get("issues/REPORT-1"))["attachments"]
    await desk.advance("1m")
    await desk.order("delete_attachment", issue="REPORT-1", attachment=attachment["id"])
    await desk.advance("3m")
    await desk.read()
    await desk.fetch()

    (file,) = await files(desk)
    assert ("due", 0) == (file["state"], file["tries"])


class Stuck(JiraClient):
    """Brings a file and never hands it over."""

    has_brought = False

    async def attachment(self, attachment_id: str) -> bytes:
        await super().attachment(attachment_id)
        self.has_brought = True
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_desk_that_is_killed_between_the_fetch_and_the_record_fetches_again_and_keeps_once(desk: Desk) -> None:
    await task(desk)
    await reported(desk)
    await desk.read()
    stuck = Stuck(desk.config.jira)
    fetching = Fetching(desk.database, desk.clock, desk.config, stuck)
    killed = asyncio.create_task(fetching.look(await desk.clock.now()))
    await wait_until(lambda: _as_async(stuck.has_brought))
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    await desk.fetch()
    (file,) = await files(desk)
    assert ("due", 1) == (file["state"], file["tries"])
    await desk.turn("4m")

    (file,) = await files(desk)
    assert ("kept", 2) == (file["state"], file["tries"])
    assert TABLE == await downloaded(desk, file)


async def _as_async(value: bool) -> bool:
    return value


async def test_several_copies_of_the_desk_fetch_each_file_once(desk: Desk) -> None:
    await task(desk)
    for number in range(8):
        await reported(desk, f"{number}.csv", b"%d" % number)
    await desk.read()
    await asyncio.gather(*(desk.fetch() for _ in range(3)))

    assert [("kept", 1)] * 8 == [(file["state"], file["tries"]) for file in await files(desk)]


@pytest.mark.parametrize(
    "fault", ["jira_down", "jira_too_many", "jira_errors", "jira_html", "jira_unauthorized", "jira_forbidden"]
)
async def test_a_file_is_fetched_when_the_fault_is_over(desk: Desk, fault: str) -> None:
    await task(desk)
    await reported(desk)
    await desk.read()
    await desk.sim("faults", **{fault: {"next": 2}})
    await desk.fetch()
    (file,) = await files(desk)
    assert "due" == file["state"]
    assert file["problem"] is not None
    for _ in range(4):
        await desk.turn("70m")

    (file,) = await files(desk)
    assert ("kept", None) == (file["state"], file["problem"])


async def test_a_file_that_jira_refuses_waits_for_a_person(desk: Desk) -> None:
    await task(desk)
    await reported(desk)
    await desk.read()
    await desk.order("hide", issue="REPORT-1")
    await desk.fetch()
    (file,) = await files(desk)
    assert "blocked" == file["state"]
    assert "404" in file["problem"]
    with pytest.raises(Refusal, match="is blocked"):
        await desk.get(f"reports/{file['id']}/content")
    again = await desk.post(f"reports/{file['id']}/retry")

    assert ("due", None) == (again["state"], again["problem"])


async def test_a_person_says_what_a_file_does_not_say_itself(desk: Desk) -> None:
    await task(desk)
    await reported(desk, "table.csv")
    await desk.turn()
    (file,) = await files(desk)
    assert file["month"] is None
    noted = await desk.post(f"reports/{file['id']}", month="2026-02")
    assert ("2026-02", APP) == (noted["month"], noted["application_key"])
    for wrong in ({"month": "02.2026"}, {"application_key": "NOBODY"}):
        with pytest.raises(Refusal):
            await desk.post(f"reports/{file['id']}", **wrong)

    assert [noted] == await files(desk, month="2026-02")


async def test_a_person_brings_a_file_where_nobody_follows_jira(by_hand: Desk) -> None:
    for _ in range(2):
        await by_hand.upload("issues/REPORT-7/reports", TABLE, file_name=NAME)

    (file,) = await files(by_hand, month="2026-03")
    assert ("kept", APP, "REPORT-7") == (file["state"], file["application_key"], file["issue_key"])
    assert TABLE == await downloaded(by_hand, file)
    assert ["IssueCreated", "AttachmentAdded"] == await by_hand.types()
    assert [NAME] == [each["file_name"] for each in (await by_hand.get("issues/REPORT-7"))["attachments"]]


@pytest.mark.parametrize(("key", "status"), [("DOC-1", 404), ("PROMO-1", 404), ("ELSE-1", 404), ("REPORT", 404)])
async def test_a_file_is_kept_for_a_report_only(by_hand: Desk, key: str, status: int) -> None:
    with pytest.raises(Refusal) as refusal:
        await by_hand.upload(f"issues/{key}/reports", TABLE, file_name=NAME)

    assert status == refusal.value.status
    assert [] == await files(by_hand)


async def test_where_jira_is_followed_its_own_files_count(desk: Desk) -> None:
    await task(desk)
    await desk.turn()
    with pytest.raises(Refusal, match="followed in JIRA itself"):
        await desk.upload("issues/REPORT-1/reports", TABLE, file_name=NAME)


async def test_a_file_that_a_person_brought_is_the_one_that_jira_shows_later(desk: Desk) -> None:
    await desk.upload("issues/REPORT-1/reports", TABLE, file_name=NAME)
    await task(desk)
    await reported(desk)
    await desk.turn()

    brought, fetched = await files(desk)
    assert (brought["id"], None) == (fetched["same_as"], fetched["removed_at"])
    assert brought["removed_at"] is not None
    assert 1 == len(await desk.told("AttachmentAdded"))


@dataclass
class Impostor:
    """A JIRA that says what it likes of an attachment, and another host that it may name."""

    size: int = len(TABLE)
    content: bytes = TABLE
    redirect: str | None = None
    address: str | None = None
    url: str = ""
    seen: list[str | None] = field(default_factory=list)

    async def on_call(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/serverInfo"):
            return web.json_response({"versionNumbers": [8, 20, 10], "deploymentType": "Server"})
        if request.path.startswith("/rest"):
            return web.json_response({"id": "1", "content": self.address or f"{self.url}/secure/1", "size": self.size})
        if self.redirect is not None:
            return web.Response(status=302, headers={"Location": self.redirect})
        return web.Response(body=self.content)

    async def on_other(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Authorization"))
        return web.Response(body=TABLE)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[str]:
        jira, other = web.Application(), web.Application()
        jira.router.add_get("/{path:.*}", self.on_call)
        other.router.add_get("/{path:.*}", self.on_other)
        async with listening(jira) as self.url, listening(other) as elsewhere:
            yield elsewhere

    async def fetch(self, account: dict[str, Any]) -> bytes:
        return await JiraClient(config(**account).jira.model_copy(update={"url": self.url})).attachment("1")


@pytest.mark.parametrize("account", [{}, {"user": None, "passwords": [], "tokens": ["secret"]}], ids=["basic", "token"])
async def test_nobody_but_jira_gets_our_account(account: dict[str, Any]) -> None:
    jira = Impostor()
    async with jira.at_work() as elsewhere:
        assert TABLE == await jira.fetch(account)
        jira.redirect = f"{elsewhere}/a.csv"
        with pytest.raises(Refused, match="another address"):
            await jira.fetch(account)
        jira.redirect, jira.address = None, f"{elsewhere}/a.csv"
        with pytest.raises(Refused, match="another address"):
            await jira.fetch(account)
        for trick in (f"{jira.url}.evil.example/a", jira.url.replace("://", "://evil@"), f"{jira.url}@evil.example/"):
            jira.address = trick
            with pytest.raises(Refused, match="another address"):
                await jira.fetch(account)

    assert [] == jira.seen


@pytest.mark.parametrize(
    "jira",
    [Impostor(size=MOST_BYTES + 1), Impostor(size=5, content=bytes(MOST_BYTES + 1))],
    ids=["says so", "says otherwise"],
)
async def test_a_file_that_is_too_large_is_refused(jira: Impostor) -> None:
    async with jira.at_work():
        with pytest.raises(Refused, match="more than"):
            await jira.fetch({})


async def test_an_upload_that_is_too_large_is_refused(by_hand: Desk) -> None:
    with pytest.raises((Refusal, aiohttp.ClientError)):
        await by_hand.upload("issues/REPORT-1/reports", bytes(MOST_BYTES + 1), file_name=NAME)
    with pytest.raises(Refusal, match="is empty"):
        await by_hand.upload("issues/REPORT-1/reports", b"", file_name=NAME)

    assert [] == await files(by_hand)
