import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from command import Command
from world import APPLICATION_KEY

from okgames.database import Database
from okgames.events import GroupPostDue, PromotionPost, derive_id
from okgames.outbox import append
from okgames.testing import wait_until

NOW = datetime.now(UTC)
LINK = "https://ok.ru/group/70000000000001/topic/5"


@pytest.fixture
async def due(command: Command) -> AsyncIterator[Command]:
    """A running system, configured without an access token, that owes a group the conditions of a promotion."""
    async with command.running("up"):
        await want_conditions(command)
        await wait_until(lambda: rows(command, "posts", "list"))
        yield command


async def want_conditions(command: Command) -> None:
    event = GroupPostDue(
        id=derive_id("due"),
        occurred_at=NOW,
        application_key=APPLICATION_KEY,
        promotion_id=derive_id("promotion"),
        game="Backgammon",
        day=date(2026, 3, 3),
        post=PromotionPost.CONDITIONS,
        opens_at=NOW,
        closes_at=NOW + timedelta(days=1),
        prizes_oks=(1000,),
        winners=(),
        not_before=NOW,
        due_by=NOW + timedelta(hours=1),
    )
    database = Database(command.environment["OKGAMES_DATABASE_URL"], "notifier", max_connections=1)
    await database.open()
    async with database.transaction() as tx:
        await append(tx, event)
    await database.close()


def rows(command: Command, *arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in command.prints(*arguments, "--json").splitlines()]


async def test_a_draft_is_copied_reworded_and_published_by_hand(due: Command, tmp_path: Path) -> None:
    (draft,) = rows(due, "posts", "list", "--state", "draft", "--app", APPLICATION_KEY)
    post_id = str(draft["id"])
    shown = due.prints("posts", "show", post_id)
    (tmp_path / "text").write_text("Better, and in\ntwo lines.\n", encoding="utf-8")
    edited = due.prints("posts", "edit", post_id, "--text-file", str(tmp_path / "text"))
    due.prints("posts", "published", post_id, "--by", "Ann", "--link", LINK)

    assert "the configuration has no access_token" in shown
    assert shown.endswith(f"\n\n{draft['text']}\n")
    assert edited.endswith("\n\nBetter, and in\ntwo lines.\n")
    (published,) = rows(due, "posts", "list", "--promotion", str(derive_id("promotion")))
    assert ("published", "Ann", LINK) == (published["state"], published["published_by"], published["url"])


async def test_what_cannot_be_done_to_a_post_is_told(due: Command) -> None:
    (draft,) = rows(due, "posts", "list")
    post_id = str(draft["id"])
    without_link = due.run("posts", "published", post_id, "--by", "Ann")
    due.prints("posts", "published", post_id, "--by", "Ann", "--link", LINK)
    again = due.run("posts", "approve", post_id)

    assert (1, "okgames: Not now: give the link to the post on https://ok.ru\n") == (
        without_link.returncode,
        without_link.stderr,
    )
    assert (1, "okgames: Not now: it is published already\n") == (again.returncode, again.stderr)
