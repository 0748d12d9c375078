import pytest
from pydantic import ValidationError

from simulator.chance import Chance
from simulator.domain.faults import Fault, FaultMix, Mischief, Next


def strikes(mischief: Mischief, fault: Fault, times: int) -> list[bool]:
    return [mischief.strikes(fault, Chance("seed", time)) for time in range(times)]


@pytest.mark.parametrize("fault", Fault)
def test_no_fault_happens_unless_asked_for(fault: Fault) -> None:
    assert not any(strikes(Mischief(FaultMix()), fault, 100))


@pytest.mark.parametrize("fault", Fault)
def test_next_lets_a_fault_happen_so_many_times_and_then_never(fault: Fault) -> None:
    mischief = Mischief(FaultMix.model_validate({fault: {"next": 2}}))

    assert [True, True, False, False] == strikes(mischief, fault, 4)
    assert FaultMix.model_validate({fault: {"next": 0}}) == mischief.mix


def test_a_probability_is_drawn_each_time() -> None:
    happened = strikes(Mischief(FaultMix(lost_answers=0.3)), Fault.LOST_ANSWERS, 1_000)

    assert 200 < sum(happened) < 400
    assert all(strikes(Mischief(FaultMix(slow=1)), Fault.SLOW, 100))


@pytest.mark.parametrize(
    "wrong",
    [
        '{"lost_answer": 0.1}',
        '{"lost_answers": 1.1}',
        '{"lost_answers": -0.1}',
        '{"lost_answers": "often"}',
        '{"lost_answers": null}',
        '{"lost_answers": {"next": -1}}',
        '{"lost_answers": {"next": 1.5}}',
        '{"lost_answers": {"next": 1, "probability": 1}}',
        '{"transaction_id": "null"}',
        '{"slow_seconds": 3600}',
        "[]",
    ],
)
def test_a_mix_with_a_wrong_key_or_value_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        FaultMix.model_validate_json(wrong)


def test_what_is_left_of_next_can_be_read() -> None:
    mischief = Mischief(FaultMix(refunds=Next(next=3)))
    strikes(mischief, Fault.REFUNDS, 1)

    assert {"next": 2} == mischief.mix.model_dump(mode="json")["refunds"]
