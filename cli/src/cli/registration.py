from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from okgames.catalogue import App, Plan, Product
from okgames.picture import Format

Language: TypeAlias = Literal["ru", "en"]

SUPPORT: Final = "api-support@ok.ru"
ICON_SIZE: Final = (256, 256)

_SHORTEST_TRIAL: Final = timedelta(days=1)
_SHORTEST_PERIOD: Final = timedelta(weeks=1)
_WORDS_AT_MOST: Final = 3


class Level(StrEnum):
    """Say what a finding means: OK refuses the subscription, or may refuse it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class NoIcon:
    """Stand for an icon that cannot be looked at, and say why."""

    reason: str


Icon: TypeAlias = Format | NoIcon


def plan_findings(product: Product, plan: Plan) -> Iterator[Finding]:
    """
    Name what OK's page "In-game subscriptions" forbids in the words and times of a subscription.

    The shortest period and the number of words are warnings, because OK's own example there breaks both.
    """
    if plan.trial is not None and plan.trial < _SHORTEST_TRIAL:
        yield Finding(Level.ERROR, "OK's shortest trial is 1 day")
    if plan.period < _SHORTEST_PERIOD:
        yield Finding(Level.WARNING, "OK's shortest period is 1 week")
    if any(time.total_seconds() % 60 for time in (plan.period, plan.trial) if time):
        yield Finding(Level.ERROR, "OK takes times in days, hours and minutes")
    if not 1 <= len(product.name.split()) <= _WORDS_AT_MOST:
        level = Level.WARNING if product.name.split() else Level.ERROR
        yield Finding(level, "OK wants a subscription's name to have 1 to 3 words")


def findings(product: Product, plan: Plan, icon: Icon, now: datetime) -> list[Finding]:
    """Name what OK would refuse, or may refuse, if the subscription were registered now; the errors first."""
    found = [*plan_findings(product, plan), *_other_findings(product, icon, now)]
    return sorted(found, key=lambda finding: finding.level is not Level.ERROR)


def _other_findings(product: Product, icon: Icon, now: datetime) -> Iterator[Finding]:
    if product.price_at(now) is None:
        yield Finding(Level.ERROR, "it has no price yet")
    if not product.description.strip():
        yield Finding(Level.ERROR, "description is missing: OK wants to know what the player buys")
    if product.icon_url is None:
        yield Finding(Level.ERROR, "icon_url is missing: OK wants the address of the icon")
    match icon:
        case NoIcon(reason):
            yield Finding(Level.ERROR, reason)
        case Format(_, width, height) if (width, height) != ICON_SIZE:
            yield Finding(Level.ERROR, f"OK wants an icon of 256x256, and this one is {width}x{height}")


@dataclass(frozen=True, slots=True)
class _Wording:
    subject: str
    greeting: str
    trial: str
    period: str
    price: str
    icon: str
    product_id: str
    name: str
    description: str
    no_trial: str
    missing: str


_WORDINGS: Final[Mapping[Language, _Wording]] = {
    "en": _Wording(
        subject="{game} ({application_id}): a new in-game subscription, {product}",
        greeting=(
            "Hello,\n\nplease register an in-game subscription for our game {game} (application {application_id})."
        ),
        trial="Trial period duration",
        period="Period duration",
        price="Price",
        icon="Subscription icon (256x256)",
        product_id="Product id",
        name="Name",
        description="Description",
        no_trial="no trial",
        missing="(missing)",
    ),
    "ru": _Wording(
        subject="{game} ({application_id}): новая подписка {product}",
        greeting=(
            "Здравствуйте!\n\nПросим зарегистрировать подписку для нашей игры {game} (приложение {application_id})."
        ),
        trial="Длительность пробного периода",
        period="Длительность периода",
        price="Цена за период",
        icon="Иконка подписки (256x256)",
        product_id="Product id",
        name="Название",
        description="Описание",
        no_trial="без пробного периода",
        missing="(не указано)",
    ),
}

_UNITS: Final[Mapping[Language, tuple[tuple[str, ...], ...]]] = {
    "en": (("day", "days"), ("hour", "hours"), ("minute", "minutes")),
    "ru": (("день", "дня", "дней"), ("час", "часа", "часов"), ("минута", "минуты", "минут")),
}
_OKS: Final[Mapping[Language, tuple[str, ...]]] = {"en": ("OK", "OKs"), "ru": ("ОК", "ОКа", "ОКов")}


def letter(app: App, product: Product, plan: Plan, language: Language, now: datetime) -> str:
    """Return the letter with the seven fields that OK's page "In-game subscriptions" asks for, missing ones too."""
    wording = _WORDINGS[language]
    price = product.price_at(now)
    fields = {
        wording.trial: spoken(plan.trial, language) if plan.trial else wording.no_trial,
        wording.period: spoken(plan.period, language),
        wording.price: wording.missing if price is None else _counted(price, _OKS[language], language),
        wording.icon: product.icon_url or wording.missing,
        wording.product_id: product.code,
        wording.name: _line(product.name) or wording.missing,
        wording.description: _line(product.description) or wording.missing,
    }
    names = {"game": _line(app.name), "application_id": app.application_id, "product": product.code}
    return "\n".join(
        [
            f"To: {SUPPORT}",
            f"Subject: {wording.subject.format(**names)}",
            "",
            wording.greeting.format(**names),
            "",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
    )


def spoken(time: timedelta, language: Language) -> str:
    """Write a time in days, hours and minutes, the units that OK asks for; seconds are left out."""
    minutes = int(time.total_seconds()) // 60
    numbers = (minutes // 1440, minutes // 60 % 24, minutes % 60)
    parts = [_counted(number, unit, language) for number, unit in zip(numbers, _UNITS[language], strict=True) if number]
    return " ".join(parts) or _counted(0, _UNITS[language][-1], language)


def _counted(number: int, forms: tuple[str, ...], language: Language) -> str:
    return f"{number} {forms[_form(number, language)]}"


def _form(number: int, language: Language) -> int:
    """Return which form of a noun goes with a number: Russian has one for 1, one for 2 to 4, and one for others."""
    if language == "en":
        return int(number != 1)
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else 2


def _line(text: str) -> str:
    """Return a text as one line: a line break would begin another field of the letter."""
    return " ".join(text.split())
