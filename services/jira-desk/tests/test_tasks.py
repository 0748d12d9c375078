"""Every kind of task of OK's page "Working with OK through JIRA", by REST and by hand."""

import base64
from typing import Any

import pytest
from desk_world import APP, Desk, Refusal

ICON = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + (128).to_bytes(4) + (128).to_bytes(4) + b"\x08\x06\x00\x00\x00"
REQUESTS: list[dict[str, Any]] = [
    {"kind": "thousand_oks", "day": "2026-03-10"},
    {"kind": "profile_picture", "begins": "2026-03-10", "ends": "2026-03-12", "offer": "A hat for everybody"},
    {"kind": "collections", "begins": "2026-03-10", "ends": "2026-03-12", "offer": "Half price"},
    {"kind": "okshop_task", "begins": "2026-03-10", "icon": base64.b64encode(ICON).decode(), "gender": "women"},
]
ACCOUNT = {"first_name": "Anna", "last_name": "Petrova", "email": "anna@example.org", "tasks": "PROMO, REPORT"}


@pytest.fixture(params=["desk", "by_hand"])
def either(request: pytest.FixtureRequest) -> Desk:
    desk: Desk = request.getfixturevalue(request.param)
    return desk


async def settle(desk: Desk) -> None:
    """Do what is to be done, as the desk or as a person does."""
    await desk.run()
    for _ in range(2):
        for errand in await desk.errands(state="for_person"):
            key = {"key": "PROMO-1"} if errand["kind"] == "request" else {}
            await desk.post(f"errands/{errand['id']}/done", **key)
    await desk.run()
    await desk.turn()


async def hear(desk: Desk, key: str, **what: Any) -> None:
    """Let OK's people say something, and let it be read or recorded."""
    if desk.config.jira.projects[0].mode == "rest":
        if "comment" in what:
            await desk.order("comment", issue=key, text=what["comment"])
        if "status" in what:
            await desk.order("status", issue=key, status=what["status"])
        await desk.turn()
    else:
        await desk.advance("1m")
        await desk.post(f"issues/{key}/record", **what)


async def begun(desk: Desk, project: str, issue_type: str, title: str) -> str:
    """Let OK open a task, as it does for moderation, reports, contracts and the company."""
    await desk.sim("faults", jira_silent=True)
    if desk.config.jira.projects[0].mode == "rest":
        await desk.order("create", project=project, issue_type=issue_type, summary=title)
        await desk.turn()
    else:
        await desk.post(f"issues/{project}-1/record", title=title)
    return f"{project}-1"


@pytest.mark.parametrize("asked", REQUESTS, ids=lambda asked: asked["kind"])
async def test_each_kind_of_request_is_made_with_its_files_and_approved(either: Desk, asked: dict[str, Any]) -> None:
    await either.sim("faults", jira_silent=True)
    answer = await either.post("requests", application_key=APP, **asked)
    assert [] == answer["warnings"]
    assert {"ru", "en"} == answer["pack"]["texts"].keys()
    await settle(either)
    await hear(either, "PROMO-1", status="Approved")

    issue = await either.get("issues/PROMO-1")
    assert ("approved", APP) == (issue["meaning"], issue["application_key"])
    assert ("1,000 OKs" in issue["title"]) is (asked["kind"] == "thousand_oks")
    assert ("icon" in asked) is (len(issue["attachments"]) == 1)
    assert ["IssueCreated", "IssueStatusChanged"] == [
        event.type for event in await either.told("IssueCreated", "IssueStatusChanged")
    ]


async def test_moderation_has_a_list_of_remarks_to_tick_off(either: Desk) -> None:
    key = await begun(either, "OK", "Moderation", "Backgammon: moderation")
    await hear(either, key, comment="Замечания:\n- Иконка размыта\n- Нет ссылки", status="Waiting for developer")
    issue = await either.get(f"issues/{key}")
    assert ["Иконка размыта", "Нет ссылки"] == [remark["text"] for remark in issue["remarks"]]
    assert ("answer_wanted", APP) == (issue["meaning"], issue["application_key"])
    first = issue["remarks"][0]
    await either.post(f"issues/{key}/remarks", comment_id=first["comment_id"], text=first["text"])
    await either.post(f"issues/{key}/comments", template="remarks_done", values={"text": "Иконка новая."})
    await settle(either)

    issue = await either.get(f"issues/{key}")
    assert ["Anna", None] == [remark["done_by"] for remark in issue["remarks"]]
    assert "Иконка новая." in issue["comments"][-1]["text"]
    assert [key] == [question["key"] for question in (await either.get("questions"))["items"]]


async def test_a_further_account_is_asked_for_in_the_doc_task(either: Desk) -> None:
    key = await begun(either, "DOC", "Company", "Our company")
    await either.post(f"issues/{key}/comments", template="account", values=ACCOUNT)
    await settle(either)
    (question,) = (await either.get("questions"))["items"]
    assert "anna@example.org" in question["text"]
    await either.advance("30h")
    (question,) = (await either.get("questions"))["items"]
    assert 30 == question["hours"]
    await hear(either, key, comment="Данные отправлены.")
    assert [] == (await either.get("questions"))["items"]
    (access,) = (await either.get("access"))["items"]
    assert ("Anna Petrova", ["PROMO", "REPORT"], None) == (access["name"], access["tasks"], access["granted_at"])
    (access,) = (await either.post(f"access/{access['id']}", state="granted"))["items"]

    assert access["granted_at"] is not None


@pytest.mark.parametrize(
    ("project", "issue_type", "template"), [("ADVDOC", "Contract", "contract"), ("REPORT", "Report", "question")]
)
async def test_questions_on_contracts_and_reports_are_asked_from_templates(
    either: Desk, project: str, issue_type: str, template: str
) -> None:
    key = await begun(either, project, issue_type, "Backgammon")
    await either.post(f"issues/{key}/comments", template=template, values={"text": "Когда?"})
    await either.upload(f"issues/{key}/attachments", b"%PDF-1.7", file_name="scan.pdf")
    await settle(either)
    await hear(either, key, comment="Завтра.", status="Closed")

    issue = await either.get(f"issues/{key}")
    assert "closed" == issue["meaning"]
    assert "Когда?" in issue["comments"][0]["text"]
    assert 1 == len(issue["attachments"])
    assert ["done", "done"] == [errand["state"] for errand in issue["errands"]]


async def test_the_same_file_is_attached_once(desk: Desk) -> None:
    key = await begun(desk, "DOC", "Company", "Our company")
    for _ in range(3):
        await desk.upload(f"issues/{key}/attachments", b"%PDF-1.7", file_name="scan.pdf")
        await settle(desk)

    assert 1 == len((await desk.get(f"issues/{key}"))["attachments"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"kind": "okshop_task", "begins": "2026-03-10", "icon": "AAAA"}, "128x128"),
        ({"kind": "okshop_task", "begins": "2026-03-10", "weeks": 1}, "weeks"),
        ({"kind": "collections", "begins": "2026-03-10", "ends": "2026-03-09", "offer": "x"}, "ends"),
        ({"kind": "thousand_oks", "day": "2026-03-10", "prizes_oks": []}, "prizes_oks"),
        ({"kind": "thousand_oks"}, "day"),
        ({"kind": "banner"}, "kind"),
    ],
)
async def test_a_wrong_request_changes_nothing(desk: Desk, body: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        await desk.post("requests", application_key=APP, **body)

    assert [] == await desk.errands()


async def test_a_request_that_comes_too_late_is_made_with_a_warning(desk: Desk) -> None:
    answer = await desk.post("requests", application_key=APP, kind="thousand_oks", day="2026-02-26")

    assert "OK wants the request until 2026-02-23 00:00 MSK." in answer["warnings"]


async def test_a_template_belongs_in_its_kind_of_task(desk: Desk) -> None:
    key = await begun(desk, "OK", "Moderation", "Backgammon")
    with pytest.raises(Refusal, match="belongs in a task of DOC"):
        await desk.post(f"issues/{key}/comments", template="account", values=ACCOUNT)


async def test_what_jira_itself_shows_is_not_recorded_by_hand(desk: Desk) -> None:
    key = await begun(desk, "OK", "Moderation", "Backgammon")
    with pytest.raises(Refusal, match="followed in JIRA itself"):
        await desk.post(f"issues/{key}/record", status="Approved")
