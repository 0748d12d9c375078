from datetime import datetime, timedelta

import pytest

from okgames.catalogue import Product
from okgames.tables import parse_duration


def product(*prices: tuple[str | None, int], overlap: str = "15m") -> Product:
    table = [
        {"oks": oks} | ({} if begins is None else {"from": datetime.fromisoformat(begins)}) for begins, oks in prices
    ]
    return Product.model_validate({"code": "a", "name": "A", "prices": table, "price_overlap": overlap})


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2020-01-01T00:00:00+03:00", {50}),
        ("2026-03-01T00:00:00+03:00", {50, 40}),
        ("2026-03-01T00:14:59+03:00", {50, 40}),
        ("2026-03-01T00:15:00+03:00", {40}),
        ("2026-02-28T20:59:59+00:00", {50}),
        ("2026-04-01T00:10:00+03:00", {40, 60}),
        ("2030-01-01T00:00:00+03:00", {60}),
    ],
)
def test_an_old_price_counts_for_a_short_time_beside_the_new_one(time: str, expected: set[int]):
    changing = product((None, 50), ("2026-03-01T00:00:00+03:00", 40), ("2026-04-01T00:00:00+03:00", 60))

    assert expected == changing.prices_at(datetime.fromisoformat(time))


def test_before_its_first_price_nothing_is_for_sale():
    coming = product(("2026-03-01T00:00:00+03:00", 40))

    assert frozenset() == coming.prices_at(datetime.fromisoformat("2026-02-28T23:59:59+03:00"))
    assert {40} == coming.prices_at(datetime.fromisoformat("2026-03-01T00:00:00+03:00"))


def test_an_overlap_may_reach_over_several_prices():
    wild = product((None, 1), ("2026-03-01T00:00:00+03:00", 2), ("2026-03-01T00:05:00+03:00", 3))

    assert {1, 2, 3} == wild.prices_at(datetime.fromisoformat("2026-03-01T00:06:00+03:00"))
    assert {2, 3} == wild.prices_at(datetime.fromisoformat("2026-03-01T00:16:00+03:00"))


def test_without_overlap_one_price_counts():
    strict = product((None, 50), ("2026-03-01T00:00:00+03:00", 40), overlap="0m")

    assert {40} == strict.prices_at(datetime.fromisoformat("2026-03-01T00:00:00+03:00"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", timedelta(days=7)),
        ("36h", timedelta(hours=36)),
        ("90m", timedelta(minutes=90)),
        ("1d12h", timedelta(days=1, hours=12)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_durations(text: str, expected: timedelta):
    assert expected == parse_duration(text)


@pytest.mark.parametrize(
    "value", ["", "7", "d", "7D", "-1d", "1.5d", "12h1d", " 7d", "7d ", "9999999999d", "\u0667d", 7, None]
)
def test_what_is_no_duration(value: object):
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(value)
