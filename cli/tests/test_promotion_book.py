from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from cli.books import Difference
from cli.game_server import GameBooks, WinnerBody
from cli.ok_books import OkBooks
from cli.promotion_book import OurIssue, OurPost, OurPromotion, promotion_differences, promotion_rows

OPENS = datetime(2026, 3, 9, 21, tzinfo=UTC)
CLOSES = OPENS + timedelta(days=1)
SECOND = timedelta(seconds=1)
ID = UUID(int=1)


def paid(uid: str, at: datetime, *, was_accepted: bool = True) -> Mapping[str, Any]:
    return {
        "uid": uid,
        "product": "gold_100",
        "transaction_id": f"{uid} {at}",
        "kind": "purchase",
        "amount_oks": 50,
        "status": "completed",
        "was_accepted": was_accepted,
        "at": at,
    }


OK = OkBooks.model_validate(
    {
        "payments": [
            paid("1", OPENS),
            paid("1", OPENS + SECOND),
            paid("2", CLOSES - SECOND),
            paid("2", OPENS + SECOND, was_accepted=False),
            paid("3", OPENS - SECOND),
            paid("4", CLOSES),
        ],
        "subscriptions": [],
        "refunds": [],
        "callbacks": 6,
        "attempts": 6,
        "attempts_failed": 1,
        "extra_calls": {
            "duplicates": 0,
            "duplicates_answered_differently": 0,
            "forgeries": 0,
            "forgeries_accepted": 0,
        },
        "cashback_accounts": [{"paid_oks": 1000}],
        "cashback_calls": [{"winners": ["2"]}],
        "winners": [{"uid": "2"}],
        "posts": [{"text": "Buy and win!"}, {"text": "2 has won."}],
        "notifications": [{"status": "ADMINS_ONLY"}, {"status": "PUBLIC"}],
        "jira_issues": [
            {
                "key": "PROMO-1",
                "status": "Approved",
                "comments": [{"body": "Prize fund: 1000 OK"}],
                "attachments": [("morning.png", "a checksum")],
            }
        ],
    }
)

OURS = OurPromotion.model_validate(
    {
        "id": ID,
        "name": "Backgammon 2026-03-10",
        "state": "completed",
        "opens_at": OPENS,
        "closes_at": CLOSES,
        "prizes_oks": [1000],
        "prize_fund_oks": 1000,
        "takings": {"payers": 2, "payments": 3, "amount_oks": 150},
        "steps": [{"in_time": True}] * 10,
        "draw": {"attempted_at": CLOSES},
        "winners": [{"uid": "2", "prize_oks": 1000, "is_payer": True}],
    }
)

ISSUE = OurIssue.model_validate(
    {
        "key": "PROMO-1",
        "status": "Approved",
        "comments": [{"text": "Prize fund: 1000 OK"}],
        "attachments": [{"file_name": "morning.png"}],
    }
)

TEXTS = {"conditions": "Buy and win!", "winner": "2 has won.", "rehearsal": "Win!", "notification": "Win!"}
POSTS = [OurPost(id=ID, kind=kind, state="published", text=text) for kind, text in TEXTS.items()]


def game(winner: str = "2", *, times: int = 1) -> GameBooks:
    kinds = Counter({f"promotion.{kind}": 1 for kind in ("scheduled", "opened", "closed")})
    kinds["promotion.winner_drawn"] = times
    return GameBooks(winners=[WinnerBody(uid=winner, prize_oks=1000)] * times, kinds=kinds)


def found(
    ok: Mapping[str, object] | None = None,
    ours: Mapping[str, object] | None = None,
    posts: list[OurPost] = POSTS,
    told: GameBooks | None = None,
    issues: Sequence[OurIssue] = (ISSUE,),
) -> list[Difference]:
    """Compare the books above, some of them changed."""
    books = OkBooks.model_validate({**OK.model_dump(), **(ok or {})})
    promotion = OurPromotion.model_validate({**OURS.model_dump(), **(ours or {})})
    return promotion_differences(promotion_rows(books, promotion, issues, posts, told or game()))


def test_a_promotion_of_which_all_books_say_the_same_does_not_differ() -> None:
    assert [] == found()


def test_a_prize_that_was_paid_twice_differs() -> None:
    ok = {
        "cashback_accounts": [{"paid_oks": 2000}],
        "cashback_calls": [{"winners": ["2"]}, {"winners": ["1"]}],
        "winners": [{"uid": "2"}, {"uid": "1"}],
    }

    assert [
        Difference("-", "1,000 OKs", "draws: 1 due", "2", "1", "-"),
        Difference("-", "1,000 OKs", "cashback, OKs: 1000 due", "2000", "1000", "1000"),
        Difference("-", "1,000 OKs", "winner", "2, 1", "2", "2"),
    ] == found(ok)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ({"state": "unresolved"}, {"state: completed due"}),
        ({"steps": [{"in_time": True}] * 8 + [{"in_time": False}, {"in_time": None}]}, {"steps done in time: 10 due"}),
        ({"takings": {"payers": 1, "payments": 3, "amount_oks": 150}}, {"payers"}),
        ({"takings": {"payers": 2, "payments": 2, "amount_oks": 100}}, {"payments", "OKs paid"}),
        ({"winners": [{"uid": "2", "prize_oks": 1000, "is_payer": False}]}, {"winners who paid: 1 due"}),
        ({"winners": [{"uid": "1", "prize_oks": 1000, "is_payer": True}]}, {"winner"}),
        ({"winners": [{"uid": "4", "prize_oks": 1000, "is_payer": True}]}, {"winner", "winners who paid: 1 due"}),
        ({"draw": None}, {"draws: 1 due"}),
        ({"prize_fund_oks": None}, {"prize fund, OKs: 1000 due"}),
    ],
)
def test_what_okgames_says_otherwise_than_ok_differs(ours: Mapping[str, object], expected: set[str]) -> None:
    assert expected == {row.what for row in found(ours=ours)}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Buy and win!"], {"winner post: 1 due", "posts in the group: 2 due"}),
        (["Buy and win!", "2 has won.", "2 has won."], {"winner post: 1 due", "posts in the group: 2 due"}),
        (["Buy and win!", "2 has won!"], {"winner post: 1 due"}),
    ],
)
def test_a_post_that_is_not_in_the_group_just_once_differs(texts: list[str], expected: set[str]) -> None:
    assert expected == {row.what for row in found({"posts": [{"text": text} for text in texts]})}


def test_a_post_that_okgames_has_not_published_differs() -> None:
    assert {"notification: 1 due"} == {row.what for row in found(posts=POSTS[:-1])}


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ({"status": "Declined"}, {"their status"}),
        ({"comments": []}, {"comments there", "other comments: 0 due"}),
        ({"comments": [{"body": "Prize fund: 100 OK"}]}, {"other comments: 0 due"}),
        ({"attachments": []}, {"screenshots there: 1 due"}),
        ({"attachments": [("morning.png", "a checksum")] * 2}, {"screenshots there: 1 due"}),
    ],
)
def test_a_request_that_is_otherwise_in_jira_differs(theirs: Mapping[str, object], expected: set[str]) -> None:
    issue = {**OK.jira_issues[0].model_dump(), **theirs}

    assert expected == {row.what for row in found({"jira_issues": [issue]})}


def test_a_request_that_is_in_jira_twice_or_not_at_all_differs() -> None:
    twice = [OK.jira_issues[0].model_dump()] * 2

    assert "requests in JIRA: 1 due" in {row.what for row in found({"jira_issues": twice})}
    assert "requests in JIRA: 1 due" in {row.what for row in found({"jira_issues": []}, issues=())}


def test_a_game_that_was_told_of_another_winner_differs() -> None:
    assert [Difference("-", "1,000 OKs", "winner", "2", "2", "1")] == found(told=game("1"))


def test_a_game_that_was_told_twice_or_never_differs() -> None:
    expected = {"cashback, OKs: 1000 due", "winner", "told of winner_drawn: 1 due"}

    assert [expected, expected] == [{row.what for row in found(told=game(times=times))} for times in (0, 2)]
