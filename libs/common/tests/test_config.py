from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from okgames.catalogue import Config
from okgames.config import ConfigError, load_config

EXAMPLE: Final = Path(__file__).parents[3] / "okgames.example.toml"
SECRET_24: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

GOOD: Final = f"""\
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"

[[apps.endpoints]]
url = "http://127.0.0.1:9000/okgames"
secret = "{SECRET_24}"

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50
reward = {{ item = "gold", quantity = 100 }}

[[apps.products]]
code = "apples"
name = "Apples"
price = 50
subscription = {{ period = "7d" }}
reward = {{ item = "apple", quantity = 3, every = "1d" }}
"""


def loaded(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "okgames.toml"
    file.write_text(text)
    return load_config(file)


def errors(tmp_path: Path, text: str) -> list[str]:
    """Return the lines of the error, without the folder of the file."""
    with pytest.raises(ConfigError) as failure:
        loaded(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in str(failure.value).splitlines()]


def changed(old: str, new: str) -> str:
    assert 1 == GOOD.count(old)
    return GOOD.replace(old, new)


def test_the_example_says_what_the_documentation_promises(monkeypatch: pytest.MonkeyPatch):
    config = load_config(EXAMPLE)

    app = config.app("CBTESTKEYABABABABA")
    assert app is not None
    assert (SecretStr("0123456789ABCDEF01234567"),) == app.secret_keys
    assert ZoneInfo("Europe/Moscow") == app.timezone
    assert "70000000000001" == app.group_id
    assert app.access_token is None
    assert app.allowed_callers is not None
    assert ip_network("217.20.145.192/28") == app.allowed_callers[0]
    assert ("log", "xml") == (app.callers_policy, app.answers)
    assert [("http://127.0.0.1:9000/okgames", ("*",))] == [(each.url, each.events) for each in app.endpoints]
    assert ["gold_100", "gold_500", "apples"] == [product.code for product in app.products]
    now = datetime(2026, 3, 2, tzinfo=ZoneInfo("Europe/Moscow"))
    assert [{50}, {200}, {50}] == [product.prices_at(now) for product in app.products]
    apples = app.product("apples")
    assert apples is not None
    assert apples.subscription is not None
    assert apples.reward is not None
    assert (timedelta(days=7), timedelta(days=3)) == (apples.subscription.period, apples.subscription.trial)
    assert ("stop", timedelta(hours=2)) == (apples.subscription.after_cancel, apples.subscription.tolerance)
    assert ("apple", 3, timedelta(days=1)) == (apples.reward.item, apples.reward.quantity, apples.reward.every)


def test_what_is_not_there_is_none(tmp_path: Path):
    config = loaded(tmp_path, GOOD)

    assert config.app("ANOTHER") is None
    assert config.apps[0].product("another") is None


def test_a_copy_with_other_apps_finds_those(tmp_path: Path):
    config = loaded(tmp_path, GOOD)
    assert config.app("CBTESTKEYABABABABA") is not None

    assert config.model_copy(update={"apps": ()}).app("CBTESTKEYABABABABA") is None


def test_defaults(tmp_path: Path):
    config = loaded(tmp_path, GOOD)

    app = config.apps[0]
    assert ((), timedelta(days=30)) == (config.trusted_proxies, config.event_retention)
    assert (None, None, "log", "xml") == (app.group_id, app.allowed_callers, app.callers_policy, app.answers)
    assert ZoneInfo("Europe/Moscow") == app.timezone
    assert (("*",), False) == (app.endpoints[0].events, app.endpoints[0].allow_private)
    plan = app.products[1].subscription
    assert plan is not None
    assert (None, "stop", timedelta(hours=2)) == (plan.trial, plan.after_cancel, plan.tolerance)
    assert timedelta(minutes=15) == app.products[0].price_overlap
    assert ("ru", "confirmed") == (app.promotions.language, app.promotions.publishing)


BROKEN: Final = [
    (
        changed("\n[[apps.endpoints]]", '\n[apps.report]\ncolumns = { time = "T", amount = "A" }\n[[apps.endpoints]]'),
        "8: apps[0].report.columns.transaction_id: is missing",
    ),
    (
        changed(
            "\n[[apps.endpoints]]",
            '\n[apps.report]\ntime_format = "%H:%M"\n'
            'columns = { transaction_id = "T", time = "T", amount = "A", price = "P" }\n[[apps.endpoints]]',
        ),
        "8: apps[0].report.time_format: must say where day, month and year stand, such as %d.%m.%Y %H:%M:%S",
    ),
    (
        changed(
            "\n[[apps.endpoints]]",
            '\n[apps.report]\ncolumns = { transaction_id = "T", time = "T", amount = "A" }\n[[apps.endpoints]]',
        ),
        "8: apps[0].report.columns.time: is the same as transaction_id",
    ),
    (
        changed("\n[[apps.endpoints]]", '\n[apps.report]\ncolumn = { time = "T" }\n[[apps.endpoints]]'),
        "8: apps[0].report.column: is no key of this table; did you mean columns?",
    ),
    ("", "1: apps: is missing"),
    ("apps = 5", "1: apps: must be a list in square brackets"),
    ("apps = []", "1: apps: must have at least 1 item"),
    ("apps = [\n  5,\n]", "2: apps[0]: must be a table"),
    ("event_retention = 30\n" + GOOD, "1: event_retention: must be a duration, such as 7d, 36h, 90m or 1d12h"),
    ('event_retention = "0d"\n' + GOOD, "1: event_retention: must be longer than nothing"),
    (
        'trusted_proxies = [\n  "10.0.0.0/8",\n  "10.0.0.1/8",\n]\n' + GOOD,
        "3: trusted_proxies[1]: must be a network of addresses, such as 217.20.145.192/28",
    ),
    ("trusted_proxy = []\n" + GOOD, "1: trusted_proxy: is no key of this table; did you mean trusted_proxies?"),
    (changed('name = "Backgammon"\n', ""), "1: apps[0].name: is missing"),
    (changed('"Backgammon"', '""'), "2: apps[0].name: must not be empty"),
    (changed('"Backgammon"', "5"), "2: apps[0].name: must be text in quotes"),
    (changed('"1234567890"', "1234567890"), "3: apps[0].application_id: must be text in quotes"),
    (changed('"1234567890"', '"12x"'), "3: apps[0].application_id: must be a number in quotes, as OK shows it"),
    (
        changed('secret_key = "0123456789ABCDEF01234567"\n', ""),
        "1: apps[0].secret_key: is missing: give secret_key, secret_key_file or secret_key_env",
    ),
    (
        changed('secret_key = "0123456789ABCDEF01234567"', 'secrete_key = "hidden"\nsecret_key = "s"'),
        "5: apps[0].secrete_key: is no key of this table; did you mean secret_key?",
    ),
    (
        changed('"0123456789ABCDEF01234567"', '["a", "b", "c"]'),
        "5: apps[0].secret_key: must have at most 2 items, not 3",
    ),
    (changed('"0123456789ABCDEF01234567"', "[]"), "5: apps[0].secret_key: must have at least 1 item"),
    (changed('"0123456789ABCDEF01234567"', '["a", ""]'), "5: apps[0].secret_key[1]: must not be empty"),
    (changed('"0123456789ABCDEF01234567"', "5"), "5: apps[0].secret_key: must be text in quotes"),
    (
        changed('secret_key = "0123456789ABCDEF01234567"', 'secret_key = "s"\nsecret_key_env = "S"'),
        "6: apps[0].secret_key_env: is there beside secret_key: give one of them",
    ),
    (
        changed('secret_key = "0123456789ABCDEF01234567"', 'secret_key_env = "OKGAMES_NO_SUCH"'),
        "5: apps[0].secret_key_env: the environment variable OKGAMES_NO_SUCH is not set",
    ),
    (
        changed('secret_key = "0123456789ABCDEF01234567"', 'secret_key_file = "/no/such"'),
        "5: apps[0].secret_key_file: /no/such: No such file or directory",
    ),
    (
        changed("\n[[apps.endpoints]]", 'timezone = "Moscow"\n[[apps.endpoints]]'),
        "6: apps[0].timezone: must be the name of a time zone, such as Europe/Moscow",
    ),
    (
        changed("\n[[apps.endpoints]]", 'timezone = "Europe"\n[[apps.endpoints]]'),
        "6: apps[0].timezone: must be the name of a time zone, such as Europe/Moscow",
    ),
    (
        changed("\n[[apps.endpoints]]", 'callers_policy = "deny"\n[[apps.endpoints]]'),
        "6: apps[0].callers_policy: must be 'log' or 'enforce'",
    ),
    (
        changed("\n[[apps.endpoints]]", 'allowed_callers = "217.20.145.192/28"\n[[apps.endpoints]]'),
        "6: apps[0].allowed_callers: must be a list in square brackets",
    ),
    (
        changed("http://127", "ftp://127"),
        "8: apps[0].endpoints[0].url: must be an address, such as https://game.example/okgames",
    ),
    (
        changed("http://127", "http://me:hidden@127"),
        "8: apps[0].endpoints[0].url: must have no user, password or fragment",
    ),
    (
        changed(SECRET_24, "whsec_aGlkZGVu"),
        "9: apps[0].endpoints[0].secret: must be whsec_ and the base64 of 24 to 64 bytes",
    ),
    (
        changed(SECRET_24, "whsec_\u0441\u0435\u043a\u0440\u0435\u0442"),
        "9: apps[0].endpoints[0].secret: must be whsec_ and the base64 of 24 to 64 bytes",
    ),
    (
        changed(f'secret = "{SECRET_24}"', f'secret = [\n  "{SECRET_24}",\n  "hidden",\n]'),
        "11: apps[0].endpoints[0].secret[1]: must be whsec_ and the base64 of 24 to 64 bytes",
    ),
    (
        changed(f'"{SECRET_24}"\n', f'"{SECRET_24}"\nevents = ["*", "reward"]\n'),
        (
            "10: apps[0].endpoints[0].events[1]: must be '*', 'reward.granted', 'entitlement.changed',"
            " 'promotion.scheduled', 'promotion.cancelled', 'promotion.opened', 'promotion.closed',"
            " 'promotion.winner_drawn', 'promotion.draw_unresolved', 'promotion.deadline_near',"
            " 'promotion.deadline_missed' or 'ping'"
        ),
    ),
    (
        changed(f'"{SECRET_24}"\n', f'"{SECRET_24}"\nallow_private = "yes"\n'),
        "10: apps[0].endpoints[0].allow_private: must be true or false",
    ),
    (
        changed(
            '\n[[apps.products]]\ncode = "gold',
            f'[[apps.endpoints]]\nurl = "http://127.0.0.1:9000/okgames"\nsecret = "{SECRET_24}"\n'
            '[[apps.products]]\ncode = "gold',
        ),
        "11: apps[0].endpoints[1].url: is the same as endpoints[0].url",
    ),
    (changed("price = 50\nreward", 'price = "50"\nreward'), "14: apps[0].products[0].price: must be a whole number"),
    (changed("price = 50\nreward", "price = 50.0\nreward"), "14: apps[0].products[0].price: must be a whole number"),
    (changed("price = 50\nreward", "price = true\nreward"), "14: apps[0].products[0].price: must be a whole number"),
    (changed("price = 50\nreward", "price = 0\nreward"), "14: apps[0].products[0].price: must be at least 1"),
    (changed("price = 50\nreward", "reward"), "11: apps[0].products[0].price: is missing"),
    (changed("price = 50\nreward", "prices = []\nreward"), "14: apps[0].products[0].prices: must have at least 1 item"),
    (
        changed("price = 50\nreward", "price = 50\nprices = [{ oks = 50 }]\nreward"),
        "15: apps[0].products[0].prices: is there beside price: give one of them",
    ),
    (
        changed("price = 50\nreward", "prices = [\n  { oks = 50 },\n  { from = 2026-03-01, oks = 40 },\n]\nreward"),
        "16: apps[0].products[0].prices[1].from: must be a time with an offset, such as 2026-03-01T00:00:00+03:00",
    ),
    (
        changed("price = 50\nreward", "prices = [\n  { from = 2026-03-01T00:00:00, oks = 40 },\n]\nreward"),
        "15: apps[0].products[0].prices[0].from: must be a time with an offset, such as 2026-03-01T00:00:00+03:00",
    ),
    (
        changed("price = 50\nreward", "prices = [{ oks = 50 }, { oks = 40 }]\nreward"),
        "14: apps[0].products[0].prices: must come in the order of `from`, which only the first may lack",
    ),
    (changed("quantity = 100", "quantity = 0"), "15: apps[0].products[0].reward.quantity: must be at least 1"),
    (changed("quantity = 100", "count = 100"), "15: apps[0].products[0].reward.quantity: is missing"),
    (
        changed("quantity = 100", 'quantity = 100, every = "1d"'),
        (
            "15: apps[0].products[0].reward.every: is for subscriptions: a product that is bought once gives its reward"
            " once"
        ),
    ),
    (changed('"apples"', '"gold_100"'), "18: apps[0].products[1].code: is the same as products[0].code"),
    (
        changed('"7d"', '"7 days"'),
        "21: apps[0].products[1].subscription.period: must be a duration, such as 7d, 36h, 90m or 1d12h",
    ),
    (
        changed('"7d"', '"7d", after_cancel = "now"'),
        "21: apps[0].products[1].subscription.after_cancel: must be 'stop' or 'until_end'",
    ),
    (
        changed('"7d"', '"7d", trial_period = "3d"'),
        (
            "21: apps[0].products[1].subscription.trial_period: is no key of this table; there are after_cancel,"
            " period, tolerance, trial"
        ),
    ),
    (changed('{ period = "7d" }', '"7d"'), "21: apps[0].products[1].subscription: must be a table"),
    (GOOD + GOOD, "26: apps[1].application_key: is the same as apps[0].application_key"),
]


@pytest.mark.parametrize(("text", "error"), BROKEN, ids=[error.split(":")[1].strip() for _, error in BROKEN])
def test_a_broken_file_is_named_with_line_and_key(tmp_path: Path, text: str, error: str):
    assert f"okgames.toml:{error}" in errors(tmp_path, text)


@pytest.mark.parametrize("text", [text for text, _ in BROKEN])
def test_no_error_shows_a_secret(tmp_path: Path, text: str):
    shown = "\n".join(errors(tmp_path, text))

    assert [] == [secret for secret in ("0123456789ABCDEF", SECRET_24, "hidden", "aGlkZGVu") if secret in shown]


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\nb = [1,\n",
        "a = 1\na = 2\nb = 3",
        "a = 1\nb = \n",
        "a = '''\n\n",
        "a = 1\n[b",
        "a = 1\n[[b]]\nb = 2\n[b]",
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_line(tmp_path: Path, text: str):
    (error,) = errors(tmp_path, text)

    line = 4 if text.endswith("[b]") else 2
    assert error.startswith(f"okgames.toml:{line}: this is no TOML: ")


def test_every_error_has_a_line_of_its_own_in_the_order_of_the_file(tmp_path: Path):
    text = (
        changed('"1234567890"', "5")
        .replace("http://127", "ftp://127")
        .replace("quantity = 100", "quantity = 0")
        .replace('secret_key = "0123456789ABCDEF01234567"', 'secret_key_file = "/no/such"')
    )

    assert ["okgames.toml:3", "okgames.toml:5", "okgames.toml:8", "okgames.toml:15"] == [
        line.split(": ")[0] for line in errors(tmp_path, text)
    ]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda file: None, "No such file or directory: OKGAMES_CONFIG names the configuration file"),
        (lambda file: file.mkdir(), "Is a directory: OKGAMES_CONFIG names the configuration file"),
        (lambda file: file.write_bytes(b"name = \xff"), "this is no text in UTF-8"),
    ],
    ids=["missing", "a folder", "not text"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: object, error: str):
    make(tmp_path / "okgames.toml")

    with pytest.raises(ConfigError) as failure:
        load_config(tmp_path / "okgames.toml")
    assert f"{tmp_path}/okgames.toml: {error}" == str(failure.value)


def test_secrets_come_from_files_beside_the_configuration_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "new").write_text("NEW\n")
    monkeypatch.setenv("OLD_WEBHOOK", SECRET_24)
    monkeypatch.setenv("TOKEN", "posting")
    text = changed(
        'secret_key = "0123456789ABCDEF01234567"', 'secret_key_file = ["new"]\naccess_token_env = "TOKEN"'
    ).replace(f'secret = "{SECRET_24}"', 'secret_env = "OLD_WEBHOOK"')

    app = loaded(tmp_path, text).apps[0]

    assert ["NEW"] == [secret.get_secret_value() for secret in app.secret_keys]
    assert [SECRET_24] == [secret.get_secret_value() for secret in app.endpoints[0].secrets]
    assert app.access_token is not None
    assert "posting" == app.access_token.get_secret_value()


def test_two_secrets_count_while_one_replaces_the_other(tmp_path: Path):
    newer = "whsec_" + "QUJD" * 8
    text = changed('"0123456789ABCDEF01234567"', '["NEW", "OLD"]').replace(
        f'"{SECRET_24}"', f'["{newer}", "{SECRET_24}"]'
    )

    app = loaded(tmp_path, text).apps[0]

    assert ["NEW", "OLD"] == [secret.get_secret_value() for secret in app.secret_keys]
    assert [newer, SECRET_24] == [secret.get_secret_value() for secret in app.endpoints[0].secrets]


def test_without_its_token_an_app_takes_payments_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOKEN", raising=False)
    text = changed('name = "Backgammon"', 'name = "Backgammon"\naccess_token_env = "TOKEN"')

    assert loaded(tmp_path, text).apps[0].access_token is None


def test_secrets_are_not_shown(tmp_path: Path):
    config = loaded(tmp_path, GOOD)

    assert "0123456789ABCDEF01234567" not in repr(config)
    assert SECRET_24 not in repr(config)
