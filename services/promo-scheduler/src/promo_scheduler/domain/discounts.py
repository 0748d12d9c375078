from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from okgames.catalogue import App, Product
from okgames.events import Discount
from promo_scheduler.domain.calendar import MOSCOW

_NEAR: Final = timedelta(days=1)
_JUST_BEFORE: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Prices:
    """Say which products are cheaper for the whole of a window, and which prices do not fit it."""

    discounts: tuple[Discount, ...]
    warnings: tuple[str, ...]


def prices_in(app: App, opens_at: datetime, closes_at: datetime) -> Prices:
    """Compare the catalogue's validity intervals with a promotion's window."""
    return Prices(
        tuple(each for product in app.products for each in _discounts(product, opens_at, closes_at)),
        tuple(each for product in app.products for each in _warnings(product, opens_at, closes_at)),
    )


def _discounts(product: Product, opens_at: datetime, closes_at: datetime) -> Iterator[Discount]:
    usual, price = _price_at(product, opens_at - _JUST_BEFORE), _price_at(product, opens_at)
    if usual is not None and price is not None and price < usual and not _changes(product, opens_at, closes_at):
        yield Discount(product=product.code, name=product.name, price_oks=price, usual_price_oks=usual)


def _warnings(product: Product, opens_at: datetime, closes_at: datetime) -> Iterator[str]:
    for time in _changes(product, opens_at, closes_at):
        yield f"The price of {product.code} changes during the promotion, at {_shown(time)}."
    for time in _changes(product, opens_at - _NEAR, opens_at):
        yield f"The price of {product.code} changes at {_shown(time)}, before the promotion begins."
    if next(_discounts(product, opens_at, closes_at), None) and _price_at(product, closes_at) == _price_at(
        product, opens_at
    ):
        yield f"The lower price of {product.code} goes on after the promotion."


def _changes(product: Product, after: datetime, before: datetime) -> list[datetime]:
    return [price.from_ for price in product.prices if price.from_ is not None and after < price.from_ < before]


def _price_at(product: Product, time: datetime) -> int | None:
    """Return the price that began last, without the overlap in which an older one is still accepted."""
    begun = [price.oks for price in product.prices if price.from_ is None or price.from_ <= time]
    return begun[-1] if begun else None


def _shown(time: datetime) -> str:
    return f"{time.astimezone(MOSCOW):%Y-%m-%d %H:%M} MSK"
