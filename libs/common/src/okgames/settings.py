import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX: Final = "OKGAMES_"
_REAL_OK: Final = "https://api.ok.ru"
_HTTP_URL: Final = TypeAdapter(HttpUrl)


class SettingsError(Exception):
    """An environment variable is wrong; the text has a line for each, with its name."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Say where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _http_address(value: object) -> HttpAddress:
    if isinstance(value, HttpAddress):
        return value
    host, colon, port = str(value).rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:8080")
    return HttpAddress(host.strip("[]"), int(port))


def _base_url(value: object) -> str:
    return str(_HTTP_URL.validate_python(value)).rstrip("/")


def _event_log(value: object) -> str:
    text = str(value)
    if text != "postgres" and not (text.startswith("kafka://") and len(text) > len("kafka://")):
        raise ValueError("must be postgres or kafka://host:port[,host:port]")
    return text


def _log_format() -> Literal["json", "console"]:
    return "console" if sys.stderr.isatty() else "json"


Address = Annotated[HttpAddress, BeforeValidator(_http_address)]


class Settings(BaseSettings):
    """
    Hold what the environment says; each variable NAME may also be given as NAME_FILE, whose content is the value.

    `database_url` None stands for the embedded Postgres below `data_dir`.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    config: Path = Path("okgames.toml")
    database_url: str | None = None
    data_dir: Path = Path("var")
    event_log: Annotated[str, BeforeValidator(_event_log)] = "postgres"
    http: Address = HttpAddress("127.0.0.1", 8080)
    management_http: Address = HttpAddress("127.0.0.1", 8081)
    admin_token: Annotated[SecretStr, Field(min_length=8)] | None = None
    ok_api: Annotated[str, BeforeValidator(_base_url)] = _REAL_OK
    simulator_http: Address = HttpAddress("127.0.0.1", 8090)
    clock: Literal["system", "movable"] = "system"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = Field(default_factory=_log_format)

    @model_validator(mode="after")
    def _real_money_keeps_real_time(self) -> Self:
        if self.clock == "movable" and self.ok_api == _REAL_OK:
            raise ValueError("CLOCK=movable is for simulations: set OKGAMES_OK_API to the simulator's address")
        return self

    @property
    def resolved_database_url(self) -> str:
        """The database's address; only where the embedded Postgres was started, or another one was given."""
        assert self.database_url is not None, "the embedded Postgres was not started"
        return self.database_url


def load_settings() -> Settings:
    """Read the environment; raise SettingsError."""
    try:
        return Settings(**_from_files())
    except ValidationError as error:
        lines = [_line(each["loc"], each["msg"]) for each in error.errors(include_input=False, include_url=False)]
        raise SettingsError("\n".join(lines)) from error


def _from_files() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        variable = f"{_PREFIX}{name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if path is None:
            continue
        if variable in os.environ:
            raise SettingsError(f"give one of {variable} and {variable}_FILE")
        try:
            values[name] = Path(path).read_text().strip()
        except OSError as error:
            raise SettingsError(f"{variable}_FILE: {path}: {error.strerror}") from error
    return values


def _line(location: tuple[str | int, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    name = str(location[0]).removeprefix(_PREFIX.lower()).upper() if location else ""
    return f"{_PREFIX}{name}: {said}" if name else f"{_PREFIX}{said}"
