import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator

import pytest
from command import Command
from PIL import Image
from world import APPLICATION_KEY

LINK = "https://jira.example/PROMO-1"


@pytest.fixture
async def up(command: Command) -> AsyncIterator[Command]:
    async with command.running("up"):
        yield command


def possible_day(command: Command) -> str:
    """Ask for a day that is long over, and return the first that is offered instead."""
    result = command.run("promo", "plan", "2020-03-02", "--app", APPLICATION_KEY)

    assert 1 == result.returncode
    assert "The request would have been due by 2020-02-28 00:00 MSK." in result.stderr
    return result.stderr.split("The next possible days: ")[1].split(",")[0]


def planned(command: Command) -> str:
    row = json.loads(command.prints("promo", "plan", possible_day(command), "--app", APPLICATION_KEY, "--json"))
    return str(row["id"])


async def test_a_promotion_is_planned_asked_for_approved_and_shown(up: Command) -> None:
    promotion_id = planned(up)

    assert "is requested" in up.prints("promo", "request", promotion_id, "--link", LINK, "--by", "Anna")
    assert "is approved" in up.prints("promo", "approve", promotion_id, "--link", LINK)
    assert "is approved" in up.prints("promo", "evidence", promotion_id, "prize_fund", "--link", LINK, "--oks", "1000")
    shown = up.prints("promo", "show", promotion_id)
    for text in ("1,000 OKs: Backgammon", "conditions_post", "Anna", "prize_fund_oks   1000", "MSK"):
        assert text in shown
    assert "approved" in up.prints("promo", "list")
    assert "winner_post" in up.prints("promo", "calendar")
    assert up.prints("promo", "calendar", "--ics").startswith("BEGIN:VCALENDAR")


async def test_what_cannot_be_done_is_told_in_one_line(up: Command) -> None:
    promotion_id = planned(up)
    result = up.run("promo", "draw", promotion_id, "--name", "Backgammon")

    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "The promotion is planned, not approved." in result.stderr
    assert "okgames: given up" == up.run("promo", "draw", promotion_id).stderr.strip()
    wrong = "okgames: Wrong body: body: the step prize_fund wants amount_oks, and no other does"
    assert wrong == up.run("promo", "evidence", promotion_id, "prize_fund", "--link", LINK).stderr.strip()
    assert "is cancelled" in up.prints("promo", "cancel", promotion_id, "--reason", "no time")
    assert 2 == up.run("promo", "evidence", promotion_id, "placement").returncode
    assert 2 == up.run("promo", "approve", promotion_id, "--link", LINK, "--at", "yesterday").returncode
    assert 2 == up.run("promo", "show", "nothing").returncode


async def test_the_evidence_pack_has_all_files_their_checksums_and_a_page_with_nine_rules(up: Command) -> None:
    promotion_id = planned(up)
    up.prints("promo", "request", promotion_id, "--link", LINK)
    up.prints("promo", "approve", promotion_id, "--link", LINK)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    (up.directory / "fund.png").write_bytes(picture.getvalue())
    refused = up.run("promo", "evidence", promotion_id, "placement", "--file", "fund.png")
    assert "cannot be done before" in refused.stderr
    up.prints("promo", "evidence-pack", promotion_id, "--output", "pack.zip")

    with zipfile.ZipFile(up.directory / "pack.zip") as archive:
        sums = dict(reversed(line.split("  ")) for line in archive.read("SHA256SUMS").decode().splitlines())
        assert {"index.html", "promotion.json"} <= set(sums)
        assert sums == {name: hashlib.sha256(archive.read(name)).hexdigest() for name in sums}
        page = archive.read("index.html").decode()
    assert 9 == page.split("<h2>Steps</h2>")[0].count("<tr><td>")
