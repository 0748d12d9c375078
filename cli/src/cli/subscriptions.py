import asyncio
from collections.abc import Sequence
from pathlib import Path

from cli.failures import WrongInput
from cli.installation import plain_errors
from cli.registration import Finding, Icon, Language, Level, NoIcon, findings, letter
from okgames.catalogue import App, Config, Product
from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.picture import MOST_BYTES, NoPicture, decode
from okgames.settings import load_settings


def letter_of(code: str, application_key: str | None, language: Language) -> tuple[str, list[Finding]]:
    """Return a subscription's letter and what is wrong with it; raise WrongInput where there is no such one."""
    config, folder = _catalogue()
    apps = _apps(config, application_key)
    named = [(app, product) for app in apps if (product := app.product(code)) is not None]
    if not named:
        raise WrongInput(f"the catalogue has no product {code}")
    sold = [(app, product, product.subscription) for app, product in named if product.subscription is not None]
    if not sold:
        raise WrongInput(f"{code} is no subscription: OK wants no letter for it")
    if len(sold) > 1:
        raise WrongInput(f"several applications have a subscription {code}: name one with --app")
    ((app, product, plan),) = sold
    now = asyncio.run(SystemClock().now())
    return letter(app, product, plan, language, now), findings(product, plan, _icon(product, folder), now)


def check(application_key: str | None) -> list[tuple[str, str, Finding]]:
    """Return what is wrong with each subscription, by the names of application and product; raise WrongInput."""
    config, folder = _catalogue()
    now = asyncio.run(SystemClock().now())
    return [
        (app.name, product.code, finding)
        for app in _apps(config, application_key)
        for product in app.products
        if (plan := product.subscription) is not None
        for finding in findings(product, plan, _icon(product, folder), now)
    ]


def code_of(found: Sequence[Finding]) -> int:
    """Return the exit code for what was found."""
    return int(any(finding.level is Level.ERROR for finding in found))


def _catalogue() -> tuple[Config, Path]:
    with plain_errors():
        settings = load_settings()
        return load_config(settings.config), settings.config.parent


def _apps(config: Config, application_key: str | None) -> Sequence[App]:
    if application_key is None:
        return config.apps
    app = config.app(application_key)
    if app is None:
        raise WrongInput(f"the configuration has no application {application_key}")
    return [app]


def _icon(product: Product, folder: Path) -> Icon:
    if product.icon is None:
        return NoIcon("icon is missing: OK wants a picture of 256x256")
    path = folder / product.icon
    try:
        with path.open("rb") as file:
            return decode(file.read(MOST_BYTES + 1))
    except OSError as error:
        return NoIcon(f"icon: {path}: {error.strerror}")
    except NoPicture as error:
        return NoIcon(f"icon: {path}: {error}")
