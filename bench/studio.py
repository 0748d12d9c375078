"""The studio that is measured: its keys, its products, and the callbacks that OK sends for its game."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from okgames.events import PaymentReceived, derive_id

APPLICATION_KEY: Final = "CBTESTKEYABABABABA"
SECRET_KEY: Final = "0123456789ABCDEF01234567"
WEBHOOK_SECRET: Final = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
ADMIN_TOKEN: Final = "bench-admin-token"
PRICES: Final = {"gold_100": 50, "gold_500": 200}
PLAYERS: Final = 50_000

_TIME: Final = "2026-03-02 10:15:30"
_QUOTED_TIME: Final = quote(_TIME)

_APP: Final = f"""
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "{APPLICATION_KEY}"
secret_key = "{SECRET_KEY}"
group_id = "70000000000001"
allowed_callers = ["127.0.0.0/8"]

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = {PRICES["gold_100"]}
reward = {{ item = "gold", quantity = 100 }}

[[apps.products]]
code = "gold_500"
name = "A chest of gold"
price = {PRICES["gold_500"]}
reward = {{ item = "gold", quantity = 500 }}

[[apps.products]]
code = "apples"
name = "Three apples each day"
price = 50
subscription = {{ period = "7d", trial = "3d" }}
reward = {{ item = "apple", quantity = 3, every = "1d" }}

[[apps.products]]
code = "vip"
name = "VIP"
price = 90
subscription = {{ period = "7d" }}
reward = {{ item = "crown", quantity = 1 }}
"""


def write_configuration(path: Path, game: str | None) -> None:
    """Write an okgames.toml; without an address the game has no endpoint and pulls its rewards."""
    endpoint = ""
    if game is not None:
        endpoint = f"""
[[apps.endpoints]]
url = "http://{game}/okgames"
secret = "{WEBHOOK_SECRET}"
events = ["*"]
"""
    path.write_text(_APP + endpoint)


def callback_target(number: int) -> str:
    """Return the signed callback of the purchase with this number; one player in so many buys again."""
    uid = 500_000_000_000 + number % PLAYERS
    transaction_id = f"{number}_1772435730123"
    hashed = (
        f"amount=50application_key={APPLICATION_KEY}call_id={number}method=callbacks.paymentproduct_code=gold_100"
        f"transaction_id={transaction_id}transaction_time={_TIME}uid={uid}{SECRET_KEY}"
    )
    return (
        f"/ok/callback?uid={uid}&amount=50&application_key={APPLICATION_KEY}&transaction_time={_QUOTED_TIME}"
        f"&product_code=gold_100&method=callbacks.payment&call_id={number}&transaction_id={transaction_id}"
        f"&sig={hashlib.md5(hashed.encode()).hexdigest()}"
    )


def number_of(transaction_id: str) -> int:
    """Return the number of the purchase that OK gave this transaction_id."""
    return int(transaction_id.partition("_")[0])


def purchase(number: int) -> PaymentReceived:
    """Return the event of a purchase, as the gateway would write it."""
    return PaymentReceived(
        id=derive_id("purchase", number),
        occurred_at=datetime.now(UTC),
        application_key=APPLICATION_KEY,
        uid=str(500_000_000_000 + number % PLAYERS),
        product="gold_100",
        transaction_id=f"{number}_1772435730123",
        amount_oks=PRICES["gold_100"],
    )
