import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    HttpUrl,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from okgames.events import derive_id
from okgames.jira_account import Jira
from okgames.report_table import Report
from okgames.tables import Duration, Name, PositiveDuration, Secret, Table, must_be_unique, wrong

_HTTP_URL: Final = TypeAdapter(HttpUrl)


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("must be the name of a time zone, such as Europe/Moscow") from error


def _webhook_secret(value: SecretStr) -> SecretStr:
    name, _, encoded = value.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if name != "whsec" or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError("must be a network of addresses, such as 217.20.145.192/28") from error


def _number(value: str) -> str:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise ValueError("must be a number in quotes, as OK shows it")
    return value


def _endpoint_url(value: str) -> str:
    try:
        url = _HTTP_URL.validate_python(value)
    except ValidationError as error:
        raise ValueError("must be an address, such as https://game.example/okgames") from error
    if url.username or url.password or url.fragment:
        raise ValueError("must have no user, password or fragment")
    return value


def _icon_url(value: str) -> str:
    try:
        _HTTP_URL.validate_python(value)
    except ValidationError as error:
        raise ValueError("must be an address, such as https://game.example/icons/apples.png") from error
    return value


Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
Number = Annotated[str, AfterValidator(_number)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
WebhookFilter = Literal[
    "*",
    "reward.granted",
    "entitlement.changed",
    "promotion.scheduled",
    "promotion.cancelled",
    "promotion.opened",
    "promotion.closed",
    "promotion.winner_drawn",
    "promotion.draw_unresolved",
    "promotion.deadline_near",
    "promotion.deadline_missed",
    "ping",
]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]
WholeNumber = Annotated[int, Field(strict=True)]
Prize = Annotated[WholeNumber, Field(ge=1, le=1_000_000)]
Flag = Annotated[bool, Field(strict=True)]
Time = Annotated[AwareDatetime, Field(strict=True)]


class Reward(Table):
    """What the game gives: once per payment, or `every` so often while it is paid for."""

    item: Name
    quantity: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)]
    every: PositiveDuration | None = None


class Plan(Table):
    """How a subscription runs; `tolerance` is how late OK may charge before access lapses."""

    period: PositiveDuration
    trial: PositiveDuration | None = None
    after_cancel: Literal["stop", "until_end"] = "stop"
    tolerance: Duration = timedelta(hours=2)


class Price(Table):
    """A price in OKs, from a time on until the next price begins."""

    oks: Annotated[WholeNumber, Field(ge=1, le=1_000_000)]
    from_: Time | None = Field(default=None, alias="from")


class Product(Table):
    """What is sold; `icon` is a file beside the configuration's, and `icon_url` where OK finds the same picture."""

    code: Name
    name: Name
    description: str = ""
    icon: Path | None = None
    icon_url: Annotated[str, AfterValidator(_icon_url)] | None = None
    prices: Annotated[tuple[Price, ...], Field(min_length=1)]
    price_overlap: Duration = timedelta(minutes=15)
    subscription: Plan | None = None
    reward: Reward | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_price(cls, table: object) -> object:
        if not isinstance(table, Mapping) or "price" not in table:
            return table
        if "prices" in table:
            raise wrong("is there beside price: give one of them", "prices")
        return {key: value for key, value in table.items() if key != "price"} | {"prices": [{"oks": table["price"]}]}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        times = [price.from_ for price in self.prices]
        known = [time for time in times if time is not None]
        if None in times[1:] or known != sorted(set(known)):
            raise wrong("must come in the order of `from`, which only the first may lack", "prices")
        if self.reward is not None and self.reward.every is not None and self.subscription is None:
            raise wrong("is for subscriptions: a product that is bought once gives its reward once", "reward", "every")
        return self

    @cached_property
    def _only_price(self) -> frozenset[int] | None:
        only = self.prices[0]
        return frozenset({only.oks}) if len(self.prices) == 1 and only.from_ is None else None

    def prices_at(self, time: datetime) -> frozenset[int]:
        """Return the prices in OKs that count at a time: two shortly after a change, none before the first."""
        if self._only_price is not None:
            return self._only_price
        accepted: set[int] = set()
        ends: datetime | None = None
        for price in reversed(self.prices):
            # A dialog that was opened before the change may be paid after it.
            is_over = ends is not None and time >= ends + self.price_overlap
            if not is_over and (price.from_ is None or price.from_ <= time):
                accepted.add(price.oks)
            ends = price.from_
        return frozenset(accepted)

    def price_at(self, time: datetime) -> int | None:
        """Return the price in OKs that is in force at a time; None before the first."""
        begun = [price.oks for price in self.prices if price.from_ is None or price.from_ <= time]
        return begun[-1] if begun else None


class Endpoint(Table):
    """A server of the game; the first of two `secrets` is the newer one."""

    url: Annotated[str, AfterValidator(_endpoint_url)]
    secrets: Annotated[tuple[WebhookSecret, ...], Field(min_length=1, max_length=2)]
    events: tuple[WebhookFilter, ...] = ("*",)
    allow_private: Flag = False


class Promotions(Table):
    """
    How an application's promotions run; the prizes are in OKs, one for each winner.

    `margin` is how long the draw waits after the window for payments that OK tells late, and `request_lead` how long
    before the promotion OK wants the request. `offers_per_month` is how many OK approved, None where nobody said.
    Posts and notifications are worded in `language`, and go out once a person has approved them unless `publishing` is
    automatic.
    """

    prizes: Annotated[tuple[Prize, ...], Field(min_length=1, max_length=10)] = (1000,)
    draw: Literal["confirmed", "automatic"] = "confirmed"
    margin: Duration = timedelta(minutes=15)
    request_lead: PositiveDuration = timedelta(days=3)
    offers_per_month: Annotated[WholeNumber, Field(ge=0, le=31)] | None = None
    language: Literal["ru", "en"] = "ru"
    publishing: Literal["confirmed", "automatic"] = "confirmed"


class App(Table):
    name: Name
    application_id: Number
    application_key: Name
    secret_keys: Annotated[tuple[Secret, ...], Field(min_length=1, max_length=2)]
    timezone: Zone = ZoneInfo("Europe/Moscow")
    group_id: Number | None = None
    access_tokens: Annotated[tuple[Secret, ...], Field(max_length=1)] = ()
    allowed_callers: tuple[Network, ...] | None = None
    callers_policy: Literal["log", "enforce"] = "log"
    answers: Literal["xml", "json"] = "xml"
    endpoints: tuple[Endpoint, ...] = ()
    products: tuple[Product, ...] = ()
    promotions: Promotions = Promotions()
    report: Report | None = None

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Self:
        must_be_unique("products", "code", [product.code for product in self.products])
        must_be_unique("endpoints", "url", [endpoint.url for endpoint in self.endpoints])
        return self

    @property
    def access_token(self) -> SecretStr | None:
        """The token for posting to the game's group; None where posts become drafts."""
        return self.access_tokens[0] if self.access_tokens else None

    @cached_property
    def _by_code(self) -> dict[str, Product]:
        return {product.code: product for product in self.products}

    def product(self, code: str) -> Product | None:
        return self._by_code.get(code)

    def endpoint_id(self, endpoint: Endpoint) -> UUID:
        """Return the id under which an endpoint's deliveries are kept."""
        return derive_id("endpoint", self.application_key, endpoint.url)


class Config(Table):
    """Hold what the configuration file says."""

    apps: Annotated[tuple[App, ...], Field(min_length=1)]
    trusted_proxies: tuple[Network, ...] = ()
    event_retention: PositiveDuration = timedelta(days=30)
    jira: Jira = Jira()

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Self:
        must_be_unique("apps", "application_key", [app.application_key for app in self.apps])
        return self

    @cached_property
    def _by_key(self) -> dict[str, App]:
        return {app.application_key: app for app in self.apps}

    def app(self, application_key: str) -> App | None:
        return self._by_key.get(application_key)
