import base64
import binascii
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
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
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from okgames.events import derive_id
from okgames.toml_lines import line_of

_DURATION: Final = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")
_HTTP_URL: Final = TypeAdapter(HttpUrl)


class ConfigError(Exception):
    """The configuration file is wrong; the text has a line for each error, with file, line and key."""


def parse_duration(value: object) -> timedelta:
    """Read 7d, 36h, 90m or 1d12h; raise ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError("must be a duration, such as 7d, 36h, 90m or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("must be longer than nothing")
    return value


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be the name of a time zone, such as Europe/Moscow") from error


def _webhook_secret(value: SecretStr) -> SecretStr:
    name, _, encoded = value.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if name != "whsec" or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError("must be a network of addresses, such as 217.20.145.192/28") from error


def _endpoint_url(value: str) -> str:
    url = _HTTP_URL.validate_python(value)
    if url.username or url.password or url.fragment:
        raise ValueError("must have no user, password or fragment")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Number = Annotated[str, Field(pattern=r"^\d{1,20}$")]
Secret = Annotated[SecretStr, Field(min_length=1)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
WebhookFilter = Literal[
    "*",
    "reward.granted",
    "entitlement.changed",
    "promotion.scheduled",
    "promotion.opened",
    "promotion.closed",
    "promotion.winner_drawn",
    "ping",
]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]
WholeNumber = Annotated[int, Field(strict=True)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


class Reward(_Table):
    """What the game gives: once per payment, or `every` so often while it is paid for."""

    item: Name
    quantity: Annotated[WholeNumber, Field(ge=1, le=1_000_000_000)]
    every: PositiveDuration | None = None


class Plan(_Table):
    """How a subscription runs; `tolerance` is how late OK may charge before access lapses."""

    period: PositiveDuration
    trial: PositiveDuration | None = None
    after_cancel: Literal["stop", "until_end"] = "stop"
    tolerance: Duration = timedelta(hours=2)


class Price(_Table):
    """A price in OKs, from a time on until the next price begins."""

    oks: Annotated[WholeNumber, Field(ge=1, le=1_000_000)]
    from_: AwareDatetime | None = Field(default=None, alias="from")


class Product(_Table):
    code: Name
    name: Name
    description: str = ""
    icon: Path | None = None
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
            raise ValueError("give either price or prices")
        return {key: value for key, value in table.items() if key != "price"} | {"prices": [{"oks": table["price"]}]}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        times = [price.from_ for price in self.prices]
        known = [time for time in times if time is not None]
        if None in times[1:] or known != sorted(set(known)):
            raise ValueError("prices must come in the order of `from`, which only the first may lack")
        if self.reward is not None and self.reward.every is not None and self.subscription is None:
            raise ValueError("only a subscription's reward can come `every` so often")
        return self

    @cached_property
    def _only_price(self) -> frozenset[int] | None:
        only = self.prices[0]
        return frozenset({only.oks}) if len(self.prices) == 1 and only.from_ is None else None

    def prices_at(self, time: datetime) -> frozenset[int]:
        """Return the prices in OKs that count at a time: two shortly after a change, none before the first."""
        if self._only_price is not None:
            return self._only_price
        begun = [price for price in self.prices if price.from_ is None or price.from_ <= time]
        if not begun:
            return frozenset()
        newest = begun[-1]
        # A dialog that was opened before the change may be paid after it.
        overlaps = newest.from_ is not None and time < newest.from_ + self.price_overlap
        return frozenset(price.oks for price in begun[-2:]) if overlaps else frozenset({newest.oks})


class Endpoint(_Table):
    """A server of the game; the first of two `secrets` is the newer one."""

    url: Annotated[str, AfterValidator(_endpoint_url)]
    secrets: Annotated[tuple[WebhookSecret, ...], Field(min_length=1, max_length=2)]
    events: tuple[WebhookFilter, ...] = ("*",)
    allow_private: bool = False

    @model_validator(mode="before")
    @classmethod
    def _find_secrets(cls, table: object) -> object:
        return _with_secrets(table, "secret", "secrets")


class App(_Table):
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

    @model_validator(mode="before")
    @classmethod
    def _find_secrets(cls, table: object) -> object:
        return _with_secrets(_with_secrets(table, "secret_key", "secret_keys"), "access_token", "access_tokens")

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Self:
        _must_be_unique("product", [product.code for product in self.products])
        _must_be_unique("endpoint", [endpoint.url for endpoint in self.endpoints])
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


class Config(_Table):
    """Hold what okgames.toml says."""

    apps: Annotated[tuple[App, ...], Field(min_length=1)]
    trusted_proxies: tuple[Network, ...] = ()
    event_retention: PositiveDuration = timedelta(days=30)

    @model_validator(mode="after")
    def _has_no_doubles(self) -> Self:
        _must_be_unique("application_key", [app.application_key for app in self.apps])
        return self

    @cached_property
    def _by_key(self) -> dict[str, App]:
        return {app.application_key: app for app in self.apps}

    def app(self, application_key: str) -> App | None:
        return self._by_key.get(application_key)


def load_config(path: Path) -> Config:
    """Read and check the configuration file; raise ConfigError, with one line for each error."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; OKGAMES_CONFIG names the configuration file") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _SYNTAX_LINE.search(str(error))
        line = at[1] if at and at[1] else text.count("\n") + 1
        raise ConfigError(f"{path}:{line}: this is no TOML: {_SYNTAX_LINE.sub('', str(error)).strip()}") from error
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise ConfigError("\n".join(_error_lines(path, text, table, error))) from error


def product_warnings(config: Config) -> list[str]:
    """
    Name what OK would refuse when a subscription is registered, though callbacks work all the same.

    The minima are those of OK's page "In-game subscriptions", whose own example breaks the second.
    """
    warnings = []
    for app in config.apps:
        for product in app.products:
            plan = product.subscription
            if plan is None:
                continue
            name = f"{app.name}, product {product.code}"
            if plan.trial is not None and plan.trial < timedelta(days=1):
                warnings.append(f"{name}: OK's shortest trial is 1 day")
            if plan.period < timedelta(weeks=1):
                warnings.append(f"{name}: OK's shortest period is 1 week")
            if not 1 <= len(product.name.split()) <= 3:
                warnings.append(f"{name}: OK wants a subscription's name to have 1 to 3 words")
    return warnings


def _with_secrets(table: object, name: str, target: str) -> object:
    """Let a secret stand in the file as `name`, or come from what `name`_file or `name`_env names; one, or a list."""
    if not isinstance(table, Mapping):
        return table
    given = [key for key in (name, f"{name}_file", f"{name}_env") if key in table]
    rest = {key: value for key, value in table.items() if key not in given}
    if len(given) > 1:
        raise ValueError(f"give one of {' and '.join(given)}")
    if not given:
        return rest
    value = table[given[0]]
    named = value if isinstance(value, list) else [value]
    if given[0].endswith("_file"):
        named = [_from_file(given[0], str(path)) for path in named]
    elif given[0].endswith("_env"):
        named = [_from_environment(given[0], str(variable)) for variable in named]
    return rest | {target: named}


def _from_file(key: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ValueError(f"{key}: {path}: {error.strerror}") from error


def _from_environment(key: str, variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ValueError(f"{key}: the environment variable {variable} is not set")
    return value


def _must_be_unique(what: str, values: Sequence[str]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"the {what} {value} comes twice")


_AS_WRITTEN: Final = {"secret_keys": "secret_key", "secrets": "secret", "access_tokens": "access_token"}


def _error_lines(path: Path, text: str, table: Mapping[str, object], error: ValidationError) -> Iterator[str]:
    found = [(each["loc"], each["msg"]) for each in error.errors(include_input=False, include_url=False)]
    for location, message in found:
        # A list with a wrong item is said to be too short as well.
        if any(other != location and other[: len(location)] == location for other, _ in found):
            continue
        key = list(_as_written(location, table))
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
        yield f"{path}:{line_of(text, key)}: {dotted or 'the file'}: {message.removeprefix('Value error, ')}"


def _as_written(location: tuple[str | int, ...], table: object) -> Iterator[str | int]:
    """Turn the place of an error in our model into that in the file, where a price and a secret need no list."""
    for part in location:
        written = _AS_WRITTEN.get(str(part), part)
        if isinstance(table, Mapping) and written not in table and part == "prices":
            yield "price"
            return
        yield written
        if isinstance(table, Mapping) and written != part:
            return
        table = table[part] if isinstance(table, list) and isinstance(part, int) else _get(table, part)


def _get(table: object, key: str | int) -> object:
    return table.get(key) if isinstance(table, Mapping) else None
