import io
import json
from pathlib import Path

import pytest
from command import Command
from PIL import Image

EXAMPLE = Path(__file__).parents[2] / "okgames.example.toml"

CONFIG = """
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50

[[apps.products]]
code = "apples"
name = "Apples each day"
description = "Get three bonus apples each day"
icon = "icons/apples.png"
icon_url = "https://game.example/apples.png"
price = 50
subscription = { period = "7d", trial = "3d" }
"""
CHESS = CONFIG.replace("Backgammon", "Chess").replace("CBTESTKEYABABABABA", "CBCHESSKEYABABABABA")


def picture(kind: str = "PNG", size: tuple[int, int] = (256, 256)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, "red").save(content, kind)
    return content.getvalue()


@pytest.fixture
def catalogue(command: Command) -> Command:
    (command.directory / "icons").mkdir()
    write(command, CONFIG, picture())
    return command


def write(command: Command, config: str, icon: bytes) -> None:
    (command.directory / "okgames.toml").write_text(config)
    (command.directory / "icons" / "apples.png").write_bytes(icon)


def test_letter_is_printed_in_two_languages(catalogue: Command) -> None:
    assert "Длительность пробного периода: 3 дня\n" in catalogue.prints("products", "letter", "apples")
    assert "Trial period duration: 3 days\n" in catalogue.prints("products", "letter", "apples", "--lang", "en")
    assert "OK has no reason to refuse a subscription\n" == catalogue.prints("products", "check")


def test_letter_of_the_example_has_warnings_only(program: Command) -> None:
    result = program.run("products", "letter", "apples", OKGAMES_CONFIG=str(EXAMPLE))

    assert (0, 1) == (result.returncode, result.stderr.count("\n"))
    assert "Three apples each day" in result.stdout
    assert "1 to 3 words" in result.stderr


@pytest.mark.parametrize(
    ("icon", "finding"),
    [
        (picture(size=(256, 255)), "256x255"),
        (picture("GIF"), "no PNG or JPEG"),
        (picture()[:-30], "no PNG or JPEG"),
        (b"", "no PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (5 * 2**20), "more than"),
    ],
)
def test_icon_is_really_decoded(catalogue: Command, icon: bytes, finding: str) -> None:
    write(catalogue, CONFIG, icon)

    result = catalogue.run("products", "check", "--json")
    (row,) = map(json.loads, result.stdout.splitlines())

    assert (1, "") == (result.returncode, result.stderr)
    assert ("Backgammon", "apples", "error") == (row["app"], row["product"], row["level"])
    assert finding in row["finding"]


def test_letter_that_ok_would_refuse_is_printed_and_fails(catalogue: Command) -> None:
    (catalogue.directory / "icons" / "apples.png").unlink()

    result = catalogue.run("products", "letter", "apples", "--lang", "en")

    assert 1 == result.returncode
    assert "Product id: apples\n" in result.stdout
    assert "okgames: error: icon: icons/apples.png: No such file or directory\n" == result.stderr


def test_warnings_alone_do_not_fail(catalogue: Command) -> None:
    write(catalogue, CONFIG.replace('"7d"', '"1d"'), picture())

    assert "shortest period is 1 week" in catalogue.prints("products", "check")


def test_price_that_is_no_whole_number_is_told_with_its_line(catalogue: Command) -> None:
    write(catalogue, CONFIG.replace("price = 50\nsub", "price = 49.5\nsub"), picture())

    result = catalogue.run("products", "check")

    assert (2, "") == (result.returncode, result.stdout)
    assert "okgames.toml:19: apps[0].products[1].price: must be a whole number" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["letter", "pears"], "the catalogue has no product pears"),
        (["letter", "gold_100"], "gold_100 is no subscription"),
        (["letter", "apples"], "several applications have a subscription apples: name one with --app"),
        (["letter", "apples", "--app", "NOBODY"], "the configuration has no application NOBODY"),
        (["check", "--app", "NOBODY"], "the configuration has no application NOBODY"),
        (["letter", "apples", "--lang", "fr"], "Invalid value for '--lang'"),
    ],
)
def test_what_cannot_be_meant_is_wrong_input(catalogue: Command, arguments: list[str], complaint: str) -> None:
    write(catalogue, CONFIG + CHESS, picture())

    result = catalogue.run("products", *arguments)

    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert complaint in result.stderr


def test_application_is_chosen_by_its_key(catalogue: Command) -> None:
    write(catalogue, CONFIG + CHESS, picture())

    text = catalogue.prints("products", "letter", "apples", "--app", "CBCHESSKEYABABABABA")

    assert "Chess (1234567890)" in text
