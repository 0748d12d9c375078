from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import get_args

from notifier.domain.endpoint import Endpoint
from notifier.domain.webhook import WEBHOOK_TYPES
from notifier.domain.wording import Wording
from notifier.handlers import ForPlayers, Studio, on_entitlements, on_promotions
from notifier.http.deliveries import DeliveriesApi, EndpointsApi
from notifier.http.posts import PostsApi
from notifier.jobs.courier import Courier
from notifier.jobs.publisher import Publisher
from notifier.jobs.tokens import TokenKeeper
from okgames.catalogue import Config
from okgames.clock import Clock
from okgames.database import Database
from okgames.events import Event, Topic
from okgames.service import Handler, Job, Service
from okgames.settings import Settings


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Put the notifier together."""
    database = Database(settings.resolved_database_url, "notifier")
    endpoints = _endpoints(config)
    of_app: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        of_app[endpoint.application_key].append(endpoint)
    studio = Studio(config, of_app, wording())
    apps = {app.application_key: app for app in config.apps}
    courier = Courier(database, clock, endpoints)
    tokens = TokenKeeper(database, settings.ok_api, apps)
    publisher = Publisher(database, clock, settings.ok_api, apps, tokens.alarm)
    return Service(
        name="notifier",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        routes=[
            *DeliveriesApi(database, clock, courier).routes(),
            *EndpointsApi(database, clock, courier, endpoints).routes(),
            *PostsApi(database, clock).routes(),
        ],
        handlers={
            Topic.ENTITLEMENTS: Handler(partial(on_entitlements, clock, studio), _told(Topic.ENTITLEMENTS, endpoints)),
            Topic.PROMOTIONS: Handler(
                partial(on_promotions, clock, studio), _told(Topic.PROMOTIONS, endpoints) | set(get_args(ForPlayers))
            ),
        },
        jobs=[
            # Only to be woken, also when the clock moves.
            Job("look", courier.look, every=timedelta(seconds=10), woken_by=[Topic.ENTITLEMENTS, Topic.PROMOTIONS]),
            Job("publish", publisher.publish, every=timedelta(seconds=5), woken_by=[Topic.PROMOTIONS]),
            Job("look up posts", publisher.look_up, every=timedelta(seconds=10), woken_by=[Topic.PROMOTIONS]),
            Job("stop posts", publisher.stop, every=timedelta(seconds=5), woken_by=[Topic.PROMOTIONS]),
            Job("touch tokens", tokens.touch, every=timedelta(minutes=10)),
        ],
        tasks=[courier.feed, courier.send, courier.record],
    )


def wording() -> Wording:
    """Read the templates of what is told to players."""
    folder = Path(__file__).parent / "templates"
    return Wording({path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()})


def _told(topic: Topic, endpoints: Sequence[Endpoint]) -> set[type[Event]]:
    """Return a topic's events of which at least one endpoint wants to hear."""
    return {
        kind
        for kind, name in WEBHOOK_TYPES.items()
        if kind.topic is topic and any(endpoint.wants(name) for endpoint in endpoints)
    }


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
