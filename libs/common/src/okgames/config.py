import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from okgames.catalogue import Config
from okgames.toml_lines import line_of

Key: TypeAlias = tuple[str | int, ...]

_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


class ConfigError(Exception):
    """The configuration file is wrong; the text has a line for each error, with file, line and key."""


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
    problems: list[tuple[Key, str]] = []
    table = _with_secrets(table, problems)
    if problems:
        raise ConfigError("\n".join(_line(path, text, key, message) for key, message in problems))
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


def _with_secrets(table: dict[str, Any], problems: list[tuple[Key, str]]) -> dict[str, Any]:
    """Read the secrets that the file does not hold itself, and make lists of single ones."""

    def resolved(holder: Any, key: Key, name: str, target: str) -> Any:
        if not isinstance(holder, dict):
            return holder
        given = [written for written in (name, f"{name}_file", f"{name}_env") if written in holder]
        rest = {written: value for written, value in holder.items() if written not in given}
        if len(given) > 1:
            problems.append(((*key, given[1]), f"give one of {' and '.join(given)}"))
        if len(given) != 1:
            return rest
        value = holder[given[0]]
        values = value if isinstance(value, list) else [value]
        try:
            return rest | {target: [_SOURCES[given[0].removeprefix(name)](each) for each in values]}
        except _SecretMissing as missing:
            problems.append(((*key, given[0]), str(missing)))
            return rest

    def with_app_secrets(app: Any, key: Key) -> Any:
        app = resolved(app, key, "secret_key", "secret_keys")
        app = resolved(app, key, "access_token", "access_tokens")
        if isinstance(app, dict) and isinstance(app.get("endpoints"), list):
            app["endpoints"] = [
                resolved(endpoint, (*key, "endpoints", place), "secret", "secrets")
                for place, endpoint in enumerate(app["endpoints"])
            ]
        return app

    apps = table.get("apps")
    if not isinstance(apps, list):
        return table
    return table | {"apps": [with_app_secrets(app, ("apps", place)) for place, app in enumerate(apps)]}


class _SecretMissing(Exception):
    pass


def _from_file(path: object) -> str:
    try:
        return Path(str(path)).read_text().strip()
    except OSError as error:
        raise _SecretMissing(f"{path}: {error.strerror}") from error


def _from_environment(variable: object) -> str:
    value = os.environ.get(str(variable))
    if not value:
        raise _SecretMissing(f"the environment variable {variable} is not set")
    return value


_SOURCES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "": lambda value: value,
    "_file": _from_file,
    "_env": _from_environment,
}


_AS_WRITTEN: Final = {"secret_keys": "secret_key", "secrets": "secret", "access_tokens": "access_token"}

_PLAIN: Final = {"extra_forbidden": "there is no such key", "missing": "is missing"}


def _error_lines(path: Path, text: str, table: Mapping[str, object], error: ValidationError) -> Iterator[str]:
    found = [
        (each["loc"], _PLAIN.get(each["type"], each["msg"]))
        for each in error.errors(include_input=False, include_url=False)
    ]
    for location, message in found:
        # A list with a wrong item is said to be too short as well.
        if any(other != location and other[: len(location)] == location for other, _ in found):
            continue
        yield _line(path, text, tuple(_as_written(location, table)), message.removeprefix("Value error, "))


def _line(path: Path, text: str, key: Key, message: str) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
    return f"{path}:{line_of(text, key)}: {dotted or 'the file'}: {message}"


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
