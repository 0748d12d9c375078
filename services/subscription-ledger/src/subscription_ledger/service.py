from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import get_args

from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Topic
from okgames.service import Handler, Job, Service
from okgames.settings import Settings
from subscription_ledger.domain.entry import Payment
from subscription_ledger.handlers import on_deliveries, on_payments
from subscription_ledger.http import Api
from subscription_ledger.jobs import Watch, grant_rewards, lapse
from subscription_ledger.store.timeline import Outcome


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Put the ledger together."""
    database = Database(settings.resolved_database_url, "subscription_ledger")
    watch = Watch(database)
    return Service(
        name="subscription-ledger",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        routes=Api(config, clock, database, watch).routes(),
        handlers={
            Topic.PAYMENTS: Handler(partial(on_payments, config, clock), get_args(Payment)),
            Topic.DELIVERIES: Handler(partial(on_deliveries, clock), get_args(Outcome)),
        },
        jobs=[
            Job("lapse", partial(lapse, database), every=timedelta(seconds=1), after_reading=True),
            Job("grant_rewards", partial(grant_rewards, database), every=timedelta(seconds=1), after_reading=True),
            Job("watch", watch.look, every=timedelta(seconds=0.5), woken_by=[Topic.PAYMENTS]),
        ],
    )
