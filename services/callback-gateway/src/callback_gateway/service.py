from datetime import timedelta
from pathlib import Path
from typing import Final

from callback_gateway.http import Api, Callbacks
from callback_gateway.jobs import Journal, RefusalSamples
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.service import Job, Route, Service
from okgames.settings import Settings

_NOTES: Final = timedelta(seconds=1)


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Wire the gateway: OK's route and our own, one writer, and two jobs that write down notes."""
    database = Database(settings.resolved_database_url, "callback_gateway", max_connections=4)
    journal = Journal(database, clock)
    samples = RefusalSamples(database)
    callbacks = Callbacks(config.apps, config.trusted_proxies, journal, samples)
    return Service(
        name="callback-gateway",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        # OK has no token of ours: it proves itself by the signature.
        routes=[
            Route("GET", "/ok/callback", callbacks.answer, scope=None, shortcut=callbacks.shortcut),
            *Api(config, database).routes(),
        ],
        jobs=[
            Job("notes uncertain acknowledgements", journal.save_ack_uncertain, _NOTES),
            Job("keeps samples of refusals", samples.save, _NOTES),
        ],
        tasks=[journal.run],
    )
