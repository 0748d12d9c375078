import pytest
from command import Command
from game import WEBHOOK_SECRET
from world import ADMIN_TOKEN, SECRET_KEY

APP = """[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"
"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[apps", "okgames.toml:1: "),
        ("", "okgames.toml:1: "),
        (APP.replace("secret_key", "secret"), "okgames.toml:5: apps[0].secret: "),
        (APP.replace('secret_key = "', 'secret_key_env = "NO_'), "okgames.toml:5: apps[0].secret_key_env: "),
        (APP + 'timezone = "Mars"\n', "okgames.toml:6: apps[0].timezone: "),
        (
            APP + '[[apps.products]]\ncode = "a"\nname = "A"\nprice = -1\n',
            "okgames.toml:9: apps[0].products[0].price: ",
        ),
    ],
)
def test_error_of_the_file_names_its_line_and_key(command: Command, text: str, complaint: str) -> None:
    (command.directory / "okgames.toml").write_text(text)

    result = command.run("check-config")

    assert (2, "") == (result.returncode, result.stdout)
    assert f"okgames: {complaint}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OKGAMES_HTTP", "everywhere"),
        ("OKGAMES_CLOCK", "sundial"),
        ("OKGAMES_OK_API", "https://api.ok.ru"),
        ("OKGAMES_EVENT_LOG", "paper"),
        ("OKGAMES_ADMIN_TOKEN_FILE", "/nowhere"),
    ],
)
def test_wrong_variable_is_named(command: Command, variable: str, value: str) -> None:
    result = command.run("check-config", **{variable: value})

    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert variable in result.stderr


@pytest.mark.parametrize("arguments", [["up"], ["run", "notifier"], ["simulator"], ["migrate"], ["token", "list"]])
def test_nothing_starts_with_a_wrong_configuration(command: Command, arguments: list[str]) -> None:
    (command.directory / "okgames.toml").write_text(APP + "colour = 1\n")

    result = command.run(*arguments)

    assert (2, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "okgames.toml:6: apps[0].colour: " in result.stderr


@pytest.mark.parametrize(
    ("retention", "event_log", "is_warned"),
    [("14d", "kafka://broker:9092", True), ("15d", "kafka://broker:9092", False), ("14d", "postgres", False)],
)
def test_readers_that_forget_sooner_than_kafka_are_warned_of(
    command: Command, retention: str, event_log: str, is_warned: bool
) -> None:
    (command.directory / "okgames.toml").write_text(f'event_retention = "{retention}"\n{APP}')

    result = command.run("check-config", OKGAMES_EVENT_LOG=event_log)

    assert 0 == result.returncode
    assert is_warned == ("warning: event_retention: " in result.stderr)


def test_missing_file_is_an_error_that_names_the_variable(command: Command) -> None:
    result = command.run("check-config", OKGAMES_CONFIG="elsewhere.toml")

    assert 2 == result.returncode
    assert "elsewhere.toml" in result.stderr
    assert "OKGAMES_CONFIG" in result.stderr


def test_configuration_is_shown_without_secrets(program: Command) -> None:
    result = program.run("check-config", OKGAMES_DATABASE_URL="postgresql://okgames:hush@db/okgames")

    assert 0 == result.returncode
    assert "every 7d after a trial of 3d" in result.stdout
    assert "gives 3 apple every 1d" in result.stdout
    for secret in (SECRET_KEY, WEBHOOK_SECRET, ADMIN_TOKEN, "hush"):
        assert secret not in result.stdout + result.stderr


def test_warnings_do_not_fail(command: Command) -> None:
    (command.directory / "okgames.toml").write_text(APP)

    result = command.run("check-config")

    assert 0 == result.returncode
    assert "okgames: warning: Backgammon: no endpoint" in result.stderr
