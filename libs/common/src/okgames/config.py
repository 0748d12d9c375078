import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import ValidationError

from okgames.catalogue import Config
from okgames.config_errors import described, errors_of, written_as
from okgames.toml_lines import Key

Table: TypeAlias = Mapping[str, object]

_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


class ConfigError(Exception):
    """The configuration file is wrong; the text has a line for each error, with file, line and key."""


def load_config(path: Path) -> Config:
    """Read and check the configuration file; raise ConfigError, with one line for each error."""
    text = _read(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _SYNTAX_LINE.search(str(error))
        line = at[1] if at and at[1] else max(1, len(text.splitlines()))
        raise ConfigError(f"{path}:{line}: this is no TOML: {_SYNTAX_LINE.sub('', str(error)).strip()}") from error
    secrets = _Secrets(path.parent)
    complete = secrets.of_config(table)
    try:
        config = Config.model_validate(complete)
        errors = []
    except ValidationError as error:
        errors = errors_of(error)
    errors = [each for each in errors if each[0] not in secrets.unread] + secrets.problems
    if errors:
        raise ConfigError(described(path, text, table, errors))
    return config


def secret_files(path: Path) -> list[Path]:
    """Return the files that the configuration's secrets were read from, itself among them if it has any."""
    secrets = _Secrets(path.parent)
    secrets.of_config(tomllib.loads(_read(path)))
    return sorted(secrets.files | ({path} if secrets.are_in_file else set()))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: OKGAMES_CONFIG names the configuration file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is no text in UTF-8") from error


class _SecretMissing(Exception):
    """The place that should hold a secret cannot be read; the text says why, never what is there."""


class _Secrets:
    """Put the secrets that lie elsewhere into the tables of the file, as lists; `folder` is the file's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[tuple[Key, str]] = []
        self.unread: set[Key] = set()
        self.files: set[Path] = set()
        self.are_in_file = False

    def of_config(self, table: Table) -> Table:
        jira = table.get("jira")
        if isinstance(jira, dict):
            jira = self._resolved(self._resolved(jira, ("jira",), "passwords"), ("jira",), "tokens")
            table = {**table, "jira": jira}
        return self._with_each(table, (), "apps", self._of_app)

    def _of_app(self, table: Table, key: Key) -> Table:
        table = self._resolved(table, key, "secret_keys")
        variable = table.get("access_token_env")
        if isinstance(variable, str) and not os.environ.get(variable):
            # Posts become drafts then; payments need no token, so the start must not fail for want of it.
            table = {name: value for name, value in table.items() if name != "access_token_env"}
        table = self._resolved(table, key, "access_tokens")
        return self._with_each(table, key, "endpoints", self._of_endpoint)

    def _of_endpoint(self, table: Table, key: Key) -> Table:
        return self._resolved(table, key, "secrets")

    def _with_each(self, table: Table, key: Key, array: str, change: Callable[[Table, Key], Table]) -> Table:
        items = table.get(array)
        if not isinstance(items, list):
            return table
        changed = [
            change(item, (*key, array, place)) if isinstance(item, dict) else item for place, item in enumerate(items)
        ]
        return {**table, array: changed}

    def _resolved(self, table: Table, key: Key, field: str) -> Table:
        names = written_as(field)
        given = [name for name in names if name in table]
        if not given:
            return table
        rest = {name: value for name, value in table.items() if name not in names}
        try:
            if len(given) > 1:
                raise _SecretMissing(f"is there beside {given[0]}: give one of them")
            value = table[given[0]]
            values = value if isinstance(value, list) else [value]
            found = [self._secret(given[0], each) for each in values]
        except _SecretMissing as missing:
            self.problems.append(((*key, given[-1]), str(missing)))
            self.unread.add((*key, field))
            return rest
        return {**rest, field: found}

    def _secret(self, name: str, value: object) -> object:
        if name.endswith("_file"):
            return self._from_file(value)
        if name.endswith("_env"):
            return _from_environment(value)
        self.are_in_file = True
        return value

    def _from_file(self, value: object) -> str:
        path = self._folder / str(value)
        self.files.add(path)
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise _SecretMissing(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise _SecretMissing(f"{path}: this is no text in UTF-8") from error


def _from_environment(variable: object) -> str:
    value = os.environ.get(str(variable))
    if not value:
        raise _SecretMissing(f"the environment variable {variable} is not set")
    return value
