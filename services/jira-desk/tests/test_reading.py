"""Reading thousands of issues, page by page."""

from random import Random
from typing import Any

import pytest
from desk_world import Desk, config

from jira_desk.jira_client import JiraClient
from jira_desk.jobs.following import Following
from simulator.domain.jira_books import STATUSES


async def created(desk: Desk, count: int) -> None:
    for number in range(count):
        await desk.order("create", project="DOC", issue_type="Company", summary=f"Question {number}")


async def test_the_first_reading_goes_on_where_it_was_when_the_desk_was_killed(desk: Desk) -> None:
    await created(desk, 130)
    await one_page(desk)
    assert 50 == len(await desk.told("IssueCreated"))
    # Another desk, which knows only what is in the database.
    desk.client = JiraClient(desk.config.jira)
    await desk.read()

    assert 130 == len(await desk.told("IssueCreated"))
    assert 130 == len({event.issue_key for event in await desk.told("IssueCreated")})


async def one_page(desk: Desk) -> None:
    following = Following(desk.database, desk.clock, desk.config, desk.client)
    await following.look(await desk.clock.now())


async def test_issues_that_change_while_pages_are_read_are_all_seen(desk: Desk) -> None:
    await created(desk, 120)
    await desk.advance("1h")
    await one_page(desk)
    for number in (1, 2, 3, 49, 50, 51):
        await desk.order("comment", issue=f"DOC-{number}", text=f"Answer {number}")
    await desk.read()
    await desk.turn("5m")

    assert 120 == len(await desk.told("IssueCreated"))
    assert 6 == len(await desk.told("CommentAdded"))


async def test_an_idle_reading_tells_nothing_and_asks_for_one_page_of_each_project(desk: Desk) -> None:
    await created(desk, 5)
    await desk.turn()
    before = await desk.types()
    await desk.advance("5m")

    assert 1 == await desk.read()
    assert before == await desk.types()


@pytest.mark.timeout(1800)
async def test_our_issues_are_jiras_own_after_random_histories(desk: Desk, soak: bool) -> None:
    chance = Random(1)
    await created(desk, 3)
    for _ in range(1000 if soak else 120):
        row = chance.choice(await desk.books())
        await step(desk, chance, row)
        if chance.random() < 0.3:
            await desk.turn()
    await desk.turn("10m")

    books = await desk.books()
    assert len(books) == len((await desk.get("issues"))["items"])
    for row in books:
        issue = await desk.get(f"issues/{row['key']}")
        assert (row["status"], row["summary"]) == (issue["status"], issue["title"])
        assert row["key"].startswith(f"{issue['task']}-")
        assert {each["id"]: each["body"] for each in row["comments"]} == {
            each["id"]: each["text"] for each in issue["comments"]
        }
        attached = [each["file_name"] for each in issue["attachments"]]
        assert sorted(name for name, _ in row["attachments"]) == sorted(attached)
        moves = [each["new"] for each in issue["history"] if each["kind"] == "status_changed"]
        assert [move["new"] for move in row["moves"]] == moves
    ids = [event.id for event in await desk.told()]
    assert len(ids) == len(set(ids))


async def step(desk: Desk, chance: Random, row: dict[str, Any]) -> None:
    """Have OK's people do one thing with an issue; what they take away they do so after it may have been seen."""
    key, comments, attachments = row["key"], row["comments"], row["attachments"]
    match chance.choice(["comment", "comment", "status", "attach", "edit", "delete", "detach", "move"]):
        case "comment":
            await desk.order("comment", issue=key, text=f"Text {chance.random()}")
        case "status":
            status = chance.choice([each for each in STATUSES.values() if each != row["status"]])
            await desk.order("status", issue=key, status=status)
        case "attach":
            await desk.order("attach", issue=key, file_name=f"{chance.random()}.pdf", content="YQ==")
        case "edit" if comments:
            comment = chance.choice(comments)["id"]
            await desk.order("edit_comment", issue=key, comment=comment, text=f"Edited {chance.random()}")
        case "delete" if comments:
            await desk.order("delete_comment", issue=key, comment=chance.choice(comments)["id"])
        case "detach" if attachments:
            shown = await desk.order("comment", issue=key, text="Look at this file")
            attachment = chance.choice(shown["fields"]["attachment"])["id"]
            await desk.order("delete_attachment", issue=key, attachment=attachment)
        case "move":
            await desk.order("move", issue=key, project=chance.choice(["DOC", "OK", "REPORT", "ADVDOC"]))
        case _:
            pass


async def test_an_unmapped_status_is_shown_and_judged_once_somebody_maps_it(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("status", issue="PROMO-1", status="Согласовано отделом")
    await desk.turn()
    assert ["Согласовано отделом"] == (await desk.get("projects"))["unmapped_statuses"]
    assert [] == await desk.told("RequestApproved")
    mapped = config(statuses={"согласовано отделом": "approved"}).jira.model_copy(update={"url": desk.config.jira.url})
    desk.config = desk.config.model_copy(update={"jira": mapped})
    await desk.turn()

    assert 1 == len(await desk.told("RequestApproved"))


async def test_a_person_confirms_a_prize_fund_that_is_not_certain(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("status", issue="PROMO-1", status="Approved")
    await desk.order("comment", issue="PROMO-1", text="Призовой фонд 2 000 ОК зачислен")
    await desk.turn()
    assert [] == await desk.told("PrizeFundConfirmed")
    (question,) = (await desk.get("issues/PROMO-1"))["fund_questions"]
    await desk.post("issues/PROMO-1/fund", amount_oks=2000, comment_id=question["comment_id"])

    assert [2000] == [event.amount_oks for event in await desk.told("PrizeFundConfirmed")]
    assert [] == (await desk.get("issues/PROMO-1"))["fund_questions"]


async def test_a_fund_that_is_told_before_the_approval_is_confirmed_after_it(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("comment", issue="PROMO-1", text="Призовой фонд 1 000 ОК зачислен")
    await desk.turn()
    assert [] == await desk.told("PrizeFundConfirmed")
    await desk.order("status", issue="PROMO-1", status="Approved")
    await desk.turn()

    wanted = ["RequestApproved", "PrizeFundConfirmed"]
    assert wanted == [kind for kind in await desk.types() if kind in wanted]
