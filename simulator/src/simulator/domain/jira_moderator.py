import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, assert_never

from simulator.chance import Chance
from simulator.domain.agenda import Agenda, Moderate, ModeratorStep
from simulator.domain.api_books import ApiBooks
from simulator.domain.faults import Fault, Mischief
from simulator.domain.jira_books import (
    ANSWER_WANTED,
    APPROVED,
    DECLINED,
    IN_PROGRESS,
    JiraBooks,
    JiraIssue,
    NoSuchIssue,
)

MODERATOR: Final = "ok.moderator"

_SPELLINGS: Final = (
    "Призовой фонд {amount:,} OKs зачислен на кэшбэк-счёт приложения.",
    "Призовой фонд: {spaced} ОК",
    "Prize fund of {amount:,} OKs has been credited.",
    "Зачислили призовой фонд «{amount} ОК». Удачной акции!",
    "Prize fund: {amount} OK",
    "Призовой фонд {narrow} ОКов на счёте.",
)
_TOTAL: Final = re.compile(r"(?:In total|Всего): (\d+)")
_APPLICATION: Final = re.compile(r"application_key (\w+)")
_REMARKS: Final = (
    "Проверили игру, есть замечания:\n- Иконка размыта на ретина-экранах\n- Нет ссылки на группу\n"
    "- Кнопка «Купить» закрыта баннером"
)
_REPLIES: Final[Mapping[str, str]] = {
    "DOC": "Здравствуйте! Данные для входа отправлены на указанный адрес.",
    "ADVDOC": "Здравствуйте! Договор во вложении, ждём подписанный скан.",
    "REPORT": "Здравствуйте! Проверим и вернёмся с ответом.",
    "PROMO": "Здравствуйте! Приняли.",
}


class Moderator:
    """
    Work through issues as OK's people do, hours later and on the agenda: look, decide, send the prize fund, answer.

    What a promotion's request asks for is read in its description, as a person would.
    """

    def __init__(
        self, books: JiraBooks, api_books: ApiBooks, agenda: Agenda, mischief: Mischief, chance: Chance
    ) -> None:
        self._books = books
        self._api_books = api_books
        self._agenda = agenda
        self._mischief = mischief
        self._chance = chance

    def on_created(self, issue: JiraIssue, at: datetime) -> None:
        """Take note of an issue that a game's developers made."""
        if issue.project in {"PROMO", "OK"}:
            self._later(issue, ModeratorStep.TAKE, at, 1, 6)

    def on_comment(self, issue: JiraIssue, at: datetime) -> None:
        """Take note of a comment of a game's developers."""
        step = ModeratorStep.DECIDE if issue.status == ANSWER_WANTED else ModeratorStep.REPLY
        self._later(issue, step, at, 2, 20)

    def act(self, task: Moderate, at: datetime) -> None:
        """Do what has fallen due, unless the moderator is silent or the issue is gone."""
        if self._mischief.mix.jira_silent:
            return
        try:
            issue = self._books.issue(task.issue_id)
        except NoSuchIssue:
            return
        chance = self._chance.of(issue.id, task.step, len(issue.comments))
        match task.step:
            case ModeratorStep.TAKE:
                self._take(issue, at)
            case ModeratorStep.DECIDE:
                self._decide(issue, at, chance)
            case ModeratorStep.FUND:
                self._send_fund(issue, at, chance)
            case ModeratorStep.REPLY:
                self._books.comment(issue.id, MODERATOR, _REPLIES.get(issue.project, "Здравствуйте!"), at)
            case ModeratorStep.TIDY_UP:
                self._tidy_up(issue, at, chance)
            case _:
                assert_never(task.step)

    def _take(self, issue: JiraIssue, at: datetime) -> None:
        self._books.set_status(issue.id, IN_PROGRESS, MODERATOR, at)
        if issue.project == "OK":
            self._books.comment(issue.id, MODERATOR, _REMARKS, at)
            self._books.set_status(issue.id, ANSWER_WANTED, MODERATOR, at)
        else:
            self._books.comment(issue.id, MODERATOR, "Здравствуйте! Взяли в работу.", at)
            self._later(issue, ModeratorStep.DECIDE, at, 2, 12)

    def _decide(self, issue: JiraIssue, at: datetime, chance: Chance) -> None:
        if self._mischief.strikes(Fault.JIRA_DECLINES, chance):
            self._books.comment(issue.id, MODERATOR, "К сожалению, на эту дату мест нет.", at)
            self._books.set_status(issue.id, DECLINED, MODERATOR, at)
            return
        self._books.set_status(issue.id, APPROVED, MODERATOR, at)
        if issue.issue_type == "1,000 OKs":
            self._later(issue, ModeratorStep.FUND, at, 1, 6)

    def _send_fund(self, issue: JiraIssue, at: datetime, chance: Chance) -> None:
        total, application = _TOTAL.search(issue.description), _APPLICATION.search(issue.description)
        amount = int(total[1]) if total else 1000
        if application is not None:
            self._api_books.top_up(application[1], amount)
        spaced = f"{amount:,}".replace(",", " ")
        text = chance.one_of(_SPELLINGS).format(amount=amount, spaced=spaced, narrow=spaced.replace(" ", "\u202f"))
        self._books.comment(issue.id, MODERATOR, text, at)
        self._later(issue, ModeratorStep.TIDY_UP, at, 1, 3)

    def _tidy_up(self, issue: JiraIssue, at: datetime, chance: Chance) -> None:
        """Correct or take back what was said before, now and then."""
        if not self._mischief.strikes(Fault.JIRA_EDITS, chance):
            return
        own = [comment for comment in issue.comments if comment.author == MODERATOR]
        self._books.delete_comment(issue.id, own[0].id, at)
        self._books.edit_comment(issue.id, own[-1].id, f"{own[-1].body}\nЖдём скриншот.", at)

    def _later(self, issue: JiraIssue, step: ModeratorStep, at: datetime, low: int, high: int) -> None:
        hours = self._chance.of(issue.id, step, len(issue.comments), "later").between(low, high)
        self._agenda.enter(at + timedelta(hours=hours), Moderate(issue.id, step))
