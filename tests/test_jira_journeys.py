"""All business with OK in JIRA, by the desk and by hand: every kind of task, and what can be done in it."""

import base64
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import pytest
import pytest_asyncio
from manager import Manager
from office import Answer, Office
from PIL import Image
from world import APPLICATION_KEY, World

from okgames.testing import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["rest", "manual"])
async def office(request: pytest.FixtureRequest, studio: World) -> AsyncIterator[Office]:
    """The two ways to do business with OK; no test knows which it is."""
    one = Office(studio, request.param)
    await one.open()
    yield one


def picture(side: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (side, side), "orange").save(content, "PNG")
    return content.getvalue()


ICON: Final = picture(128)
SCAN: Final = b"%PDF-1.7 signed"


@dataclass(frozen=True)
class Promo:
    """One of PROMO's four options: what is asked, what OK's JIRA must show of it, and what OK answers."""

    asked: Mapping[str, Any]
    issue_type: str
    title: str
    words: tuple[str, ...]
    answers: tuple[Answer, ...]
    files: tuple[bytes, ...] = ()


PROMOS: Final = {
    "1,000 OKs": Promo(
        {"kind": "thousand_oks", "day": "2031-03-04"},
        "1,000 OKs",
        "1,000 OKs: Backgammon, 04.03.2031",
        (APPLICATION_KEY, "04.03.2031", "1 000 OK"),
        (Answer("Взяли в работу.", "In Progress", "in_work"), Answer(status="Approved", meaning="approved")),
    ),
    "Profile Picture Promotion": Promo(
        {"kind": "profile_picture", "begins": "2031-03-10", "ends": "2031-03-12", "offer": "Шляпа каждому"},
        "Profile Picture Promotion",
        "Profile Picture Promotion: Backgammon, с 10.03.2031",
        ("10.03.2031 - 12.03.2031", "Шляпа каждому"),
        (Answer("К сожалению, на эти даты мест нет.", "Declined", "declined"),),
    ),
    "Collections": Promo(
        {"kind": "collections", "begins": "2031-03-10", "ends": "2031-03-12", "offer": "Всё за полцены"},
        "Collections",
        "Collections (Предложения и обновления): Backgammon, с 10.03.2031",
        ("10.03.2031 - 12.03.2031", "Всё за полцены"),
        (
            Answer("Пришлите, пожалуйста, материалы до 5 марта.", "Waiting for developer", "answer_wanted"),
            Answer("Спасибо, разместим.", "Approved", "approved"),
        ),
    ),
    "OKshop Task": Promo(
        {"kind": "okshop_task", "begins": "2031-03-10", "icon": base64.b64encode(ICON).decode(), "gender": "women"},
        "OKshop Task",
        "OKshop Task: Backgammon, с 10.03.2031",
        ("5 минут", "10.03.2031 - 23.03.2031", "женщины"),
        (
            Answer(status="Approved", meaning="approved"),
            Answer("Задание выполнили 5120 игроков.", "Closed", "closed"),
        ),
        (ICON,),
    ),
}


@pytest.mark.parametrize("name", PROMOS)
async def test_a_request_reaches_ok_and_oks_answers_reach_us(office: Office, name: str) -> None:
    promo = PROMOS[name]
    errand = await office.ask(promo.asked)
    assert [] == errand["warnings"]
    key = (await office.done(errand["id"]))["result"]
    for content in promo.files:
        (file,) = [each for each in (await office.issue(key))["errands"] if each["kind"] == "attachment"]
        await office.done(file["id"], content)

    shown = await office.in_jira(key)
    assert ("PROMO", promo.issue_type) == (shown["project"]["key"], shown["issuetype"]["name"])
    assert promo.title == shown["summary"]
    assert [] == [word for word in promo.words if word not in shown["description"]]
    assert [sha256(content).hexdigest() for content in promo.files] == await office.files_in_jira(key)
    assert 1 == await office.how_often_in_jira(errand["fields"]["notes"])
    for answer in promo.answers:
        issue = await office.answered(key, answer)
        assert (answer.meaning, APPLICATION_KEY) == (issue["meaning"], issue["application_key"])
    said = [answer.comment for answer in promo.answers if answer.comment is not None]
    assert said == [comment["text"] for comment in issue["comments"]]
    assert [answer.status for answer in promo.answers] == [
        entry["new"] for entry in issue["history"] if entry["kind"] == "status_changed"
    ]


@dataclass(frozen=True)
class Matter:
    """What is asked in a task that OK opened, with the words that OK must get to read, and what OK answers."""

    task: str
    issue_type: str
    title: str
    said: Mapping[str, Any]
    words: tuple[str, ...]
    answer: Answer


MATTERS: Final = {
    "OK: how moderation goes": Matter(
        "OK",
        "Moderation",
        "Backgammon: модерация",
        {"template": "question", "values": {"text": "Когда выйдет игра?"}},
        ("Когда выйдет игра?",),
        Answer("Во вторник.", "In Progress", "in_work"),
    ),
    "OK: the contract of a studio from abroad": Matter(
        "OK",
        "Moderation",
        "Backgammon: модерация и договор",
        {"template": "contract", "values": {"text": "Мы нерезиденты."}},
        ("договор", "Backgammon", "нерезиденты"),
        Answer("Пришлём договор.", "In Progress", "in_work"),
    ),
    "REPORT: a month's income": Matter(
        "REPORT",
        "Report",
        "Backgammon: отчёт за февраль",
        {"template": "question", "values": {"text": "Нет строк за 28 февраля."}},
        ("Нет строк за 28 февраля.",),
        Answer("Добавили.", "Closed", "closed"),
    ),
    "ADVDOC: the contract for advertisement": Matter(
        "ADVDOC",
        "Contract",
        "Backgammon: договор на рекламу",
        {"template": "contract", "values": {"text": "Скан во вложении."}},
        ("договор", "Скан во вложении."),
        Answer("Договор подписан.", "Closed", "closed"),
    ),
    "DOC: a general question": Matter(
        "DOC",
        "Company",
        "Наша компания",
        {"text": "Здравствуйте! У нас новый адрес."},
        ("новый адрес",),
        Answer("Обновили.", "In Progress", "in_work"),
    ),
}


@pytest.mark.parametrize("name", MATTERS)
async def test_what_is_asked_in_a_task_waits_with_its_age_until_ok_answers(office: Office, name: str) -> None:
    matter = MATTERS[name]
    key = await office.opened(matter.task, matter.issue_type, matter.title)
    issue = await office.said(key, **matter.said)
    assert (matter.task, APPLICATION_KEY) == (issue["task"], issue["application_key"])
    (comment,) = (await office.in_jira(key))["comment"]["comments"]
    assert [] == [word for word in matter.words if word not in comment["body"]]
    await office.studio.advance("30h")
    (question,) = [each for each in await office.items("questions") if each["key"] == key]
    assert (30, comment["body"]) == (question["hours"], question["text"])

    issue = await office.answered(key, matter.answer)

    assert [] == [each for each in await office.items("questions") if each["key"] == key]
    assert matter.answer.meaning == issue["meaning"]
    assert [comment["body"], matter.answer.comment] == [each["text"] for each in issue["comments"]]


async def test_a_file_reaches_the_task_in_which_it_belongs_once(office: Office) -> None:
    key = await office.opened("ADVDOC", "Contract", "Backgammon: скан договора")
    await office.attached(key, "договор.pdf", SCAN, "application/pdf")

    assert [sha256(SCAN).hexdigest()] == await office.files_in_jira(key)
    (file,) = (await office.issue(key))["attachments"]
    assert file["file_name"].startswith("договор-")


async def test_a_months_report_is_kept_as_ok_attached_it(office: Office) -> None:
    key = await office.opened("REPORT", "Report", "Backgammon: доходы")
    content = f"Transaction;Time;OKs\n1_{office.mode};2031-03-02 10:15:30;50\n".encode()
    file = await office.reported(key, "Отчёт за март 2031.csv", content)

    assert ("2031-03", APPLICATION_KEY) == (file["month"], file["application_key"])
    assert sha256(content).hexdigest() == file["sha256"]
    assert content == await office.studio.download(f"/v1/jira/reports/{file['id']}/content")


async def test_oks_remarks_on_a_game_are_ticked_off_until_it_is_released(office: Office) -> None:
    key = await office.opened("OK", "Moderation", "Backgammon: замечания")
    remarks = ["Иконка размыта", "Нет ссылки на группу"]
    listed = "Есть замечания:\n" + "\n".join(f"- {remark}" for remark in remarks)
    issue = await office.answered(key, Answer(listed, "Waiting for developer"))
    assert ("answer_wanted", remarks) == (issue["meaning"], [each["text"] for each in issue["remarks"]])
    for remark in issue["remarks"]:
        body = {"comment_id": remark["comment_id"], "text": remark["text"]}
        await office.post(f"issues/{key}/remarks", **body)
    issue = await office.said(key, template="remarks_done", values={"text": "Иконка новая, ссылка есть."})

    assert ["Anna", "Anna"] == [each["done_by"] for each in issue["remarks"]]
    assert "Иконка новая" in (await office.in_jira(key))["comment"]["comments"][-1]["body"]
    await office.answered(key, Answer(status="In Progress"))
    issue = await office.answered(key, Answer("Выпускаем завтра.", "Approved"))
    assert ("approved", remarks) == (issue["meaning"], [each["text"] for each in issue["remarks"]])


async def test_a_further_account_is_asked_for_and_its_access_kept(office: Office) -> None:
    email = f"anna-{office.mode}@example.org"
    values = {"first_name": "Anna", "last_name": "Petrova", "email": email, "tasks": "PROMO, REPORT"}
    key = await office.opened("DOC", "Company", "Наша компания: учётные записи")
    await office.said(key, template="account", values=values)

    (comment,) = (await office.in_jira(key))["comment"]["comments"]
    assert [] == [word for word in ("Anna Petrova", email, "PROMO, REPORT") if word not in comment["body"]]
    (access,) = [each for each in await office.items("access") if each["email"] == email]
    assert ("Anna Petrova", ["PROMO", "REPORT"], None) == (access["name"], access["tasks"], access["granted_at"])
    await office.answered(key, Answer("Данные для входа отправлены."))
    for state, time in (("granted", "granted_at"), ("ended", "ended_at")):
        shown = (await office.post(f"access/{access['id']}", state=state))["items"]
        assert [True] == [each[time] is not None for each in shown if each["id"] == access["id"]]


async def request_of(office: Office, manager: Manager) -> str:
    """Plan a promotion, let its request be made, and return the issue's key."""
    await manager.plan()
    found: list[Any] = []

    async def is_wanted() -> bool:
        errands = await office.items("errands", kind="request", limit="1000")
        found[:] = [each for each in errands if each["promotion_id"] == manager.promotion_id]
        return bool(found)

    await wait_until(is_wanted, timeout=30, message="the promotion asks for no request")
    return str((await office.done(found[0]["id"]))["result"])


async def test_a_promotion_gets_its_approval_prize_fund_and_screenshot_in_jira(office: Office) -> None:
    manager = Manager(office.studio)
    key = await request_of(office, manager)
    assert "1,000 OKs" in (await office.in_jira(key))["summary"]
    await manager.wait_for("requested")
    await office.answered(key, Answer(status="Approved"))
    await manager.wait_for("approved")
    issue = await office.answered(key, Answer("Призовой фонд 1\u00a0000 ОК зачислен на счёт приложения."))
    assert (1000, []) == (issue["fund_oks"], issue["fund_questions"])
    await wait_until(lambda: fund_is(manager, 1000), timeout=30, message="the prize fund is not confirmed")

    await manager.until(0, 9)
    path = f"/v1/promotions/{manager.promotion_id}/evidence"
    query = {"by": "Anna", "step": "screenshot", "file_name": "morning.png"}
    await office.studio.upload(path, picture(64), "image/png", **query)
    found: list[Any] = []

    async def is_wanted() -> bool:
        found[:] = [each for each in (await office.issue(key))["errands"] if each["kind"] == "attachment"]
        return bool(found)

    await wait_until(is_wanted, timeout=30, message="the screenshot is not to be attached")
    await office.done(found[0]["id"])
    assert [found[0]["sha256"]] == await office.files_in_jira(key)

    async def is_noted() -> bool:
        evidence = (await manager.shown())["evidence"]
        return any(each["text"].startswith(f"Attached to {key}") for each in evidence)

    await wait_until(is_noted, timeout=30, message="the promotion does not know of its screenshot in JIRA")


async def fund_is(manager: Manager, oks: int) -> bool:
    return bool((await manager.shown())["prize_fund_oks"] == oks)


async def test_a_promotion_that_ok_declines_will_not_take_place(office: Office) -> None:
    manager = Manager(office.studio)
    key = await request_of(office, manager)
    await office.answered(key, Answer("К сожалению, на эту дату мест нет.", "Declined"))
    await manager.wait_for("declined")

    assert "OK declined: К сожалению, на эту дату мест нет." == (await manager.shown())["reason"]


async def test_a_request_whose_answer_is_lost_is_made_once_also_after_a_kill(office: Office) -> None:
    await office.studio.sim("faults", {"jira_silent": True, "jira_lost_answers": {"next": 1}})
    errand = await office.ask({"kind": "collections", "begins": "2031-04-01", "ends": "2031-04-02", "offer": "Всё"})
    await office.is_tried(errand["id"])
    await office.kill_the_desk()
    await office.studio.sim("faults", {"jira_silent": True})
    await office.studio.advance("4m")
    await office.done(errand["id"])

    assert 1 == await office.how_often_in_jira(errand["fields"]["notes"])


async def test_what_is_wanted_while_jira_is_down_for_a_day_is_done_once_it_is_back(office: Office) -> None:
    key = await office.opened("DOC", "Company", "Наша компания: новости")
    await office.studio.sim("faults", {"jira_silent": True, "jira_down": 1.0})
    errand = await office.ask({"kind": "collections", "begins": "2031-05-01", "ends": "2031-05-02", "offer": "Всё"})
    comment = await office.post(f"issues/{key}/comments", text="Есть новости?")
    await office.is_tried(errand["id"])
    await office.studio.advance("1d")
    await office.studio.sim("faults", {"jira_silent": True})
    await office.studio.advance("2h")
    for each in (errand, comment):
        await office.done(each["id"])

    assert 1 == await office.how_often_in_jira(errand["fields"]["notes"])
    assert ["Есть новости?"] == [each["body"] for each in (await office.in_jira(key))["comment"]["comments"]]
    issue = await office.answered(key, Answer("Пока нет."))
    assert ["Есть новости?", "Пока нет."] == [each["text"] for each in issue["comments"]]
