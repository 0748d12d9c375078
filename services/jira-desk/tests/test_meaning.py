import pytest

from jira_desk.domain.meaning import listed_remarks, meaning_of, read_fund
from okgames.jira_account import JiraMeaning


@pytest.mark.parametrize(
    "text",
    [
        "Призовой фонд 1,000 OKs зачислен на кэшбэк-счёт приложения.",
        "Призовой фонд: 1 000 ОК",
        "Призовой фонд 1\u00a0000 ОК зачислен 03.03.2026",
        "Призовой фонд 1\u202f000 ОКов на счёте.",
        "Зачислили призовой фонд «1000 ОК». Удачной акции!",
        "Prize fund of 1,000 OKs has been credited.",
        "Prize fund: 1000 OK",
        "prize fund 1'000 oks is on the account",
        "Призовой фонд: 1 000 OK на 3 марта",
    ],
)
def test_a_sum_that_is_told_as_a_fact_is_certain_in_all_spellings(text: str) -> None:
    reading = read_fund(text, 1000)

    assert reading is not None
    assert (1000, True) == (reading.amount_oks, reading.is_certain)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Призовой фонд 1000 ОК будет зачислен после акции", 1000),
        ("The prize fund of 1,000 OKs will be credited once the promotion is over", 1000),
        ("Призовой фонд не зачислен: нужно 1000 ОК", 1000),
        ("Призовой фонд 1000", 1000),
        ("Призовой фонд 2000 ОК зачислен", 2000),
        ("Призовой фонд 1000 ОК или 500 ОК", None),
        ("Призовой фонд 1.000 ОК зачислен", None),
        ("Призовой фонд 1 тыс. ОК зачислен", None),
        ("Призовой фонд 3 x 1000 ОК зачислен", None),
        ("Призовой фонд 1000 ОК?", 1000),
    ],
)
def test_what_is_not_certain_is_left_to_a_person(text: str, amount: int | None) -> None:
    reading = read_fund(text, 1000)

    assert reading is not None
    assert (amount, False) == (reading.amount_oks, reading.is_certain)


@pytest.mark.parametrize(
    "text",
    [
        "Взяли в работу.",
        "Приз получит один игрок.",
        "Скидка 1000 ОК хороша, но дата занята",
        "Please attach the screenshot until 12:00.",
        "",
    ],
)
def test_a_comment_that_does_not_speak_of_the_fund_tells_no_sum(text: str) -> None:
    assert read_fund(text, 1000) is None


def test_a_sum_is_never_certain_while_nobody_knows_what_the_prizes_are() -> None:
    reading = read_fund("Призовой фонд 1000 ОК зачислен", None)

    assert reading is not None
    assert not reading.is_certain


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("Approved", JiraMeaning.APPROVED),
        (" ОДОБРЕНО ", JiraMeaning.APPROVED),
        ("Ready to launch", JiraMeaning.APPROVED),
        ("В работе", JiraMeaning.IN_WORK),
        ("Approved, but not quite", None),
        ("", None),
    ],
)
def test_a_status_means_what_somebody_said_and_is_never_guessed(status: str, meaning: JiraMeaning | None) -> None:
    assert meaning == meaning_of({"ready to launch": JiraMeaning.APPROVED}, status)


def test_the_lines_of_a_list_are_remarks() -> None:
    text = "Есть замечания:\n- Иконка размыта\n * Нет ссылки\n2) Кнопка закрыта\n\nСпасибо!\n- Иконка размыта"

    assert ["Иконка размыта", "Нет ссылки", "Кнопка закрыта"] == listed_remarks(text)
