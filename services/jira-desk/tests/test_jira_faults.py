"""Whatever goes wrong with JIRA: nothing is made twice, and nothing is lost."""

import asyncio
import base64
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from desk_world import PICTURE, Desk, Refusal, attachment_due, request_due

from jira_desk.domain.answer import NotDone, OutcomeUnknown
from jira_desk.jira_client import JiraClient
from okgames.events import derive_id
from okgames.jira_account import Jira
from okgames.testing import wait_until

EVIDENCE = derive_id("evidence")


async def the_request(desk: Desk) -> dict[str, Any]:
    (errand,) = await desk.errands(kind="request")
    return errand


@pytest.mark.parametrize(
    "fault", ["jira_down", "jira_too_many", "jira_errors", "jira_html", "jira_unauthorized", "jira_forbidden"]
)
async def test_a_request_is_made_once_when_the_fault_is_over(desk: Desk, fault: str) -> None:
    await desk.sim("faults", jira_silent=True, **{fault: {"next": 5}})
    await desk.learn(request_due())
    await desk.run()
    assert "due" == (await the_request(desk))["state"]
    for _ in range(10):
        await desk.turn("70m")

    assert "done" == (await the_request(desk))["state"]
    assert 1 == len(await desk.books())
    assert ["IssueCreated"] == await desk.types()


async def test_a_request_whose_answer_was_lost_is_found_and_not_made_again(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True, jira_lost_answers={"next": 1})
    await desk.learn(request_due())
    await desk.run()
    request = await the_request(desk)
    assert ("due", True) == (request["state"], request["must_look"])
    await desk.run()
    assert 1 == len(await desk.books())
    await desk.turn("4m")

    assert ("done", "PROMO-1") == ((await the_request(desk))["state"], (await the_request(desk))["result"])
    assert 1 == len(await desk.books())


async def test_a_request_that_jira_makes_after_we_gave_up_waiting_is_found(desk: Desk) -> None:
    await desk.client.myself()
    await desk.sim("faults", jira_silent=True)
    await desk.learn(request_due())
    desk.client = JiraClient(desk.config.jira, answer_within=timedelta(seconds=0.4))
    await desk.client.myself()
    await desk.client.create_meta("PROMO", "1,000 OKs")
    await desk.sim("faults", jira_silent=True, jira_slow=1.0, slow_seconds=0.8)
    await desk.run()
    await desk.sim("faults", jira_silent=True)
    await wait_until(desk.books)
    for _ in range(3):
        await desk.turn("10m")

    assert "done" == (await the_request(desk))["state"]
    assert 1 == len(await desk.books())


async def test_a_desk_that_is_killed_while_jira_makes_the_request_finds_it(desk: Desk) -> None:
    await desk.client.myself()
    await desk.learn(request_due())
    await desk.sim("faults", jira_silent=True, jira_slow=1.0, slow_seconds=0.3)
    running = asyncio.create_task(desk.run())
    await wait_until(lambda: _is_tried(desk))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    # JIRA does what a killed process has sent within minutes, which pass at once here.
    sent = [thread for thread in threading.enumerate() if thread.name == "jira"]
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in sent))
    await desk.sim("faults", jira_silent=True)
    for _ in range(3):
        await desk.turn("4m")

    assert "done" == (await the_request(desk))["state"]
    assert 1 == len(await desk.books())


class Late(JiraClient):
    """Hears long after it asked that JIRA does not make requests."""

    def __init__(self, jira: Jira) -> None:
        super().__init__(jira)
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

    async def create(self, fields: Mapping[str, object]) -> str:
        self.is_asked.set()
        await self.answers.wait()
        raise NotDone("JIRA cannot be reached")


async def test_a_person_who_made_the_request_meanwhile_is_believed(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.learn(request_due())
    late = Late(desk.config.jira)
    desk.client, known = late, desk.client
    running = asyncio.create_task(desk.run())
    await late.is_asked.wait()
    await desk.post(f"errands/{(await the_request(desk))['id']}/done", key="PROMO-77")
    late.answers.set()
    await running
    desk.client = known
    await desk.turn("2h")

    assert ("done", "PROMO-77") == ((await the_request(desk))["state"], (await the_request(desk))["result"])
    assert [] == await desk.books()


async def _is_tried(desk: Desk) -> bool:
    return (await the_request(desk))["tries"] == 1


async def test_nothing_is_made_twice_while_everything_fails_now_and_then(desk: Desk) -> None:
    desk.pictures.content[str(EVIDENCE)] = PICTURE
    await desk.sim(
        "faults",
        jira_silent=True,
        jira_down=0.1,
        jira_lost_answers=0.4,
        jira_errors=0.1,
        jira_html=0.1,
        jira_too_many=0.05,
        jira_unauthorized=0.02,
    )
    await desk.learn(request_due(), attachment_due(EVIDENCE))
    for _ in range(40):
        await desk.turn("30m")
        if (await the_request(desk))["state"] == "done":
            break
    await desk.post("issues/PROMO-1/comments", text="When is it decided?")
    for _ in range(40):
        await desk.turn("30m")
    await desk.sim("faults", jira_silent=True)
    for _ in range(3):
        await desk.turn("2h")

    (issue,) = await desk.books()
    assert ["done"] * 3 == [errand["state"] for errand in await desk.errands()]
    assert 1 == len(issue["attachments"])
    assert ["When is it decided?"] == [comment["body"] for comment in issue["comments"]]
    assert ["AttachmentAdded", "CommentAdded", "IssueCreated"] == sorted(await desk.types())


async def test_what_happened_while_jira_was_down_for_a_day_is_told_afterwards(desk: Desk) -> None:
    await desk.requested()
    await desk.read()
    await desk.sim("faults", jira_down=1.0)
    for _ in range(24):
        await desk.turn("1h")
    (promo,) = [row for row in (await desk.get("projects"))["items"] if row["project"] == "PROMO"]
    assert promo["problem"] is not None
    assert ["IssueCreated"] == await desk.types()
    await desk.sim("faults")
    for _ in range(3):
        await desk.turn("1h")

    assert {"RequestApproved", "PrizeFundConfirmed"} <= set(await desk.types())
    (promo,) = [row for row in (await desk.get("projects"))["items"] if row["project"] == "PROMO"]
    assert promo["problem"] is None


@pytest.mark.parametrize(
    "fault", ["jira_down", "jira_too_many", "jira_errors", "jira_html", "jira_unauthorized", "jira_forbidden"]
)
async def test_what_happened_meanwhile_is_told_when_the_fault_is_over(desk: Desk, fault: str) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("comment", issue="PROMO-1", text="Hello")
    await desk.sim("faults", jira_silent=True, **{fault: 1.0})
    for _ in range(5):
        await desk.turn("30m")
        await desk.order("comment", issue="PROMO-1", text="Hello again")
    (promo,) = [row for row in (await desk.get("projects"))["items"] if row["project"] == "PROMO"]
    assert promo["problem"] is not None
    assert ["IssueCreated"] == await desk.types()
    await desk.sim("faults", jira_silent=True)
    await desk.turn("1h")
    await desk.turn("1h")

    assert ["IssueCreated", *["CommentAdded"] * 6] == await desk.types()


async def test_a_jira_that_never_answers_is_given_up_and_read_later(desk: Desk) -> None:
    """It takes connections and says nothing, as a server does whose threads all hang."""
    ended = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    answering = desk.client
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        hanging = JiraClient(desk.config.jira.model_copy(update={"url": url}), answer_within=timedelta(seconds=0.2))
        desk.client = hanging
        await desk.order("create", project="DOC", issue_type="Company", summary="Our company")
        await desk.read()
        problems = {row["problem"] for row in (await desk.get("projects"))["items"]}
        assert {"no answer of JIRA: ReadTimeout"} == problems
        ended.set()
    desk.client = answering
    await desk.turn("10m")

    assert ["IssueCreated"] == await desk.types()


async def test_jira_is_left_alone_for_as_long_as_it_asks(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True, jira_too_many={"next": 1})
    assert 1 == await desk.read()
    asked = [row for row in (await desk.get("projects"))["items"] if row.get("problem")]
    assert 1 == len(asked)
    assert "429" in asked[0]["problem"]
    await desk.learn(request_due())
    await desk.sim("faults", jira_silent=True, jira_too_many={"next": 1})
    await desk.run()
    # The second try would come after a second.
    await desk.advance("80s")
    await desk.run()
    assert ("due", 1) == ((await the_request(desk))["state"], (await the_request(desk))["tries"])
    await desk.advance("15s")
    await desk.run()

    assert "done" == (await the_request(desk))["state"]


async def test_an_issue_that_our_account_cannot_see_any_more_stays_as_it_was(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("status", issue="PROMO-1", status="In Progress")
    await desk.turn()
    await desk.order("hide", issue="PROMO-1")
    before = await desk.get("issues/PROMO-1")
    await desk.turn("1h")

    assert before == await desk.get("issues/PROMO-1")


@pytest.mark.parametrize("seconds", [-7200, 7200])
async def test_a_clock_of_jira_that_is_wrong_loses_nothing(desk: Desk, seconds: int) -> None:
    await desk.sim("faults", jira_clock_ahead_seconds=seconds)
    await desk.requested()
    for _ in range(12):
        await desk.turn("2h")

    assert {"RequestApproved", "PrizeFundConfirmed"} <= set(await desk.types())
    assert 1 == len(await desk.books())


async def test_a_comment_on_an_issue_that_was_moved_goes_to_where_it_is(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("move", issue="PROMO-1", project="DOC")
    await desk.post("issues/PROMO-1/comments", text="Hello?")
    await desk.run()
    await desk.turn()

    assert ["Hello?"] == [comment["text"] for comment in (await desk.get("issues/DOC-1"))["comments"]]
    history = [entry["kind"] for entry in (await desk.get("issues/DOC-1"))["history"]]
    assert 1 == history.count("moved")


async def test_an_errand_for_an_issue_that_is_gone_waits_for_a_person(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    await desk.order("hide", issue="PROMO-1")
    errand = await desk.post("issues/PROMO-1/comments", text="Hello?")
    await desk.run()

    blocked = await desk.get(f"errands/{errand['id']}")
    assert "blocked" == blocked["state"]
    assert "404" in blocked["problem"]
    cancelled = await desk.post(f"errands/{errand['id']}/cancel")
    assert "cancelled" == cancelled["state"]
    with pytest.raises(Refusal):
        await desk.post(f"errands/{errand['id']}/retry")


async def test_a_prize_fund_in_a_comment_that_oks_people_correct_or_take_back_is_as_they_left_it(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    for text in ("Призовой фонд 1 000 ОК", "Призовой фонд 1 000 ОК"):
        await desk.order("comment", issue="PROMO-1", text=text)
    await desk.turn()
    (first, second) = (await desk.get("issues/PROMO-1"))["comments"]
    await desk.order("edit_comment", issue="PROMO-1", comment=first["id"], text="Призовой фонд 2 000 ОК")
    await desk.order("delete_comment", issue="PROMO-1", comment=second["id"])
    await desk.order("status", issue="PROMO-1", status="Approved")
    await desk.turn()
    assert [] == await desk.told("PrizeFundConfirmed")
    issue = await desk.get("issues/PROMO-1")
    assert [(first["id"], 2000)] == [(each["comment_id"], each["amount_oks"]) for each in issue["fund_questions"]]
    for _ in range(2):
        issue = await desk.post("issues/PROMO-1/fund", amount_oks=2000, comment_id=first["id"])

    assert (2000, []) == (issue["fund_oks"], issue["fund_questions"])
    assert [2000] == [event.amount_oks for event in await desk.told("PrizeFundConfirmed")]


async def test_a_picture_that_cannot_be_fetched_is_attached_later(desk: Desk) -> None:
    await desk.sim("faults", jira_silent=True)
    await desk.requested()
    desk.pictures.content[str(EVIDENCE)] = b"another picture"
    await desk.learn(attachment_due(EVIDENCE))
    await desk.run()
    (errand,) = await desk.errands(kind="attachment")
    assert "another picture" in errand["problem"]
    desk.pictures.content[str(EVIDENCE)] = PICTURE
    await desk.turn("1h")

    (issue,) = await desk.books()
    assert 1 == len(issue["attachments"])


async def test_a_page_in_html_is_never_taken_for_a_file(desk: Desk) -> None:
    await desk.order("create", project="DOC", issue_type="Company", summary="Our company")
    await desk.order("attach", issue="DOC-1", file_name="a.png", content=base64.b64encode(PICTURE).decode())
    (attachment,) = (await desk.client.issue("DOC-1")).attachments
    await desk.sim("faults", jira_silent=True, jira_html=0.5)
    contents = set()
    for _ in range(20):
        with suppress(OutcomeUnknown):
            contents.add(await desk.client.attachment(attachment.id))

    assert {PICTURE} == contents


async def test_no_secret_stands_in_a_problem(desk: Desk) -> None:
    for fault in ("jira_unauthorized", "jira_html", "jira_errors", "jira_down"):
        await desk.sim("faults", **{fault: 1.0})
        await desk.turn("2h")
        shown = str(await desk.get("projects")) + str(await desk.errands())
        assert "secret" not in shown
