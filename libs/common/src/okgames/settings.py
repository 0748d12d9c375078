import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from okgames.kafka import KafkaAddress

_PREFIX: Final = "OKGAMES_"
_KAFKA_ADDRESS: Final = re.compile(r"kafka://(?P<servers>[^/]+)(?:/(?P<space>[A-Za-z0-9._-]{1,100}))?")
_MEMBER: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_OK_DOMAINS: Final = ("ok.ru", "odnoklassniki.ru")
_HTTP_URL: Final = TypeAdapter(HttpUrl)


class SettingsError(Exception):
    """An environment variable is wrong; the text has a line for each, with its name."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Say where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _http_address(value: object) -> HttpAddress:
    if isinstance(value, HttpAddress):
        return value
    host, _, port = str(value).rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdigit() and int(port) <= 65535
    # An IPv6 address without brackets would lose its last group to the port.
    if not bare or not is_port or (":" in host and host != f"[{bare}]"):
        raise ValueError("must be host:port, such as 127.0.0.1:8080 or [::1]:8080")
    return HttpAddress(bare, int(port))


def _database_url(value: str) -> str:
    if urlsplit(value).scheme not in {"postgresql", "postgres"}:
        raise ValueError("must be an address that begins with postgresql://")
    return value


def _base_url(value: str) -> str:
    try:
        return str(_HTTP_URL.validate_python(value)).rstrip("/")
    except ValidationError as error:
        raise ValueError("must be an address, such as http://127.0.0.1:8090") from error


def _event_log(value: object) -> object:
    if not isinstance(value, str) or value == "postgres":
        return value
    match = _KAFKA_ADDRESS.fullmatch(value)
    if match is None:
        raise ValueError("must be postgres, or kafka://host:port[,host:port]")
    try:
        servers = [str(_http_address(server)) for server in match["servers"].split(",")]
    except ValueError as error:
        raise ValueError("must be postgres, or kafka://host:port[,host:port]") from error
    return KafkaAddress(tuple(servers), match["space"] or "")


def _member(value: str) -> str:
    if not _MEMBER.fullmatch(value):
        raise ValueError("must be letters, digits, dots, hyphens and underscores")
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _log_format() -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() else "json"


def _admin_token(value: SecretStr) -> SecretStr:
    # An empty file would otherwise be a key that opens every door.
    if not value.get_secret_value():
        raise ValueError("must not be empty")
    return value


Address = Annotated[HttpAddress, NoDecode, BeforeValidator(_http_address)]


class Settings(BaseSettings):
    """
    Hold what the environment says; each variable NAME may also be given as NAME_FILE, whose content is the value.

    `database_url` None stands for the embedded Postgres below `data_dir`. An empty variable is as good as none.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    config: Path = Path("okgames.toml")
    database_url: Annotated[str, BeforeValidator(_database_url)] | None = Field(default=None, repr=False)
    data_dir: Path = Path("var")
    event_log: Annotated[Literal["postgres"] | KafkaAddress, NoDecode, BeforeValidator(_event_log)] = "postgres"
    member: Annotated[str, AfterValidator(_member)] | None = None
    http: Address = HttpAddress("127.0.0.1", 8080)
    management_http: Address = HttpAddress("127.0.0.1", 8081)
    admin_token: Annotated[SecretStr, AfterValidator(_admin_token)] | None = None
    api_url: Annotated[str, BeforeValidator(_base_url)] | None = None
    service_token: Annotated[SecretStr, AfterValidator(_admin_token)] | None = None
    ok_api: Annotated[str, BeforeValidator(_base_url)] = "https://api.ok.ru"
    simulator_http: Address = HttpAddress("127.0.0.1", 8090)
    clock: Literal["system", "movable"] = "system"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    log_format: Literal["json", "console"] = Field(default_factory=_log_format)

    @model_validator(mode="after")
    def _real_money_keeps_real_time(self) -> Self:
        host = urlsplit(self.ok_api).hostname or ""
        if self.clock == "movable" and any(f".{host}".endswith(f".{domain}") for domain in _OK_DOMAINS):
            raise ValueError(
                f"CLOCK: movable is for simulations, not together with {self.ok_api}:"
                f" set {_PREFIX}OK_API to the simulator's address"
            )
        return self

    @property
    def resolved_api_url(self) -> str:
        """Where services ask each other: what one process shares, unless another address was given."""
        return self.api_url or f"http://{self.http}"

    @property
    def resolved_service_token(self) -> SecretStr | None:
        """The token with which services ask each other."""
        return self.service_token or self.admin_token

    @property
    def resolved_database_url(self) -> str:
        """The database's address; only where the embedded Postgres was started, or another one was given."""
        assert self.database_url is not None, "the embedded Postgres was not started"
        return self.database_url


def load_settings() -> Settings:
    """Read the environment; raise SettingsError."""
    try:
        return Settings.model_validate(_from_files())
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        lines = [_line(each["loc"], each["msg"]) for each in found]
        raise SettingsError("\n".join(lines)) from error


def _from_files() -> dict[str, str]:
    values: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = f"{_PREFIX}{name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path:
            continue
        if os.environ.get(variable):
            raise SettingsError(f"{variable}_FILE is set beside {variable}: give one of them")
        try:
            values[name] = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"{variable}_FILE: {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise SettingsError(f"{variable}_FILE: {path}: this is no text in UTF-8") from error
    return values


def _line(location: tuple[str | int, ...], message: str) -> str:
    said = message.removeprefix("Value error, ").replace("Input should be", "must be")
    name = str(location[0]).upper().removeprefix(_PREFIX) if location else ""
    return f"{_PREFIX}{name}: {said}" if name else f"{_PREFIX}{said}"
