from datetime import date, datetime

import pytest
from post_world import notification, post

from notifier.domain.post import LONGEST_NOTIFICATION
from notifier.domain.wording import Language, Wording
from notifier.service import wording
from okgames.events import PromotionPost, Winner

WINNER = Winner(uid="5", prize_oks=1000, name="John Doe", profile_url="https://ok.ru/profile/5", is_payer=True)
LANGUAGES: tuple[Language, ...] = ("ru", "en")


@pytest.fixture(scope="module")
def words() -> Wording:
    return wording()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_conditions_name_game_day_window_prize_and_draw(words: Wording, language: Language) -> None:
    text = words.of_post(post(PromotionPost.CONDITIONS), language)

    expected = {
        "ru": [
            "«Backgammon»",
            "3 марта",
            "00:00 до 23:59",
            "1\u00a0000 \u041e\u041a",
            "4 марта",
            "победителя",
            "14:00",
        ],
        "en": ["“Backgammon”", "3 March", "from 00:00 to 23:59", "1,000 OKs", "4 March", "the winner", "14:00"],
    }
    assert [] == [each for each in expected[language] if each not in text]
    assert text == text.strip()


def test_the_day_after_the_last_of_a_month_is_the_first_of_the_next(words: Wording) -> None:
    due = post(PromotionPost.CONDITIONS).model_copy(update={"day": date(2026, 12, 31)})

    assert "On 1 January OK will pick" in words.of_post(due, "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_winner_is_named_with_prize_and_link(words: Wording, language: Language) -> None:
    text = words.of_post(post(PromotionPost.WINNER, WINNER), language)

    prize = {"ru": "1\u00a0000 \u041e\u041a", "en": "1,000 OKs"}[language]
    assert f"John Doe — {prize} (https://ok.ru/profile/5)" in text.splitlines()


@pytest.mark.parametrize(("language", "stand_in"), [("ru", "игрок"), ("en", "a player of OK")])
def test_a_winner_whose_profile_is_closed_is_named_by_the_link(
    words: Wording, language: Language, stand_in: str
) -> None:
    closed = WINNER.model_copy(update={"name": None})
    text = words.of_post(post(PromotionPost.WINNER, closed), language)

    (line,) = [line for line in text.splitlines() if "https://ok.ru/profile/5" in line]
    assert line.startswith(stand_in)
    assert "None" not in text


def test_several_winners_have_a_line_each(words: Wording) -> None:
    second = WINNER.model_copy(update={"uid": "6", "prize_oks": 100, "name": "Ann {{ game }}"})
    due = post(PromotionPost.WINNER, WINNER, second).model_copy(update={"prizes_oks": (1000, 100)})
    text = words.of_post(due, "en")

    assert "1,000 OKs and 100 OKs" in text
    assert "the winners" in text
    # A player's name is no template.
    assert "Ann {{ game }} — 100 OKs" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notification_fits_into_what_ok_takes(words: Wording, language: Language) -> None:
    text = words.of_notification(notification(), language)

    assert len(text) <= LONGEST_NOTIFICATION
    assert "Backgammon" in text


def test_times_are_those_of_moscow(words: Wording) -> None:
    due = post(PromotionPost.CONDITIONS)

    assert "2026-03-02T21:00:00+00:00" == due.opens_at.isoformat()
    assert datetime.fromisoformat("2026-03-03T00:00:00+03:00") == due.opens_at
    assert "from 00:00 to 23:59 Moscow time" in words.of_post(due, "en")
