import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.company import MIDNIGHT, company_of
from cli.demo import play
from cli.failures import Failed
from cli.lives import Action, Deed
from cli.promotion_day import FROM, Manager
from cli.stage import Stage, stage


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as one:
        yield one


def test_a_short_demo_ends_with_books_that_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == play(players=25, days=13, directory=tmp_path)

    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (True, [], []) == (report["agreement"], report["differing_rows"], report["wrong_at_the_game"])
    assert (25, report["callbacks_accepted"]) == (report["players"], report["journaled"])
    assert report["payments"] > 0
    assert report["rewards"] > report["payments"]
    assert report["delivery_attempts_failed"] > 0
    assert report["attempts_failed"] > 0
    rows = {row["what"]: row for row in report["promotion"]}
    for once in ("requests in JIRA", "screenshots there", "draws"):
        assert (1, 1, 1) == tuple(rows[once][book] for book in ("due", "ok", "okgames"))
    assert "Approved" == rows["their status"]["ok"]
    assert "completed" == rows["state"]["okgames"]
    shown = capsys.readouterr().out
    assert "the winner is named in the group" in shown
    assert "the books agree" in shown
    assert "day 13 of 13" in shown


async def test_a_reward_that_the_game_lost_is_named(on: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    async with company_of(on, "test") as company:
        for uid in ("1", "2"):
            await company.ok.act(Action(MIDNIGHT, uid, Deed.PURCHASE, "gold_100"))
        await company.come_to_rest()
        lost = next(each for each in company.game.books.rewards.values() if each.uid == "2")
        del company.game.books.rewards[lost.reward_id]
        report = await company.report(["1", "2"], 1, 0)

    assert not report.agreement
    rows = [(row.uid, row.product, row.what, row.ok, row.okgames, row.game) for row in report.differing_rows]
    assert [
        ("2", "gold_100", "rewards", "1", "1", "0"),
        ("2", "gold_100", "items", "100", "100", "0"),
        ("-", "-", f"reward {lost.reward_id}", "-", "True", "False"),
    ] == rows
    shown = capsys.readouterr().out
    assert "DO NOT AGREE" in shown
    assert "3 rows differ" in shown


async def test_a_promotion_that_comes_to_nothing_is_named(on: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    async with company_of(on, "test") as company:
        manager = Manager(company.ok, company.okgames, MIDNIGHT + FROM)
        scenes = manager.scenes()
        for at in sorted(scenes):
            await company.ok.move({"to": at.isoformat()})
            await scenes[at]()
        await company.come_to_rest()
        report = await company.report([], 10, 0, manager.promotion_id)

    assert not report.agreement
    named = {row.what: row.okgames for row in report.differing_rows}
    assert ("closed", "0") == (named["state: completed due"], named["draws: 1 due"])
    assert "given up, because" in capsys.readouterr().out


def test_two_demos_do_not_play_in_one_folder(on: Stage, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="another demo is playing"):
        play(directory=tmp_path)


def test_a_demo_begins_with_an_empty_database_each_time(tmp_path: Path) -> None:
    assert [0, 0] == [play(players=3, days=1, directory=tmp_path) for _ in range(2)]
