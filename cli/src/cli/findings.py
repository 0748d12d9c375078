from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """Say how one part of an installation is, and what to do about it; nothing where it is well."""

    level: Level
    what: str
    found: str
    to_do: str = ""


def well(what: str, found: str) -> Finding:
    return Finding(Level.OK, what, found)


def warning(what: str, found: str, to_do: str) -> Finding:
    return Finding(Level.WARNING, what, found, to_do)


def wrong(what: str, found: str, to_do: str) -> Finding:
    return Finding(Level.WRONG, what, found, to_do)
