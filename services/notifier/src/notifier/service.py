from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from notifier.domain.endpoint import Endpoint
from notifier.handlers import on_entitlements
from notifier.http import DeliveriesApi, EndpointsApi
from notifier.jobs import Courier
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Topic
from okgames.service import Job, Service
from okgames.settings import Settings


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Put the notifier together."""
    database = Database(settings.resolved_database_url, "notifier")
    endpoints = _endpoints(config)
    of_app: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        of_app[endpoint.application_key].append(endpoint)
    courier = Courier(database, clock, endpoints)
    return Service(
        name="notifier",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        routes=[
            *DeliveriesApi(database, clock, courier).routes(),
            *EndpointsApi(database, clock, courier, endpoints).routes(),
        ],
        handlers={Topic.ENTITLEMENTS: partial(on_entitlements, clock, of_app)},
        # Only to be woken after each batch of events and when the clock moves.
        jobs=[Job("look", courier.look, every=timedelta(seconds=10))],
        tasks=[courier.feed, courier.send, courier.record],
    )


def _endpoints(config: Config) -> Sequence[Endpoint]:
    return [
        Endpoint(
            id=app.endpoint_id(endpoint),
            application_key=app.application_key,
            url=endpoint.url,
            secrets=tuple(secret.get_secret_value() for secret in endpoint.secrets),
            events=endpoint.events,
            allow_private=endpoint.allow_private,
        )
        for app in config.apps
        for endpoint in app.endpoints
    ]
