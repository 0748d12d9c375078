from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from cli.lives import LEAVING, SHOPPING, Action, Deed, actions, uids
from simulator.chance import Chance

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def month() -> list[Action]:
    return actions(Chance("test"), uids(300), MIDNIGHT, 30)


def test_the_same_seed_makes_the_same_lives(month: list[Action]) -> None:
    assert month == actions(Chance("test"), uids(300), MIDNIGHT, 30)
    assert month != actions(Chance("other"), uids(300), MIDNIGHT, 30)


def test_uids_are_different_and_some_have_more_than_53_bits() -> None:
    names = uids(1000)

    assert 1000 == len(set(names))
    assert any(int(name) > 2**53 for name in names)
    assert max(map(int, names)) < 2**63


def test_everything_happens_in_order_and_within_the_month(month: list[Action]) -> None:
    assert sorted(month, key=lambda action: action.at) == month
    assert all(MIDNIGHT <= action.at < MIDNIGHT + timedelta(days=30) for action in month)


def test_a_player_cancels_only_what_was_subscribed_to(month: list[Action]) -> None:
    by_player = groupby(sorted(month, key=lambda action: action.uid), lambda action: action.uid)
    for _, life in by_player:
        deeds = [action.deed for action in life if action.deed is not Deed.PURCHASE]
        assert all(
            deed is (Deed.SUBSCRIBE if number % 2 == 0 else Deed.UNSUBSCRIBE) for number, deed in enumerate(deeds)
        )


def test_nobody_cancels_at_the_time_of_day_at_which_somebody_begins(month: list[Action]) -> None:
    begin, leave = (
        {action.at.time() for action in month if (action.deed is Deed.UNSUBSCRIBE) == leaves}
        for leaves in (False, True)
    )

    assert (set(SHOPPING), set(LEAVING)) == (begin, leave)
    assert not begin & leave


def test_players_stay_leave_in_the_trial_leave_later_and_come_back(month: list[Action]) -> None:
    counts = {uid: [0, 0] for uid in uids(300)}
    for action in month:
        counts[action.uid][0] += action.deed is Deed.SUBSCRIBE
        counts[action.uid][1] += action.deed is Deed.UNSUBSCRIBE
    lives = {tuple(count) for count in counts.values()}

    assert {(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)} <= lives
