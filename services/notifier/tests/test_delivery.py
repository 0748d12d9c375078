from datetime import datetime, timedelta

import pytest
from notifier_world import KEY, NOW, SECRET

from notifier.domain.delivery import Answer, Delivered, EndpointGone, Outcome, decide_outcome, delivery_id
from notifier.domain.endpoint import Endpoint, Health, Pause, PauseReason, judge
from okgames.events import derive_id
from okgames.retry import Exhausted, RetryAt, decide_retry

DELIVERY = derive_id("a delivery")
SUCCESS = Answer(200, 5)
FAILURE = Answer(None, 15_000, error="TimeoutError")


def waiting(minutes: int, status: int) -> Answer:
    return Answer(status, 5, asked_wait=timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("answer", "step", "outcome"),
    [
        (Answer(200, 5), 0, Delivered()),
        (Answer(204, 5), 12, Delivered()),
        (Answer(299, 5), 0, Delivered()),
        (Answer(302, 5), 0, decide_retry(DELIVERY, 1, NOW)),
        (Answer(404, 5), 3, decide_retry(DELIVERY, 4, NOW)),
        (Answer(500, 5), 11, decide_retry(DELIVERY, 12, NOW)),
        (Answer(500, 5), 12, Exhausted()),
        (FAILURE, 0, decide_retry(DELIVERY, 1, NOW)),
        (FAILURE, 12, Exhausted()),
        (Answer(410, 5), 0, EndpointGone()),
        (Answer(410, 5), 12, EndpointGone()),
        (waiting(7, 429), 0, RetryAt(NOW + timedelta(minutes=7))),
        (waiting(7, 503), 0, RetryAt(NOW + timedelta(minutes=7))),
        (waiting(7, 500), 0, decide_retry(DELIVERY, 1, NOW)),
        (waiting(7, 429), 12, Exhausted()),
    ],
)
def test_what_follows_from_an_answer(answer: Answer, step: int, outcome: Outcome) -> None:
    assert outcome == decide_outcome(DELIVERY, step, answer, NOW)


def test_a_delivery_has_the_same_id_whenever_it_is_made() -> None:
    endpoint, other = derive_id("endpoint", 1), derive_id("endpoint", 2)

    assert delivery_id(DELIVERY, endpoint) == delivery_id(DELIVERY, endpoint)
    assert delivery_id(DELIVERY, endpoint) != delivery_id(DELIVERY, other)


def failures(count: int, over: timedelta) -> list[tuple[Answer, datetime]]:
    return [(FAILURE, NOW + over * number / (count - 1)) for number in range(count)]


@pytest.mark.parametrize(
    ("answers", "pause"),
    [
        ([], None),
        (failures(10, timedelta(hours=12)), Pause(PauseReason.FAILING, NOW + timedelta(hours=12))),
        (failures(9, timedelta(hours=12)), None),
        (failures(100, timedelta(hours=11, minutes=59)), None),
        (
            [
                *failures(10, timedelta(hours=11)),
                (SUCCESS, NOW + timedelta(hours=11)),
                (FAILURE, NOW + timedelta(days=1)),
            ],
            None,
        ),
        (
            [(SUCCESS, NOW), (Answer(410, 5), NOW + timedelta(hours=1))],
            Pause(PauseReason.GONE, NOW + timedelta(hours=1)),
        ),
        ([(Answer(410, 5), NOW), (SUCCESS, NOW)], Pause(PauseReason.GONE, NOW)),
    ],
)
def test_an_endpoint_is_paused_when_it_says_so_or_nothing_has_succeeded_for_long(
    answers: list[tuple[Answer, datetime]], pause: Pause | None
) -> None:
    assert pause == judge(Health(), answers)[1]


def test_failures_are_counted_since_the_last_success() -> None:
    later = NOW + timedelta(hours=1)

    assert Health(NOW, 2) == judge(Health(), [(FAILURE, NOW), (FAILURE, later)])[0]
    assert Health(later, 1) == judge(Health(NOW, 9), [(SUCCESS, NOW), (FAILURE, later)])[0]
    assert Health() == judge(Health(NOW, 9), [(SUCCESS, later)])[0]


def test_an_endpoint_gets_the_types_that_it_wants_and_shows_no_secret() -> None:
    everything = Endpoint(DELIVERY, KEY, "http://127.0.0.1/", (SECRET,), ("*",), False)
    rewards = Endpoint(DELIVERY, KEY, "http://127.0.0.1/", (SECRET,), ("reward.granted",), False)

    assert everything.wants("entitlement.changed")
    assert rewards.wants("reward.granted")
    assert not rewards.wants("entitlement.changed")
    assert SECRET not in repr(everything)
