from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, get_args

from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Topic
from okgames.service import Handler, Job, Service
from okgames.settings import Settings
from promo_scheduler.handlers import Heard, Sent, on_deliveries, on_jira, on_payments
from promo_scheduler.http import Api
from promo_scheduler.jobs import Drawing, Naming, Ticking
from promo_scheduler.store.payers import Payment, find_applications

_SAID: Final = (Topic.JIRA, Topic.DELIVERIES)
"""Where others tell what was done for a promotion."""


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Put the promo-scheduler together."""
    database = Database(settings.resolved_database_url, "promo_scheduler")
    ticking = Ticking(database, config)
    drawing = Drawing(database, clock, config, settings.ok_api)
    naming = Naming(database, clock, config, settings.ok_api)
    return Service(
        name="promo-scheduler",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        routes=Api(database, clock, config).routes(),
        handlers={
            Topic.PAYMENTS: Handler(partial(on_payments, clock), get_args(Payment), find_applications),
            Topic.JIRA: Handler(partial(on_jira, clock), get_args(Heard)),
            Topic.DELIVERIES: Handler(partial(on_deliveries, clock), get_args(Sent)),
        },
        jobs=[
            # A window's figures, and whether anybody paid at all, want every payment that was told by then.
            Job("tick", ticking.tick, every=timedelta(seconds=1), after_reading=True, woken_by=_SAID),
            Job("draw", drawing.look, every=timedelta(seconds=1), woken_by=_SAID),
            Job("name_winners", naming.look, every=timedelta(seconds=1), woken_by=_SAID),
        ],
    )
