from datetime import UTC, datetime, timedelta

import pytest

from cli.books import (
    Account,
    AccountBook,
    Difference,
    OurCallback,
    OurEntitlement,
    OurReward,
    differences,
    game_accounts,
    our_accounts,
)
from cli.ok_books import OkBooks, OkNotice, OkSubscription, ok_accounts, rewards_due, standing
from okgames.catalogue import App

START = datetime(2026, 3, 2, 6, 10, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LATER = START + 365 * DAY


def trial(at: float, ends: float) -> OkNotice:
    return notice("trial_subscription", at, ends)


def paid(at: float, ends: float) -> OkNotice:
    return notice("reg_subscription", at, ends)


def left(at: float, ends: float) -> OkNotice:
    return notice("unsubscribe", at, ends)


def notice(action: str, at: float, ends: float, *, was_accepted: bool = True) -> OkNotice:
    """Make a notice of a day and its end, both counted from START."""
    return OkNotice(
        action=action, at=START + at * DAY, ends_at=START + ends * DAY, status="completed", was_accepted=was_accepted
    )


@pytest.mark.parametrize(
    ("notices", "expected"),
    [
        ([trial(0, 3)], 3),
        ([trial(0, 3), paid(3, 10), paid(10, 17)], 17),
        ([trial(0, 3), left(1.5, 3)], 2),
        ([trial(0, 3), left(0.1, 3), paid(0.2, 7.2)], 1 + 7),
        ([trial(0, 3), paid(3, 10), left(5.5, 10), paid(8, 15)], 3 + 3 + 7),
        # Charged again a little after a charge that OK gave up and we accepted.
        ([trial(0, 3), paid(3, 10), paid(3.05, 10.05)], 3 + 7 + 1),
        # Paid two days late, after it had lapsed.
        ([trial(0, 3), paid(5, 12)], 3 + 7),
        # Cancelled, while a renewal of the day before was still on its way.
        ([trial(0, 3), paid(3, 10), left(3.01, 3)], 3 + 1),
    ],
)
def test_each_day_that_is_covered_gives_a_reward(notices: list[OkNotice], expected: int) -> None:
    assert expected == rewards_due(notices, DAY, LATER)


@pytest.mark.parametrize(("days", "expected"), [(-0.1, 0), (0, 1), (0.9, 1), (1, 2), (2.5, 3), (3, 3), (9, 3)])
def test_rewards_come_with_time(days: float, expected: int) -> None:
    assert expected == rewards_due([trial(0, 3)], DAY, START + days * DAY)


@pytest.mark.parametrize(
    ("notices", "day", "expected"),
    [
        ([trial(0, 3)], 1, ("trial", 3)),
        ([trial(0, 3)], 3.05, ("trial", 3)),
        ([trial(0, 3)], 3.1, ("lapsed", 3)),
        ([trial(0, 3), paid(3, 10)], 4, ("active", 10)),
        ([trial(0, 3), paid(3, 10), left(4, 10)], 5, ("cancelled", 4)),
        ([trial(0, 3), left(4, 3)], 5, ("cancelled", 3)),
        ([trial(0, 3), left(1, 3), paid(2, 9)], 3, ("active", 9)),
    ],
)
def test_a_subscription_stands_as_its_last_notice_says(
    notices: list[OkNotice], day: float, expected: tuple[str, float]
) -> None:
    state, until = standing(notices, 2 * HOUR, START + day * DAY)

    assert expected == (state, (until - START) / DAY)


APP = App.model_validate(
    {
        "name": "Backgammon",
        "application_id": "1",
        "application_key": "KEY",
        "secret_keys": ["secret"],
        "products": [
            {
                "code": "gold_100",
                "name": "Gold",
                "prices": [{"oks": 50}],
                "reward": {"item": "gold", "quantity": 100},
            },
            {
                "code": "apples",
                "name": "Apples",
                "prices": [{"oks": 50}],
                "subscription": {"period": "7d", "trial": "3d"},
                "reward": {"item": "apple", "quantity": 3, "every": "1d"},
            },
        ],
    }
)


def ok_books(*, status: str = "completed", was_accepted: bool = True) -> OkBooks:
    return OkBooks.model_validate(
        {
            "payments": [
                {
                    "uid": "1",
                    "product": "gold_100",
                    "transaction_id": "t1",
                    "kind": "purchase",
                    "amount_oks": 50,
                    "status": status,
                    "was_accepted": was_accepted,
                    "at": START,
                }
            ],
            "subscriptions": [
                {
                    "uid": "1",
                    "product": "apples",
                    "state": "trial",
                    "ends_at": START + 3 * DAY,
                    "notices": [trial(0, 3).model_dump(), notice("unsubscribe", 1, 3, was_accepted=False).model_dump()],
                }
            ],
            "refunds": [],
            "callbacks": 3,
            "attempts": 3,
            "attempts_failed": 1,
            "extra_calls": {
                "duplicates": 0,
                "duplicates_answered_differently": 0,
                "forgeries": 0,
                "forgeries_accepted": 0,
            },
            "cashback_accounts": [],
            "cashback_calls": [],
            "winners": [],
            "posts": [],
            "notifications": [],
            "jira_issues": [],
        }
    )


def our_book(*, reward_ids: tuple[str, ...] = ("r1", "r2", "r3")) -> AccountBook:
    callbacks = [
        OurCallback(kind="purchase", product="gold_100", amount_oks=50, transaction_id="t1"),
        OurCallback(kind="trial", product="apples", amount_oks=None, transaction_id=None),
    ]
    rewards = [
        OurReward(
            reward_id=each,
            uid="1",
            product="gold_100" if each == "r1" else "apples",
            quantity=100 if each == "r1" else 3,
        )
        for each in reward_ids
    ]
    entitlements = [OurEntitlement(product="apples", state="trial", until=START + 3 * DAY)]
    return our_accounts({"1": callbacks}, {"1": entitlements}, rewards)


def game_book(*, until: datetime = START + 3 * DAY) -> AccountBook:
    return game_accounts(
        [(("1", "apples"), "trial", until)],
        [("r1", ("1", "gold_100"), 100), ("r2", ("1", "apples"), 3), ("r3", ("1", "apples"), 3)],
    )


ONE_DAY_IN = START + 1.5 * DAY


def test_books_that_say_the_same_do_not_differ() -> None:
    assert [] == differences(ok_accounts(ok_books(), APP, ONE_DAY_IN), our_book(), game_book())


def test_what_ok_gave_up_and_we_accepted_counts_and_is_told() -> None:
    books = ok_books(status="cancelled")

    assert [] == differences(ok_accounts(books, APP, ONE_DAY_IN), our_book(), game_book())
    assert (1, 2) == (books.granted_though_given_up, books.accepted)


def test_a_payment_that_we_do_not_know_of_differs() -> None:
    found = differences(ok_accounts(ok_books(was_accepted=False), APP, ONE_DAY_IN), our_book(), game_book())

    assert {"payments", "rewards", "items"} == {row.what for row in found if row.product == "gold_100"}


def test_a_reward_that_the_game_never_got_differs_by_its_id_too() -> None:
    ours = our_book(reward_ids=("r1", "r2", "r4"))

    found = differences(ok_accounts(ok_books(), APP, ONE_DAY_IN), ours, game_book())

    assert [
        Difference("-", "-", "reward r3", "-", "False", "True"),
        Difference("-", "-", "reward r4", "-", "True", "False"),
    ] == found


def test_another_end_of_a_subscription_differs() -> None:
    (row,) = differences(
        ok_accounts(ok_books(), APP, ONE_DAY_IN), our_book(), game_book(until=START + 3 * DAY + timedelta(seconds=1))
    )

    assert ("1", "apples", "subscription") == (row.uid, row.product, row.what)
    assert row.ok == row.okgames != row.game


def test_a_state_of_which_ok_never_told_differs() -> None:
    books = ok_books()
    cancelled = books.subscriptions[0].model_copy(update={"state": "cancelled"})
    books = books.model_copy(update={"subscriptions": (cancelled,)})

    (row,) = differences(ok_accounts(books, APP, ONE_DAY_IN), our_book(), game_book())

    assert "cancelled at OK, which told of trial" in row.ok


@pytest.mark.parametrize(
    ("state", "day", "expected"),
    [
        ("trial", 1, "trial"),
        ("trial", 3.1, "lapsed"),
        ("active", 3.05, "active"),
        ("failed", 1, "lapsed"),
        ("cancelled", 9, "cancelled"),
    ],
)
def test_what_ok_charges_in_vain_has_lapsed(state: str, day: float, expected: str) -> None:
    subscription = OkSubscription(uid="1", product="apples", state=state, ends_at=START + 3 * DAY, notices=())

    assert expected == subscription.state_at(START + day * DAY, 2 * HOUR)


def test_a_player_whom_only_one_book_knows_differs() -> None:
    ours = our_book()
    ours.accounts["2", "gold_100"] = Account(payments={"t2": 50})

    (row,) = differences(ok_accounts(ok_books(), APP, ONE_DAY_IN), ours, game_book())

    assert ("2", "payments", "[]", "[('t2', 50)]") == (row.uid, row.what, row.ok, row.okgames)
