"""OK's JIRA as two independent client libraries see it."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from atlassian import Jira as AtlassianJira
from hypothesis import given
from hypothesis import strategies as st
from jira import JIRA
from jira.exceptions import JIRAError
from requests.exceptions import HTTPError
from simulator_world import START, Simulator, movable_clock, simulating

from okgames.clock import SystemClock
from simulator.domain.jira_books import JiraBooks
from simulator.domain.jira_query import WrongQuery, find
from simulator.domain.jira_rows import MOSCOW

PROMO = {"project": {"key": "PROMO"}, "issuetype": {"name": "1,000 OKs"}}
AUTHORIZATION = {"Authorization": aiohttp.encode_basic_auth("studio", "secret")}
TEXT = "application_key CBTESTKEYABABABABA\nВсего: 1000 OK."


@pytest.fixture
async def ok() -> AsyncIterator[Simulator]:
    async with simulating(SystemClock()) as one:
        yield one


def pycontribs(ok: Simulator) -> JIRA:
    return JIRA(ok.url, basic_auth=("studio", "secret"), max_retries=0, timeout=10)


def atlassian(ok: Simulator) -> AtlassianJira:
    return AtlassianJira(url=ok.url, username="studio", password="secret", cloud=False)


async def order(ok: Simulator, **what: Any) -> Any:
    return await ok.post("jira", what)


async def test_the_jira_library_creates_comments_attaches_moves_and_finds(ok: Simulator) -> None:
    def use() -> None:
        library = pycontribs(ok)
        assert "Server" == library.server_info()["deploymentType"]
        assert "studio" == library.myself()["name"]
        assert "1,000 OKs" in {kind.name for kind in library.project_issue_types("PROMO")}
        issue = library.create_issue(fields={**PROMO, "summary": "1,000 OKs: Backgammon", "description": TEXT})
        assert "PROMO-1" == issue.key
        comment = library.add_comment(issue, "When is it decided?")
        comment.update(body="When will it be decided?")
        attachment = library.add_attachment(issue, io.BytesIO(b"picture"), filename="screen shot.png")
        assert b"picture" == library.attachment(attachment.id).get()
        transitions = {each["name"]: each["id"] for each in library.transitions(issue)}
        library.transition_issue(issue, transitions["Approved"])
        issue.update(summary="1,000 OKs: Backgammon, March")
        jql = 'project = PROMO AND updated >= "2020/01/01 00:00" AND creator = currentUser() ORDER BY updated, key ASC'
        (found,) = library.search_issues(jql, expand="changelog")
        assert "1,000 OKs: Backgammon, March" == found.fields.summary
        assert ["When will it be decided?"] == [each.body for each in found.fields.comment.comments]
        assert ["screen shot.png"] == [each.filename for each in found.fields.attachment]
        assert ["Approved"] == [item.toString for each in found.changelog.histories for item in each.items]
        library.comment(issue, comment.id).delete()
        assert [] == library.comments(issue)

    await asyncio.to_thread(use)


async def test_a_second_client_library_creates_comments_attaches_moves_and_finds(ok: Simulator) -> None:
    def use() -> None:
        client = atlassian(ok)
        created = client.issue_create({**PROMO, "summary": "1,000 OKs: Backgammon", "description": TEXT})
        key = created["key"]
        client.issue_add_comment(key, "When is it decided?")
        client.add_attachment_object(key, io.BytesIO(b"picture"))
        client.set_issue_status(key, "Approved")
        found = client.jql(f'project = "PROMO" AND key = {key} ORDER BY created DESC')
        assert (1, "Approved") == (found["total"], found["issues"][0]["fields"]["status"]["name"])
        assert ["When is it decided?"] == [each["body"] for each in client.issue_get_comments(key)["comments"]]
        with pytest.raises(HTTPError, match="Issue Does Not Exist"):
            client.issue("PROMO-99")

    await asyncio.to_thread(use)


async def test_a_file_is_attached_only_with_the_header_against_forgery(ok: Simulator) -> None:
    await order(ok, do="create", project="PROMO", issue_type="1,000 OKs", summary="s")
    form = aiohttp.FormData()
    form.add_field("file", b"picture", filename="a.png")
    path = f"{ok.url}/rest/api/2/issue/PROMO-1/attachments"
    async with ok.http.post(path, data=form, headers=AUTHORIZATION) as response:
        assert 403 == response.status


async def test_nobody_is_let_in_without_an_account(ok: Simulator) -> None:
    async with ok.http.get(f"{ok.url}/rest/api/2/myself") as response:
        assert 401 == response.status
    async with ok.http.get(f"{ok.url}/rest/api/2/myself", headers={"Authorization": "Bearer any"}) as response:
        assert 200 == response.status


@pytest.mark.parametrize(
    ("jira", "right", "wrong"),
    [
        (
            {"user": "studio", "passwords": ["secret"]},
            [{"basic_auth": ("studio", "secret")}, {"username": "studio", "password": "secret"}],
            [{"basic_auth": ("studio", "guess")}, {"username": "studio", "password": "guess"}],
        ),
        (
            {"tokens": ["secret"]},
            [{"token_auth": "secret"}, {"token": "secret"}],
            [{"token_auth": "guess"}, {"token": "guess"}],
        ),
    ],
    ids=["password", "personal token"],
)
async def test_both_libraries_log_in_with_what_jira_knows_and_with_nothing_else(
    jira: dict[str, Any], right: list[dict[str, Any]], wrong: list[dict[str, Any]]
) -> None:
    def name(url: str, first: dict[str, Any], second: dict[str, Any]) -> tuple[str, str]:
        library = JIRA(url, max_retries=0, timeout=10, **first)
        return library.myself()["name"], AtlassianJira(url=url, cloud=False, **second).myself()["name"]

    def is_refused(url: str, first: dict[str, Any], second: dict[str, Any]) -> None:
        with pytest.raises(JIRAError, match="not authenticated") as refusal:
            JIRA(url, max_retries=0, timeout=10, **first).myself()
        assert 401 == refusal.value.status_code
        with pytest.raises(HTTPError, match="401"):
            AtlassianJira(url=url, cloud=False, **second).myself()

    async with simulating(SystemClock(), jira=jira) as ok:
        assert ("studio", "studio") == await asyncio.to_thread(name, ok.url, *right)
        await asyncio.to_thread(is_refused, ok.url, *wrong)


async def test_what_jira_does_not_take_is_refused_with_its_reasons(ok: Simulator) -> None:
    def use() -> None:
        library = pycontribs(ok)
        for fields, reason in (
            ({"summary": "s", "issuetype": {"name": "Bug"}}, "issue type selected is invalid"),
            ({"summary": " "}, "must specify a summary"),
            ({"summary": "s", "customfield_1": "x"}, "not on the appropriate screen"),
        ):
            with pytest.raises(JIRAError, match=reason):
                library.create_issue(fields={**PROMO, **fields})
        with pytest.raises(JIRAError, match="Error in the JQL Query"):
            library.search_issues("project = PROMO ORDER updated")

    await asyncio.to_thread(use)


async def test_a_moved_issue_is_found_under_both_keys_and_a_hidden_one_under_none(ok: Simulator) -> None:
    await order(ok, do="create", project="PROMO", issue_type="1,000 OKs", summary="s")
    moved = await order(ok, do="move", issue="PROMO-1", project="DOC")
    assert "DOC-1" == moved["key"]
    library = await asyncio.to_thread(pycontribs, ok)
    assert "DOC-1" == (await asyncio.to_thread(library.issue, "PROMO-1")).key
    await order(ok, do="hide", issue="DOC-1")
    with pytest.raises(JIRAError):
        await asyncio.to_thread(library.issue, "PROMO-1")


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("jira_unauthorized", 401),
        ("jira_forbidden", 403),
        ("jira_too_many", 429),
        ("jira_errors", 503),
        ("jira_html", 200),
    ],
)
async def test_faults_of_jira_strike_its_calls(ok: Simulator, fault: str, status: int) -> None:
    await ok.faults(**{fault: {"next": 1}})
    path = f"{ok.url}/rest/api/2/myself"
    async with ok.http.get(path, headers=AUTHORIZATION) as response:
        assert status == response.status
        assert ("text/html" == response.content_type) is (fault == "jira_html")
    async with ok.http.get(path, headers=AUTHORIZATION) as response:
        assert "studio" == (await response.json())["name"]


async def test_a_file_that_a_slow_jira_takes_is_whole(ok: Simulator) -> None:
    content = bytes(range(256)) * 1_000

    def use() -> bytes:
        library = pycontribs(ok)
        issue = library.create_issue(fields={**PROMO, "summary": "1,000 OKs"})
        return bytes(library.attachment(library.add_attachment(issue, io.BytesIO(content), filename="a.png").id).get())

    await ok.post("faults", {"jira_slow": 1.0, "slow_seconds": 0.01})

    assert content == await asyncio.to_thread(use)


async def test_an_issue_is_made_whose_answer_is_lost(ok: Simulator) -> None:
    await ok.faults(jira_lost_answers={"next": 1})
    body = {"fields": {**PROMO, "summary": "s"}}
    with pytest.raises(aiohttp.ClientError):
        await ok.http.post(f"{ok.url}/rest/api/2/issue", json=body, headers=AUTHORIZATION)

    assert ["PROMO-1"] == [issue["key"] for issue in (await ok.books())["jira_issues"]]


async def test_the_moderator_decides_on_a_promotion_and_sends_the_prize_fund(database_url: str) -> None:
    async with movable_clock(database_url) as clock, simulating(clock) as ok:
        library = await asyncio.to_thread(pycontribs, ok)
        fields = {**PROMO, "summary": "1,000 OKs: Backgammon", "description": TEXT}
        await asyncio.to_thread(library.create_issue, fields=fields)
        await ok.advance("2d")

        (issue,) = (await ok.books())["jira_issues"]
        assert ["In Progress", "Approved"] == [move["new"] for move in issue["moves"]]
        assert "фонд" in issue["comments"][-1]["body"].lower() or "fund" in issue["comments"][-1]["body"].lower()
        assert 1000 == (await ok.books())["cashback_accounts"][0]["balance_oks"]


async def test_the_moderator_declines_when_asked_to(database_url: str) -> None:
    async with movable_clock(database_url) as clock, simulating(clock) as ok:
        await ok.faults(jira_declines=1.0)
        library = await asyncio.to_thread(pycontribs, ok)
        await asyncio.to_thread(library.create_issue, fields={**PROMO, "summary": "s", "description": TEXT})
        await ok.advance("2d")

        (issue,) = (await ok.books())["jira_issues"]
        assert "Declined" == issue["status"]


async def test_a_query_reads_times_as_minutes_in_the_zone_of_the_account() -> None:
    books = JiraBooks()
    books.create("PROMO", "Collections", "one", "", "studio", START, {})
    for minute, expected in (("2026/03/02 10:00", 1), ("2026/03/02 10:01", 0), ("2026-03-02", 1)):
        found = find(books, f'project = PROMO AND updated >= "{minute}"', MOSCOW, "studio")
        assert expected == len(found)
    with pytest.raises(WrongQuery):
        find(books, "nonsense", MOSCOW, "studio")


@given(
    st.lists(
        st.tuples(st.sampled_from(["comment", "move", "hide", "rename"]), st.integers(0, 3), st.integers(0, 200_000)),
        max_size=30,
    ),
    st.integers(0, 1_000_000),
)
def test_a_query_of_what_changed_finds_the_same_as_a_look_at_all(steps: list[tuple[str, int, int]], since: int) -> None:
    books, at = JiraBooks(), START
    names = [books.create("DOC", "Company", f"Question {number}", "", "studio", START, {}).id for number in range(4)]
    for what, number, later in steps:
        at += timedelta(seconds=later)
        if all(issue.id != names[number] for issue in books.issues()):
            continue
        match what:
            case "comment":
                books.comment(names[number], "studio", "Hello", at)
            case "move":
                books.move(names[number], ("DOC", "PROMO")[later % 2], at)
            case "hide":
                books.hide(names[number], at)
            case _:
                books.edit(names[number], at, summary=f"Renamed {later}")
    when = START + timedelta(seconds=since)
    for project in ("DOC", "PROMO"):
        expected = [each for each in books.issues() if each.project == project and each.updated >= when]
        expected.sort(key=lambda each: (each.updated, each.id))
        assert expected == list(books.changed_since(project, when))


async def test_many_issues_are_made_at_once(ok: Simulator) -> None:
    last = await order(ok, do="fill", project="DOC", issue_type="Company", issues=120, comments=3)
    assert ("DOC-120", 3) == (last["key"], len(last["fields"]["comment"]["comments"]))
    issues = (await ok.books())["jira_issues"]

    assert 120 == len({issue["updated"] for issue in issues})
    assert 360 == len({comment["id"] for issue in issues for comment in issue["comments"]})
