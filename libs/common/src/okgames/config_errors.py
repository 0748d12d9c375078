from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from okgames.catalogue import App, Config, Endpoint, Plan, Price, Product, Promotions, Reward
from okgames.jira_account import Jira, JiraProject
from okgames.report_table import Report, ReportColumns
from okgames.toml_lines import Key, line_of, lines_of_keys

_SECRETS: Final = {
    "secret_keys": "secret_key",
    "secrets": "secret",
    "access_tokens": "access_token",
    "passwords": "password",
    "tokens": "token",
}
_TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "": Config,
    "apps": App,
    "endpoints": Endpoint,
    "products": Product,
    "prices": Price,
    "subscription": Plan,
    "reward": Reward,
    "promotions": Promotions,
    "report": Report,
    "columns": ReportColumns,
    "jira": Jira,
    "projects": JiraProject,
}
_MESSAGES: Final = {
    "missing": "is missing",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in square brackets",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "datetime_type": "must be a time with an offset, such as 2026-03-01T00:00:00+03:00",
    "timezone_aware": "must be a time with an offset, such as 2026-03-01T00:00:00+03:00",
    "path_type": "must be text in quotes",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} item",
    "too_long": "must have at most {max_length} items, not {actual_length}",
    "literal_error": "must be {expected}",
}


def written_as(field: str) -> tuple[str, str, str]:
    """Return the keys of the file under which the secrets of a field may be given."""
    name = _SECRETS[field]
    return name, f"{name}_file", f"{name}_env"


def described(path: Path, text: str, table: Mapping[str, object], errors: Sequence[tuple[Key, str]]) -> str:
    """Return one line for each error: file, line, key as it is written in the file, and what is wrong."""
    lines = lines_of_keys(text)
    written = [(_as_written(key, table), message) for key, message in errors]
    found = sorted((line_of(lines, key), f"{_dotted(key)}: {message}") for key, message in written)
    return "\n".join(f"{path}:{line}: {problem}" for line, problem in found)


def errors_of(error: ValidationError) -> list[tuple[Key, str]]:
    """Return the key and what is wrong with it, for each error; never what was given there."""
    found = [(_key(each), _message(each)) for each in error.errors(include_input=False, include_url=False)]
    # A list with a wrong item is said to be too short as well.
    return [(key, message) for key, message in found if not any(_is_within(other, key) for other, _ in found)]


def _key(error: ErrorDetails) -> Key:
    return (*error["loc"], *error.get("ctx", {}).get("key", ()))


def _message(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(error["loc"])
    field = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "missing" and field in _SECRETS:
        return "is missing: give {}, {} or {}".format(*written_as(field))
    message = _MESSAGES.get(error["type"])
    if message is None:
        return error["msg"].removeprefix("Value error, ")
    return message.format_map(error.get("ctx", {}))


def _unknown(key: Key) -> str:
    table = next((part for part in reversed(key[:-1]) if isinstance(part, str)), "")
    names = sorted(_names(_TABLES[table]))
    close = get_close_matches(str(key[-1]), names, n=1, cutoff=0.8)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    return f"is no key of this table; {hint}"


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name in _SECRETS:
            yield from written_as(name)
        else:
            yield field.alias or name
    if model is Product:
        yield "price"


def _is_within(key: Key, table: Key) -> bool:
    return len(key) > len(table) and key[: len(table)] == table


def _as_written(key: Key, table: object) -> Key:
    """Turn the place of an error in our model into that in the file, where one price or secret needs no list."""
    written: list[str | int] = []
    for part in key:
        name = _name_in(table, part)
        inner = _get(table, name)
        if not (isinstance(part, int) and written and not isinstance(table, list)):
            written.append(name)
        if name != part and not isinstance(inner, list):
            break
        table = inner
    return tuple(written)


def _name_in(table: object, part: str | int) -> str | int:
    if isinstance(table, dict) and part not in table:
        if part == "prices":
            return "price"
        if part in _SECRETS:
            names = written_as(str(part))
            return next((name for name in names if name in table), names[0])
    return part


def _get(table: object, part: str | int) -> object:
    if isinstance(table, dict):
        return table.get(part)
    if isinstance(table, list) and isinstance(part, int) and part < len(table):
        return table[part]
    return None


def _dotted(key: Key) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
