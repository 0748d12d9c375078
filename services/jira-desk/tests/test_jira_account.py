"""Our account in JIRA: a password or a personal token, and what happens where JIRA does not take it."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from desk_world import Desk, config, desk_at_work, request_due
from pydantic import SecretStr
from structlog.testing import capture_logs

from jira_desk.domain.answer import AccountRefused
from jira_desk.jira_client import JiraClient

ACCOUNTS: Final[dict[str, dict[str, Any]]] = {
    "password": {"user": "studio", "passwords": ["secret"]},
    "token": {"user": None, "passwords": [], "tokens": ["secret"]},
}


@pytest.fixture(params=ACCOUNTS)
async def account_desk(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Desk]:
    """A desk whose account is known by a password, or by a token."""
    async with desk_at_work(database_url, config(**ACCOUNTS[request.param])) as one:
        yield one


@pytest.fixture
def stranger(account_desk: Desk) -> JiraClient:
    """A client of the same JIRA whose secret is wrong."""
    jira = account_desk.config.jira
    wrong = {name: (SecretStr("wrong"),) for name in ("passwords", "tokens") if getattr(jira, name)}
    return JiraClient(jira.model_copy(update=wrong))


async def test_a_request_is_made_and_followed_under_our_account(account_desk: Desk) -> None:
    key = await account_desk.requested()
    await account_desk.post(f"issues/{key}/comments", text="When is it decided?")
    await account_desk.run()
    await account_desk.turn()

    (comment,) = (await account_desk.get(f"issues/{key}"))["comments"]
    assert ("studio", True) == (comment["author"], comment["is_ours"])


async def test_a_secret_that_jira_does_not_know_is_told_and_loses_nothing(
    account_desk: Desk, stranger: JiraClient
) -> None:
    desk, known = account_desk, account_desk.client
    await desk.order("create", project="DOC", issue_type="Company", summary="Our company")
    await desk.learn(request_due())
    desk.client = stranger
    with capture_logs() as logs:
        await desk.run()
        await desk.read()
    problems = {row["problem"] for row in (await desk.get("projects"))["items"]}
    (errand,) = await desk.errands()
    (problem,) = problems | {errand["problem"]}
    assert problem.startswith("JIRA does not let us in (401)")
    assert "wrong" not in problem
    told = [log for log in logs if log["event"] == "jira_lets_us_not_in"]
    assert ["error"] * 5 == [log["log_level"] for log in told]
    assert [] == await desk.types()

    desk.client = known
    await desk.turn("2h")
    await desk.turn()
    assert ["IssueCreated", "IssueCreated"] == await desk.types()
    assert ["done"] == [errand["state"] for errand in await desk.errands()]


async def test_an_account_that_is_refused_is_not_tried_again_and_again(
    account_desk: Desk, stranger: JiraClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, tries = account_desk, []
    key = await desk.requested()
    for number in range(10):
        await desk.post(f"issues/{key}/comments", text=f"Question {number}")
    desk.client = stranger
    monkeypatch.setattr(stranger, "_ask", lambda ask, original=stranger._ask: tries.append(ask) or original(ask))
    for _ in range(3):
        await desk.run()
        await desk.read()

    # Once for the errands and once for the reading, though five projects are followed.
    assert 2 == len(tries)


async def test_jira_says_who_is_refused(account_desk: Desk, stranger: JiraClient) -> None:
    with pytest.raises(AccountRefused, match="does not let us in"):
        await stranger.myself()
