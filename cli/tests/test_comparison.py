from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.comparison import Difference, Kind, Line, Month, Standing, compare

MOSCOW = ZoneInfo("Europe/Moscow")
MARCH = Month(2026, 3, MOSCOW)
NOON = datetime(2026, 3, 10, 12, tzinfo=MOSCOW)


def line(transaction_id: str = "1", at: datetime = NOON, amount: int = 50, standing: Standing = Standing.PAID) -> Line:
    return Line(transaction_id, standing, at, amount, "500", "gold_100")


def found(ours: Sequence[Line], theirs: Sequence[Line]) -> list[Difference]:
    differences: list[Difference] = []
    place = attrgetter("place")
    compare(sorted(ours, key=place), sorted(theirs, key=place), MARCH, differences.append)
    return differences


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, None),
        ({"amount_oks": 51}, ("amount",)),
        ({"uid": "501"}, ("uid",)),
        ({"uid": None}, None),
        ({"product": "gold_500"}, ("product",)),
        ({"product": None}, None),
        ({"at": NOON + timedelta(hours=11, minutes=59)}, None),
        ({"at": NOON + timedelta(hours=12)}, ("day",)),
        ({"standing": Standing.UNPAID}, ("status",)),
        ({"standing": Standing.UNPAID, "amount_oks": 1}, ("status", "amount")),
    ],
)
def test_lines_with_one_id_are_compared_field_by_field(change: dict[str, object], fields: tuple[str, ...] | None):
    theirs = replace(line(), **change)

    assert ([] if fields is None else [Difference(Kind.DIFFERING, line(), theirs, fields)]) == found([line()], [theirs])


def test_a_line_of_one_side_is_found() -> None:
    assert [Difference(Kind.ONLY_OURS, line(), None)] == found([line()], [])
    assert [Difference(Kind.ONLY_THEIRS, None, line())] == found([], [line()])


def test_a_payment_that_ok_cancelled_and_we_never_took_is_no_difference() -> None:
    assert [] == found([], [line(standing=Standing.UNPAID)])


def test_a_payment_that_was_begun_and_then_paid_is_paid() -> None:
    assert [] == found([line()], [line(standing=Standing.UNPAID), line()])


def test_a_second_line_with_the_same_id_is_found() -> None:
    assert [Difference(Kind.TWICE, line(), line())] == found([line()], [line(), line()])
    assert [Kind.ONLY_THEIRS, Kind.TWICE] == [each.kind for each in found([], [line(), line()])]


def test_a_refund_is_told_and_no_transfer() -> None:
    refund = line("9", standing=Standing.REFUND)

    assert [Difference(Kind.REFUND, None, refund)] == found([], [refund, line("8", standing=Standing.TRANSFER)])


def test_payments_without_an_id_are_only_ours() -> None:
    assert [Kind.ONLY_OURS] * 2 == [each.kind for each in found([line(""), line("")], [])]


@pytest.mark.parametrize(
    ("at", "is_in_march"),
    [
        ("2026-02-28T23:59:59+03:00", False),
        ("2026-03-01T00:00:00+03:00", True),
        ("2026-03-31T23:59:59+03:00", True),
        ("2026-03-31T20:59:59+00:00", True),
        ("2026-03-31T21:00:00+00:00", False),
    ],
)
def test_a_month_is_the_application_s(at: str, is_in_march: bool) -> None:
    assert is_in_march == bool(found([line(at=datetime.fromisoformat(at))], []))


def test_midnight_between_two_months_makes_no_difference() -> None:
    before, after = MARCH.ends - timedelta(seconds=1), MARCH.ends + timedelta(seconds=1)

    assert [] == found([line(at=before)], [line(at=after)])
    assert [] == found([line(at=after)], [line(at=before)])


def test_a_line_that_moved_to_another_month_is_found_in_both() -> None:
    moved = line(at=MARCH.ends + timedelta(days=3))

    assert ("day",) == found([line()], [moved])[0].fields
    assert ("day",) == found([moved], [line()])[0].fields
    assert [] == found([moved], [moved])


def test_days_are_summed_up() -> None:
    theirs = [line("1"), line("2", amount=7), line("3", standing=Standing.REFUND, amount=50)]
    theirs.append(line("4", standing=Standing.TRANSFER, amount=1000))

    days = compare([line()], theirs, MARCH, lambda _: None)
    day = days[NOON.date()]

    assert [NOON.date()] == list(days)
    assert (1, 50) == (day.ours.count, day.ours.oks)
    assert (2, 57) == (day.theirs.count, day.theirs.oks)
    assert (1, 50) == (day.refunds.count, day.refunds.oks)
    assert (1, 1000) == (day.transfers.count, day.transfers.oks)
    assert 1 == day.differences


@pytest.mark.parametrize("text", ["2026-3", "2026-13", "2026-00", "March", "2026-03-01", "٢٠٢٦-03"])
def test_a_month_is_written_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2026-03"):
        Month.read(text, MOSCOW)


def test_months_have_their_days() -> None:
    assert [31, 28, 31, 31] == [
        len(Month.read(text, MOSCOW).days) for text in ("2026-01", "2026-02", "2026-03", "2026-12")
    ]
    assert "2026-12" == str(Month.read("2026-12", MOSCOW))
    assert 29 == len(Month.read("2028-02", ZoneInfo("America/New_York")).days)


DAMAGES = ("none", "drop ours", "drop theirs", "amount", "uid", "product", "day", "cancel", "twice")

books = st.dictionaries(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x4FF), min_size=1, max_size=4),
    st.tuples(
        st.integers(0, 31 * 24 * 60 - 1),
        st.integers(1, 1000),
        st.sampled_from(["500", "501"]),
        st.sampled_from(DAMAGES),
        st.booleans(),
    ),
    max_size=30,
)


@given(books)
def test_every_damage_is_found_and_nothing_else(book: dict[str, tuple[int, int, str, str, bool]]) -> None:
    ours: list[Line] = []
    theirs: list[Line] = []
    expected: set[tuple[Kind, str, tuple[str, ...]]] = set()
    for transaction_id, (minute, amount, uid, damage, has_refund) in book.items():
        one = Line(transaction_id, Standing.PAID, MARCH.begins + timedelta(minutes=minute), amount, uid, "gold")
        if has_refund:
            theirs.append(replace(one, standing=Standing.REFUND))
            expected.add((Kind.REFUND, transaction_id, ()))
        ours += [] if damage == "drop ours" else [one]
        match damage:
            case "none":
                theirs.append(one)
            case "drop ours":
                theirs.append(one)
                expected.add((Kind.ONLY_THEIRS, transaction_id, ()))
            case "drop theirs":
                expected.add((Kind.ONLY_OURS, transaction_id, ()))
            case "twice":
                theirs += [one, one]
                expected.add((Kind.TWICE, transaction_id, ()))
            case _:
                changed = {
                    "amount": replace(one, amount_oks=amount + 1),
                    "uid": replace(one, uid="502"),
                    "product": replace(one, product="silver"),
                    "day": replace(one, at=one.at + timedelta(days=1)),
                    "cancel": replace(one, standing=Standing.UNPAID),
                }
                theirs.append(changed[damage])
                expected.add((Kind.DIFFERING, transaction_id, ("status" if damage == "cancel" else damage,)))

    told = found(ours, theirs)

    assert expected == {(each.kind, _id(each), each.fields) for each in told}
    assert len(expected) == len(told)


def _id(difference: Difference) -> str:
    one = difference.ours or difference.theirs
    assert one is not None
    return one.transaction_id


@given(books)
def test_sums_differ_by_what_was_found(book: dict[str, tuple[int, int, str, str, bool]]) -> None:
    ours = [
        Line(key, Standing.PAID, MARCH.begins + timedelta(minutes=minute), amount)
        for key, (minute, amount, _, damage, _) in sorted(book.items())
        if damage != "drop ours"
    ]
    theirs = [
        Line(key, Standing.PAID, MARCH.begins + timedelta(minutes=minute), amount + (damage == "amount"))
        for key, (minute, amount, _, damage, _) in sorted(book.items())
        if damage != "drop theirs"
    ]
    told: list[Difference] = []
    days = compare(ours, theirs, MARCH, told.append)

    explained = sum(
        (each.ours.amount_oks if each.ours else 0) - (each.theirs.amount_oks if each.theirs else 0) for each in told
    )
    assert explained == sum(day.ours.oks - day.theirs.oks for day in days.values())
    assert len(told) == sum(day.differences for day in days.values())
