from datetime import timedelta
from pathlib import Path
from typing import Final

from callback_gateway.domain.game import Game, Offer
from callback_gateway.http import Callbacks
from callback_gateway.jobs import Journal, RefusalSamples
from okgames.catalogue import App, Config, Product
from okgames.clock import Clock
from okgames.database import Database
from okgames.service import Job, Route, Service
from okgames.settings import Settings

_NOTES: Final = timedelta(seconds=1)


def service(settings: Settings, config: Config, clock: Clock) -> Service:
    """Wire the gateway: one route, one writer, and two jobs that write down notes."""
    database = Database(settings.resolved_database_url, "callback_gateway", max_connections=2)
    journal = Journal(database, clock)
    samples = RefusalSamples(database, clock)
    callbacks = Callbacks([_game(app) for app in config.apps], config.trusted_proxies, journal, samples)
    return Service(
        name="callback-gateway",
        database=database,
        migrations=Path(__file__).parent / "migrations",
        # OK has no token of ours: it proves itself by the signature.
        routes=[Route("GET", "/ok/callback", callbacks.answer, scope=None)],
        jobs=[
            Job("notes uncertain acknowledgements", journal.save_ack_uncertain, _NOTES),
            Job("keeps samples of refusals", samples.save, _NOTES),
        ],
        tasks=[journal.run],
    )


def _game(app: App) -> Game:
    return Game(
        application_key=app.application_key,
        secrets=tuple(secret.get_secret_value().encode() for secret in app.secret_keys),
        zone=app.timezone,
        allowed_callers=app.allowed_callers,
        enforces_callers=app.callers_policy == "enforce",
        answers=app.answers,
        offers={product.code: _offer(product) for product in app.products},
    )


def _offer(product: Product) -> Offer:
    return Offer(
        is_subscription=product.subscription is not None,
        prices_at=product.prices_at,
        prices=frozenset(price.oks for price in product.prices),
    )
