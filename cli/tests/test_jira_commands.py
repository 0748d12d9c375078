import json
from collections.abc import AsyncIterator

import pytest
from command import Command
from world import APPLICATION_KEY


@pytest.fixture
async def up(command: Command) -> AsyncIterator[Command]:
    async with command.running("up"):
        yield command


async def test_a_request_is_copied_into_jira_and_followed_by_hand(up: Command) -> None:
    asked = ("jira", "request", "thousand_oks", "--app", APPLICATION_KEY, "--day", "2030-03-05")
    printed = up.prints(*asked)
    for text in ("request is for_person", "1,000 OKs: Backgammon", "CreateIssue.jspa", "application_key"):
        assert text in printed
    errand_id = str(json.loads(up.prints(*asked, "--json"))["id"])
    assert errand_id in up.prints("jira", "todo", "--state", "for_person")
    assert "the errand is done" in up.prints("jira", "done", errand_id, "--key", "PROMO-5")
    assert "PROMO-5 is Approved" in up.prints("jira", "record", "PROMO-5", "--status", "Approved")
    up.prints("jira", "record", "PROMO-5", "--comment", "Hello", "--author", "Olga")
    assert "approved" in up.prints("jira", "list")
    shown = up.prints("jira", "show", "PROMO-5")
    for text in ("status_changed", "comment_added", "Olga"):
        assert text in shown


async def test_further_accounts_are_asked_for_in_the_doc_task(up: Command) -> None:
    up.prints("jira", "record", "DOC-1", "--title", "Our company", "--status", "In Progress")
    values = ("first_name=Anna", "last_name=Petrova", "email=anna@example.org", "tasks=PROMO, REPORT")
    options = [part for value in values for part in ("--value", value)]
    printed = up.prints("jira", "comment", "DOC-1", "--template", "account", *options)
    errand_id = printed.split()[0]
    assert "anna@example.org" in printed
    up.prints("jira", "done", errand_id)
    assert "DOC-1" in up.prints("jira", "questions")
    assert "Anna Petrova" in up.prints("jira", "access")
    assert "manual" in up.prints("jira", "sync")


async def test_a_report_is_kept_listed_and_given_out(up: Command) -> None:
    file = up.directory / "отчёт.csv"
    file.write_text("Transaction;Time;OKs\n")
    kept = json.loads(up.prints("jira", "reports", "keep", "REPORT-3", str(file), "--month", "2026-03", "--json"))
    assert ("kept", "2026-03", APPLICATION_KEY) == (kept["state"], kept["month"], kept["application_key"])
    assert kept["sha256"] in up.prints("jira", "reports", "list", "--month", "2026-03")
    up.prints("jira", "reports", "note", kept["id"], "--month", "2026-02")
    assert kept["sha256"] not in up.prints("jira", "reports", "list", "--month", "2026-03")
    copy = up.directory / "copies" / "copy.csv"
    assert f"{copy}\n" == up.prints("jira", "reports", "get", kept["id"], "--to", str(copy))

    assert file.read_bytes() == copy.read_bytes()
    result = up.run("jira", "reports", "retry", kept["id"])
    assert (1, "okgames: Not now: The file is kept already.\n") == (result.returncode, result.stderr)


async def test_what_does_not_fit_is_told_in_one_line(up: Command) -> None:
    assert "no such" in up.run("jira", "pack", "00000000-0000-0000-0000-000000000000").stderr
    result = up.run("jira", "record", "NOPE-1", "--status", "Open")
    assert (2, 1) == (result.returncode, result.stderr.count("\n"))
    assert 2 == up.run("jira", "comment", "DOC-1", "--template", "account", "--value", "nothing").returncode
