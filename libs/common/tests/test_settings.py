import os
from pathlib import Path

import pytest

from okgames.kafka import KafkaAddress
from okgames.settings import HttpAddress, SettingsError, load_settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OKGAMES_"):
            monkeypatch.delenv(name)


def test_everything_has_a_default():
    settings = load_settings()

    assert Path("okgames.toml") == settings.config
    assert settings.database_url is None
    assert Path("var") == settings.data_dir
    assert "postgres" == settings.event_log
    assert HttpAddress("127.0.0.1", 8080) == settings.http
    assert HttpAddress("127.0.0.1", 8081) == settings.management_http
    assert settings.admin_token is None
    assert "https://api.ok.ru" == settings.ok_api
    assert HttpAddress("127.0.0.1", 8090) == settings.simulator_http
    assert "system" == settings.clock
    assert "info" == settings.log_level


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("CONFIG", "/etc/okgames.toml", Path("/etc/okgames.toml")),
        ("DATABASE_URL", "postgresql://me@db/games", "postgresql://me@db/games"),
        ("DATA_DIR", "/data", Path("/data")),
        ("EVENT_LOG", "kafka://one:9092,two:9093", KafkaAddress(("one:9092", "two:9093"))),
        ("EVENT_LOG", "kafka://one:9092/games", KafkaAddress(("one:9092",), "games")),
        ("MEMBER", "okgames-notifier-0", "okgames-notifier-0"),
        ("HTTP", "0.0.0.0:80", HttpAddress("0.0.0.0", 80)),
        ("MANAGEMENT_HTTP", "[::1]:8081", HttpAddress("::1", 8081)),
        ("SIMULATOR_HTTP", "localhost:0", HttpAddress("localhost", 0)),
        ("OK_API", "http://127.0.0.1:8090/", "http://127.0.0.1:8090"),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_FORMAT", "console", "console"),
        ("LOG_FORMAT", "json", "json"),
    ],
)
def test_a_variable_or_the_file_that_it_names_sets_a_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str, expected: object
):
    with monkeypatch.context() as directly:
        directly.setenv(f"OKGAMES_{variable}", value)
        assert expected == getattr(load_settings(), variable.lower())

    file = tmp_path / "value"
    file.write_text(f"{value}\n")
    monkeypatch.setenv(f"OKGAMES_{variable}_FILE", str(file))
    assert expected == getattr(load_settings(), variable.lower())


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OKGAMES_DATABASE_URL", "")
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN", "")

    assert load_settings().database_url is None
    assert load_settings().admin_token is None


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("DATABASE_URL", "mysql://me:hidden@db/x", "must be an address that begins with postgresql://"),
        ("EVENT_LOG", "kafka", "must be postgres, or kafka://host:port[,host:port]"),
        ("EVENT_LOG", "kafka://one", "must be postgres, or kafka://host:port[,host:port]"),
        ("EVENT_LOG", "kafka://one:9092/a b", "must be postgres, or kafka://host:port[,host:port]"),
        ("MEMBER", "a b", "must be letters, digits, dots, hyphens and underscores"),
        ("HTTP", "8080", "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("HTTP", ":8080", "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("HTTP", "localhost:http", "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("HTTP", "localhost:65536", "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("MANAGEMENT_HTTP", "::1:8080", "must be host:port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("OK_API", "api.ok.ru", "must be an address, such as http://127.0.0.1:8090"),
        ("CLOCK", "fast", "must be 'system' or 'movable'"),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "must be 'json' or 'console'"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: str
):
    monkeypatch.setenv(f"OKGAMES_{variable}", value)

    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert f"OKGAMES_{variable}: {error}" == str(failure.value)


def test_each_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OKGAMES_HTTP", "8080")
    monkeypatch.setenv("OKGAMES_CLOCK", "fast")

    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert ["OKGAMES_HTTP", "OKGAMES_CLOCK"] == [line.split(":")[0] for line in str(failure.value).splitlines()]


def test_a_variable_and_its_file_exclude_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN", "one")
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(SettingsError, match="OKGAMES_ADMIN_TOKEN_FILE is set beside OKGAMES_ADMIN_TOKEN"):
        load_settings()


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(SettingsError) as failure:
        load_settings()
    assert f"OKGAMES_ADMIN_TOKEN_FILE: {tmp_path}/token: No such file or directory" == str(failure.value)


def test_an_empty_file_is_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "token").write_text("\n")
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN_FILE", str(tmp_path / "token"))

    with pytest.raises(SettingsError, match="OKGAMES_ADMIN_TOKEN: must not be empty"):
        load_settings()


@pytest.mark.parametrize("address", [None, "https://api.ok.ru/", "http://API.ok.ru", "https://api.odnoklassniki.ru"])
def test_a_movable_clock_is_refused_together_with_the_real_ok(monkeypatch: pytest.MonkeyPatch, address: str | None):
    monkeypatch.setenv("OKGAMES_CLOCK", "movable")
    if address is not None:
        monkeypatch.setenv("OKGAMES_OK_API", address)

    with pytest.raises(
        SettingsError, match=r"^OKGAMES_CLOCK: movable .* set OKGAMES_OK_API to the simulator's address"
    ):
        load_settings()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8090", "http://book.ru", "http://ok.ru.test"])
def test_a_movable_clock_goes_with_any_other_address(monkeypatch: pytest.MonkeyPatch, address: str):
    monkeypatch.setenv("OKGAMES_CLOCK", "movable")
    monkeypatch.setenv("OKGAMES_OK_API", address)

    assert "movable" == load_settings().clock


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OKGAMES_ADMIN_TOKEN", "hidden-token")
    monkeypatch.setenv("OKGAMES_DATABASE_URL", "postgresql://me:hidden@db/games")

    settings = load_settings()

    assert "hidden" not in repr(settings) + str(settings)


def test_an_address_reads_as_it_was_written():
    assert "127.0.0.1:8080" == str(HttpAddress("127.0.0.1", 8080))
    assert "[::1]:8080" == str(HttpAddress("::1", 8080))
