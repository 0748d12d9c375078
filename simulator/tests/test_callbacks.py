from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from okgames.ok_protocol import CallbackAction, sign
from simulator.domain.callbacks import Callback, Change, Player

SECRET = "0123456789ABCDEF01234567"
MOSCOW = ZoneInfo("Europe/Moscow")


def callback(
    time: str,
    call_id: int,
    product: str = "apples",
    transaction_id: str | None = None,
    amount_oks: int = 50,
    change: Change | None = None,
    uid: str = "500000000001",
    extras: tuple[tuple[str, str], ...] = (),
) -> Callback:
    return Callback(
        player=Player("CBTESTKEYABABABABA", uid),
        product=product,
        at=moscow(time),
        call_id=call_id,
        amount_oks=amount_oks,
        transaction_id=transaction_id,
        change=change,
        extras=extras,
    )


def moscow(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{time}").replace(tzinfo=MOSCOW).astimezone(UTC)


def change(action: CallbackAction, ends_at: str, trial: timedelta | None = None) -> Change:
    return Change(action, moscow(ends_at), trial)


@pytest.mark.parametrize(
    ("sent", "signature"),
    [
        (
            callback("02 10:15:30", 1772435730123, "gold_100", "576256_1772435730123"),
            "aec073008f55336b3cb430b98f277328",
        ),
        (
            callback(
                "02 10:15:31",
                1772435731000,
                "gold_100",
                "576256_1772435731000",
                extras=(("extra_attributes", '{"note": "Три яблока & 2+2=4"}'),),
            ),
            "fabc15eacb85bbdb594964b901d83937",
        ),
        (
            callback(
                "02 10:20:00",
                1772436000000,
                transaction_id="576257_1772436000000",
                change=change(CallbackAction.REG_SUBSCRIPTION, "09 10:20:00"),
                extras=(("product_option", "Три яблока каждый день"),),
            ),
            "5e8a432e30bf89a87db9a661185ab958",
        ),
        (
            callback(
                "09 10:20:00",
                1773040800000,
                transaction_id="576258_1773040800000",
                change=change(CallbackAction.REG_SUBSCRIPTION, "16 10:20:00"),
            ),
            "aef1a0cd478ca4d1dbaf5b28dbaacb64",
        ),
        (
            callback(
                "02 10:20:01",
                1772436001000,
                amount_oks=0,
                change=change(CallbackAction.TRIAL_SUBSCRIPTION, "05 10:20:00", timedelta(days=3)),
            ),
            "b441e58ba6bab07ddc31e08b452496f2",
        ),
        (
            callback(
                "02 10:20:01",
                1772436001000,
                transaction_id="",
                amount_oks=0,
                change=change(CallbackAction.TRIAL_SUBSCRIPTION, "05 10:20:00", timedelta(days=3)),
            ),
            "ff10a7f169e739dd5838d05caa8c241c",
        ),
        (
            callback("04 18:00:00", 1772636400000, change=change(CallbackAction.UNSUBSCRIBE, "09 10:20:00")),
            "b42a14fa944edfeb55b8f1ca76b11033",
        ),
        (
            callback("02 10:36:46", 1772437006000, "gold_100", "576265_1772437006000", uid="9007199254740993"),
            "c31e19dd61660758463ad45c72fe9c05",
        ),
    ],
    ids=["purchase", "attributes", "first payment", "renewal", "trial", "empty id", "unsubscribe", "uid above 2^53"],
)
def test_callbacks_are_those_of_the_known_vectors(sent: Callback, signature: str) -> None:
    assert signature == sign(sent.parameters(MOSCOW), SECRET)


def test_a_trial_that_is_no_whole_days_tells_the_days_that_are_full() -> None:
    def trial_days(trial: timedelta) -> str | None:
        sent = callback("02 10:20:00", 1, change=change(CallbackAction.TRIAL_SUBSCRIPTION, "05 10:20:00", trial))
        return sent.parameters(MOSCOW).get("trial_days")

    assert ["1", "1", None] == [trial_days(timedelta(hours=hours)) for hours in (24, 36, 12)]
