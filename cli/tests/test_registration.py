from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.registration import Finding, Icon, Language, Level, NoIcon, findings, letter, spoken
from okgames.catalogue import App, Product
from okgames.picture import Format

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GOOD = Format("image/png", 256, 256)
ICON_URL = "https://game.example/apples.png"


def product(**changes: Any) -> Product:
    table = {
        "code": "apples",
        "name": "Apples each day",
        "description": "Get three bonus apples each day",
        "icon_url": ICON_URL,
        "price": 50,
        "subscription": {"period": "7d", "trial": "3d"},
    }
    return Product.model_validate(table | changes)


def found(icon: Icon = GOOD, **changes: Any) -> list[tuple[str, str]]:
    one = product(**changes)
    assert one.subscription is not None
    return [(finding.level.value, finding.message) for finding in findings(one, one.subscription, icon, NOW)]


def lines(language: Language, **changes: Any) -> list[str]:
    one = product(**changes)
    assert one.subscription is not None
    app = App.model_validate(
        {"name": "Backgammon", "application_id": "1234567890", "application_key": "CBKEY", "secret_keys": ["hush"]}
    )
    return letter(app, one, one.subscription, language, NOW).splitlines()


def test_a_subscription_that_keeps_ok_s_rules_has_no_findings() -> None:
    assert [] == found()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subscription": {"period": "7d"}}, []),
        ({"subscription": {"period": "7d", "trial": "1d"}}, []),
        ({"subscription": {"period": "7d", "trial": "23h59m"}}, [("error", "OK's shortest trial is 1 day")]),
        ({"subscription": {"period": "6d23h59m"}}, [("warning", "OK's shortest period is 1 week")]),
        ({"subscription": {"period": "7d1s"}}, [("error", "OK takes times in days, hours and minutes")]),
        ({"name": "Apples"}, []),
        ({"name": "Three apples today"}, []),
        (
            {"name": "Three apples each day"},
            [("warning", "OK wants a subscription's name to have 1 to 3 words")],
        ),
        ({"name": "  "}, [("error", "OK wants a subscription's name to have 1 to 3 words")]),
        ({"description": " "}, [("error", "description is missing: OK wants to know what the player buys")]),
        ({"icon_url": None}, [("error", "icon_url is missing: OK wants the address of the icon")]),
        ({"price": 1}, []),
    ],
)
def test_a_rule_that_is_broken_is_found(changes: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert expected == found(**changes)


@pytest.mark.parametrize(
    ("icon", "expected"),
    [
        (Format("image/jpeg", 256, 256), []),
        (Format("image/png", 255, 256), ["OK wants an icon of 256x256, and this one is 255x256"]),
        (Format("image/png", 256, 512), ["OK wants an icon of 256x256, and this one is 256x512"]),
        (NoIcon("icon: apples.png: No such file or directory"), ["icon: apples.png: No such file or directory"]),
    ],
)
def test_an_icon_is_256_by_256_pixels(icon: Icon, expected: list[str]) -> None:
    assert [("error", message) for message in expected] == found(icon)


def test_errors_come_before_warnings() -> None:
    levels = [level for level, _ in found(NoIcon("gone"), name="a b c d", subscription={"period": "1d"})]

    assert ["error", "warning", "warning"] == levels


def test_a_price_that_is_to_come_is_none() -> None:
    coming = {"price": None, "prices": [{"from": NOW + timedelta(days=1), "oks": 50}]}
    del coming["price"]
    one = Product.model_validate({**product().model_dump(exclude={"prices"}), **coming})
    assert one.subscription is not None

    assert [Finding(Level.ERROR, "it has no price yet")] == findings(one, one.subscription, GOOD, NOW)
    assert [] == findings(one, one.subscription, GOOD, NOW + timedelta(days=1))


def test_the_english_letter_has_ok_s_seven_fields() -> None:
    assert [
        "To: api-support@ok.ru",
        "Subject: Backgammon (1234567890): a new in-game subscription, apples",
        "",
        "Hello,",
        "",
        "please register an in-game subscription for our game Backgammon (application 1234567890).",
        "",
        "Trial period duration: 3 days",
        "Period duration: 7 days",
        "Price: 50 OKs",
        f"Subscription icon (256x256): {ICON_URL}",
        "Product id: apples",
        "Name: Apples each day",
        "Description: Get three bonus apples each day",
    ] == lines("en")


def test_the_russian_letter_has_the_same_fields() -> None:
    assert [
        "Длительность пробного периода: 3 дня",
        "Длительность периода: 7 дней",
        "Цена за период: 50 ОКов",
        f"Иконка подписки (256x256): {ICON_URL}",
        "Product id: apples",
        "Название: Apples each day",
        "Описание: Get three bonus apples each day",
    ] == lines("ru")[-7:]


def test_what_is_not_there_is_named_in_the_letter() -> None:
    text = lines("en", icon_url=None, description="", subscription={"period": "7d"})

    assert "Trial period duration: no trial" in text
    assert "Subscription icon (256x256): (missing)" in text
    assert "Description: (missing)" in text


def test_a_line_break_begins_no_field_of_its_own() -> None:
    assert "Description: Apples Price: 1 OK" == lines("en", description="Apples\nPrice: 1 OK\n")[-1]
    assert 14 == len(lines("en", name="A\r\nB"))


@pytest.mark.parametrize(
    ("time", "english", "russian"),
    [
        (timedelta(days=1), "1 day", "1 день"),
        (timedelta(days=2), "2 days", "2 дня"),
        (timedelta(days=7), "7 days", "7 дней"),
        (timedelta(days=11), "11 days", "11 дней"),
        (timedelta(days=21), "21 days", "21 день"),
        (timedelta(days=114), "114 days", "114 дней"),
        (timedelta(days=1, hours=12), "1 day 12 hours", "1 день 12 часов"),
        (timedelta(hours=23, minutes=1), "23 hours 1 minute", "23 часа 1 минута"),
        (timedelta(seconds=30), "0 minutes", "0 минут"),
    ],
)
def test_times_are_spoken_in_days_hours_and_minutes(time: timedelta, english: str, russian: str) -> None:
    assert english == spoken(time, "en")
    assert russian == spoken(time, "ru")
