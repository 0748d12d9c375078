from datetime import timedelta
from pathlib import Path

import pytest

from okgames.config import ConfigError, load_config
from okgames.jira_account import Jira, JiraMeaning, JiraRequestKind, JiraTask

APP = """\
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"

"""
PROMO = '[[jira.projects]]\ntask = "PROMO"\nkey = "PROMO"\nmode = "rest"\n'


def loaded(tmp_path: Path, text: str) -> Jira:
    file = tmp_path / "okgames.toml"
    file.write_text(APP + text)
    return load_config(file).jira


def error(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as failure:
        loaded(tmp_path, text)
    return str(failure.value).partition(":")[2].partition(": ")[2]


def test_without_a_table_everything_is_done_by_hand(tmp_path: Path) -> None:
    jira = loaded(tmp_path, "")

    assert {"manual"} == {jira.project(task).mode for task in JiraTask}
    assert [*JiraTask] == [jira.project(task).key for task in JiraTask]
    assert (True, timedelta(minutes=2)) == (jira.is_real, jira.every)


def test_a_project_says_how_its_tasks_are_dealt_with(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    jira = loaded(
        tmp_path,
        '[jira]\nurl = "http://127.0.0.1:8090/"\ntoken_file = "token"\nstatuses = { "Согласовано" = "approved" }\n'
        + PROMO.replace('"PROMO"\nmode', '"PR"\nmode')
        + 'issue_types = { thousand_oks = "1000 OK" }\nfields = { day = "customfield_10010" }\n',
    )

    assert "secret" == jira.tokens[0].get_secret_value()
    assert "secret" not in repr(jira)
    assert ("http://127.0.0.1:8090", False) == (jira.url, jira.is_real)
    assert {"Согласовано": JiraMeaning.APPROVED} == jira.statuses
    promo = jira.project(JiraTask.PROMO)
    assert ("PR", "rest") == (promo.key, promo.mode)
    assert {JiraRequestKind.THOUSAND_OKS: "1000 OK"} == promo.issue_types


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROMO, "jira.projects[0].mode: wants an account: give jira.token, or jira.user and jira.password"),
        ('[jira]\nuser = "studio"\n', "jira.user: must come with a password, and a password with it"),
        ('[jira]\npassword = "secret"\n', "jira.user: must come with a password, and a password with it"),
        (
            '[jira]\nuser = "studio"\npassword = "secret"\ntoken = "secret"\n',
            "jira.password: is there beside token: give one of them",
        ),
        ('[jira]\nurl = "https://studio:secret@jira.example"\n', "jira.url: must have no user, password, query"),
        ('[jira]\nurl = "jira"\n', "jira.url: must be an address, such as https://jira.apiok.ru"),
        ('[jira]\ntoken = ""\n', "jira.token: must not be empty"),
        ('[jira]\ntokn = "secret"\n', "jira.tokn: is no key of this table; did you mean token?"),
        (PROMO.replace('"rest"', '"rst"'), "jira.projects[0].mode: must be 'manual' or 'rest'"),
        (PROMO.replace('"rest"', '"manual"') * 2, "jira.projects[1].task: is the same as projects[0].task"),
    ],
)
def test_an_error_names_its_key_and_no_secret(tmp_path: Path, text: str, message: str) -> None:
    found = error(tmp_path, text)

    assert message in found
    assert "secret" not in found
