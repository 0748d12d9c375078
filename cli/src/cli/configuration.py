from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from cli.installation import plain_errors
from cli.registration import plan_findings
from cli.tables import moscow
from okgames.catalogue import App, Config, Endpoint, Plan, Price, Product
from okgames.config import load_config
from okgames.kafka import KafkaAddress
from okgames.settings import Settings, load_settings


def effective() -> tuple[list[str], list[str]]:
    """Return the configuration as it counts, without secrets, and the warnings; raise WrongInput."""
    with plain_errors():
        settings = load_settings()
        config = load_config(settings.config)
    return [*_settings_lines(settings), *_config_lines(settings, config)], list(_warnings(settings, config))


def _warnings(settings: Settings, config: Config) -> Iterator[str]:
    if settings.admin_token is None:
        yield "OKGAMES_ADMIN_TOKEN is not set: the API wants a token of okgames token create"
    if isinstance(settings.event_log, KafkaAddress) and 2 * config.event_retention < (kept := _kept_by_kafka()):
        yield (
            "event_retention: readers remember for twice as long what they have handled, and Kafka keeps events for"
            f" {_duration(kept)}: one that lost its position would handle some of them again"
        )
    for app in config.apps:
        if not app.endpoints:
            yield f"{app.name}: no endpoint, so the game must ask for its rewards (GET /v1/apps/.../changes)"
        if not app.products:
            yield f"{app.name}: no product, so every purchase is refused"
        for product in app.products:
            yield from _product_warnings(f"{app.name}, product {product.code}", product)


def _kept_by_kafka() -> timedelta:
    from okgames.topics import SHIPPED, load_plans

    return max(timedelta(milliseconds=int(plan.settings["retention.ms"])) for plan in load_plans(SHIPPED).values())


def _product_warnings(name: str, product: Product) -> Iterator[str]:
    if product.reward is None:
        yield f"{name}: no reward, so the game must act on entitlements alone"
    if product.subscription is not None:
        # Callbacks work whatever OK would say: `products check` tells more, and fails.
        for finding in plan_findings(product, product.subscription):
            yield f"{name}: {finding.message}"


def _settings_lines(settings: Settings) -> Iterator[str]:
    shown = {
        "CONFIG": settings.config,
        "DATABASE_URL": _without_password(settings.database_url) or f"embedded Postgres in {settings.data_dir}",
        "DATA_DIR": settings.data_dir,
        "EVENT_LOG": settings.event_log,
        "MEMBER": settings.member or "not set",
        "HTTP": settings.http,
        "MANAGEMENT_HTTP": settings.management_http,
        "ADMIN_TOKEN": "set" if settings.admin_token else "not set",
        "API_URL": settings.resolved_api_url,
        "SERVICE_TOKEN": "set" if settings.service_token else "the admin token",
        "OK_API": settings.ok_api,
        "SIMULATOR_HTTP": settings.simulator_http,
        "CLOCK": settings.clock,
        "LOG_LEVEL": settings.log_level,
        "LOG_FORMAT": settings.log_format,
    }
    for name, value in shown.items():
        yield f"{f'OKGAMES_{name}':<24} {value}"


def _config_lines(settings: Settings, config: Config) -> Iterator[str]:
    yield ""
    yield f"{settings.config}"
    yield f"  events are kept for {_duration(config.event_retention)}"
    if config.trusted_proxies:
        yield f"  trusted proxies: {', '.join(map(str, config.trusted_proxies))}"
    for app in config.apps:
        yield from _app_lines(app)


def _app_lines(app: App) -> Iterator[str]:
    yield f"  {app.name}: application_key {app.application_key}, application_id {app.application_id}"
    yield f"    secret keys: {len(app.secret_keys)}; times in {app.timezone}; answers in {app.answers}"
    yield f"    callers: {_callers(app)}"
    yield f"    promotions: {_promotions(app)}"
    for endpoint in app.endpoints:
        yield f"    endpoint {endpoint.url}: {_endpoint(endpoint)}"
    for product in app.products:
        yield f"    product {product.code}: {', '.join(_product(product))}"


def _callers(app: App) -> str:
    if app.allowed_callers is None:
        return "any"
    networks = ", ".join(map(str, app.allowed_callers))
    return f"{networks}; others are {'refused' if app.callers_policy == 'enforce' else 'logged'}"


def _promotions(app: App) -> str:
    settings = app.promotions
    prizes = ", ".join(map(str, settings.prizes))
    begins = "by itself" if settings.draw == "automatic" else "when a person says so"
    offers = "any number" if settings.offers_per_month is None else f"{settings.offers_per_month}"
    return (
        f"prizes of {prizes} OKs, drawn {begins}, {_duration(settings.margin)} after the end at the earliest;"
        f" requested {_duration(settings.request_lead)} before; {offers} a month"
    )


def _endpoint(endpoint: Endpoint) -> str:
    types = "all types" if "*" in endpoint.events else ", ".join(endpoint.events)
    return f"{types}; secrets: {len(endpoint.secrets)}{'; may be private' if endpoint.allow_private else ''}"


def _product(product: Product) -> Iterator[str]:
    yield "; then ".join(map(_price, product.prices))
    if product.subscription:
        yield _plan(product.subscription)
    if reward := product.reward:
        often = f"every {_duration(reward.every)}" if reward.every else "per payment"
        yield f"gives {reward.quantity} {reward.item} {often}"


def _price(price: Price) -> str:
    return f"{price.oks} OKs" + (f" from {moscow(price.from_)}" if price.from_ else "")


def _plan(plan: Plan) -> str:
    trial = f" after a trial of {_duration(plan.trial)}" if plan.trial else ""
    end = "at once" if plan.after_cancel == "stop" else "at the end of the paid time"
    return (
        f"every {_duration(plan.period)}{trial}, ends {end} when cancelled,"
        f" lapses {_duration(plan.tolerance)} after its end"
    )


def _duration(value: timedelta) -> str:
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"d": days, "h": hours, "m": minutes, "s": seconds}
    return "".join(f"{number}{unit}" for unit, number in parts.items() if number) or "0s"


def _without_password(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
