from datetime import datetime
from typing import Final

from okgames.catalogue import Config, Plan, Product
from simulator.chance import Chance
from simulator.domain.callbacks import TransactionIds


class NotSold(Exception):
    """OK sells no such thing; the text says what is wrong."""


def sold_product(config: Config, application_key: str, code: str) -> Product:
    """Find what a player asks for, or raise."""
    app = config.app(application_key)
    if app is None:
        raise NotSold(f"no application {application_key}")
    product = app.product(code)
    if product is None:
        raise NotSold(f"no product {code}")
    return product


def plan_of(product: Product) -> Plan:
    """Return the plan of a subscription, or raise."""
    if product.subscription is None:
        raise NotSold(f"{product.code} is not a subscription")
    return product.subscription


def price_at(product: Product, time: datetime) -> int:
    """Return the price in force, in OKs, or raise; OK itself knows no overlap of an old price and a new one."""
    in_force = [price for price in product.prices if price.from_ is None or price.from_ <= time]
    if not in_force:
        raise NotSold(f"{product.code} has no price yet")
    return in_force[-1].oks


# Registered with OK and hashed with everything else; text that is not ASCII is where signatures go wrong.
_OPTIONS: Final = ("Три яблока каждый день", "Мешок золота + сундук", "50% & больше")
_NOTES: Final = ('{"note": "Три яблока & 2+2=4"}', '{"level":12,"offer":"весна"}')


def option(chance: Chance) -> tuple[tuple[str, str], ...]:
    """Draw a product_option now and then."""
    return (("product_option", chance.one_of(_OPTIONS)),) if chance.happens(0.1) else ()


def attributes(chance: Chance) -> tuple[tuple[str, str], ...]:
    """Draw what the game itself gave as attributes of a purchase now and then."""
    return (("extra_attributes", chance.one_of(_NOTES)),) if chance.happens(0.1) else ()


def missing_transaction_id(mode: TransactionIds, chance: Chance) -> str | None:
    """Return what stands for the id of a callback without a payment: nothing, or an empty text."""
    if mode is TransactionIds.MIXED:
        mode = chance.one_of((TransactionIds.ABSENT, TransactionIds.EMPTY))
    return None if mode is TransactionIds.ABSENT else ""
