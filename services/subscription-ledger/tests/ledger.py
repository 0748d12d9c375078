"""The ledger without its runtime: handlers and jobs called one by one, at times that the test sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
from subscription_lives import START

from okgames.catalogue import Config
from okgames.database import Database
from okgames.events import (
    Event,
    PaymentReceived,
    SubscriptionCancelled,
    SubscriptionPaid,
    Topic,
    TrialStarted,
    derive_id,
)
from subscription_ledger.domain.entry import Payment
from subscription_ledger.domain.subscription import Fact, FactKind
from subscription_ledger.handlers import on_payments
from subscription_ledger.jobs import grant_rewards, lapse

APP = "CBTESTKEYABABABABA"

CONFIG = """
[[apps]]
name = "Backgammon"
application_id = "1234567890"
application_key = "CBTESTKEYABABABABA"
secret_key = "0123456789ABCDEF01234567"
timezone = "Europe/Moscow"
group_id = "70000000000001"

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50
reward = { item = "gold", quantity = 100 }

[[apps.products]]
code = "map"
name = "A map"
price = 5

[[apps.products]]
code = "apples"
name = "Three apples each day"
description = "Get three bonus apples each day"
icon = "icons/apples.png"
price = 50
subscription = { period = "7d", trial = "3d", after_cancel = "stop", tolerance = "2h" }
reward = { item = "apple", quantity = 3, every = "1d" }

[[apps.products]]
code = "pears"
name = "A pear each day"
description = "Get a pear each day"
icon = "icons/pears.png"
price = 70
subscription = { period = "7d", trial = "3d", after_cancel = "until_end", tolerance = "2h" }
reward = { item = "pear", quantity = 1, every = "1d" }

[[apps.products]]
code = "chest"
name = "A weekly chest"
description = "Get a chest each week"
icon = "icons/chest.png"
price = 70
subscription = { period = "7d", trial = "3d", tolerance = "2h" }
reward = { item = "chest", quantity = 1 }

[[apps]]
name = "Chess"
application_id = "1234567891"
application_key = "CBOTHERKEYABABABAB"
secret_key = "0123456789ABCDEF01234568"
timezone = "Europe/Moscow"
group_id = "70000000000002"

[[apps.products]]
code = "gold_100"
name = "A bag of gold"
price = 50
reward = { item = "gold", quantity = 100 }
"""


@dataclass
class StoppedClock:
    """Tell the time that a test has set."""

    time: datetime = START

    async def now(self) -> datetime:
        return self.time


@dataclass
class Ledger:
    config: Config
    database: Database
    clock: StoppedClock = field(default_factory=StoppedClock)

    async def learn(self, *events: Payment) -> None:
        """Handle one batch."""
        async with self.database.transaction() as tx:
            await on_payments(self.config, self.clock, tx, events)

    async def run_jobs(self, at: datetime | None = None) -> None:
        if at is not None:
            self.clock.time = at
        for job in (lapse, grant_rewards):
            while await job(self.database, self.clock.time):
                pass

    async def rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.database.connection() as connection:
            return await connection.fetch(statement, *arguments)

    async def value(self, statement: str, *arguments: object) -> object:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def told(self, uid: str) -> list[tuple[str, str]]:
        """What went into the log of a player's entitlements: types and causes, in order."""
        rows = await self.rows(
            """
            select type, data::json ->> 'cause' as cause from event_log.events
            where topic = $1 and key = $2 and type <> 'RewardGranted' order by position
            """,
            Topic.ENTITLEMENTS,
            f"{APP}:{uid}",
        )
        return [(row["type"], row["cause"]) for row in rows]

    async def rewards(self, uid: str) -> list[tuple[str, int, timedelta]]:
        """Reasons, quantities and times of the rewards that a player was told of."""
        rows = await self.rows(
            """
            select
                data::json ->> 'reason' as reason, (data::json ->> 'quantity')::int as quantity, occurred_at
            from event_log.events
            where topic = $1 and key = $2 and type = 'RewardGranted' order by occurred_at, position
            """,
            Topic.ENTITLEMENTS,
            f"{APP}:{uid}",
        )
        return [(row["reason"], row["quantity"], row["occurred_at"] - START) for row in rows]


def purchase(uid: str, number: object, product: str = "gold_100", at: timedelta = timedelta(), app: str = APP) -> Event:
    return PaymentReceived(
        id=derive_id("purchase", app, uid, number),
        occurred_at=START + at,
        application_key=app,
        uid=uid,
        product=product,
        transaction_id=f"t{number}",
        amount_oks=50,
    )


def event_of(fact: Fact, uid: str, product: str = "apples") -> Payment:
    """Say what OK told as the gateway says it; ids are the player's own."""
    common = {
        "id": derive_id(fact.id, uid, product),
        "occurred_at": fact.occurred_at,
        "application_key": APP,
        "uid": uid,
        "product": product,
        "ends_at": fact.ends_at,
    }
    match fact.kind:
        case FactKind.TRIAL:
            return TrialStarted(**common)
        case FactKind.PAYMENT:
            return SubscriptionPaid(**common, transaction_id=fact.transaction_id, amount_oks=50)
        case FactKind.CANCELLATION:
            return SubscriptionCancelled(**common)


def events_of(facts: Sequence[Fact], uid: str, product: str = "apples") -> list[Payment]:
    return [event_of(fact, uid, product) for fact in facts]
