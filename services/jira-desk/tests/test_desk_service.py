from pathlib import Path

import pytest
from desk_world import config

from jira_desk.service import service
from okgames.clock import SystemClock
from okgames.settings import Settings, SettingsError


def settings(clock: str) -> Settings:
    return Settings.model_validate(
        {
            "clock": clock,
            "ok_api": "http://127.0.0.1:8090",
            "database_url": "postgresql://unused",
            "config": Path("unused"),
        }
    )


def test_a_simulation_never_writes_to_oks_own_jira() -> None:
    with pytest.raises(SettingsError, match="movable is for simulations"):
        service(settings("movable"), config(url="https://jira.apiok.ru"), SystemClock())


def test_a_simulation_may_know_of_oks_own_jira_where_people_use_it() -> None:
    desk = service(settings("movable"), config("manual", url="https://jira.apiok.ru"), SystemClock())

    assert {"follow_jira", "run_errands", "fetch_reports"} == {job.name for job in desk.jobs}
