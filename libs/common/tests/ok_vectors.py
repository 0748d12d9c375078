import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from okgames.ok_protocol import ErrorCode

_VECTORS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "vectors.toml").read_text())


@dataclass(frozen=True)
class CallbackVector:
    """A callback as OK would send it; `hashed` is the text that is hashed before the secret."""

    id: str
    rule: str
    query: str
    hashed: str
    sig: str
    error: ErrorCode | None


@dataclass(frozen=True)
class CallVector:
    """A call to OK; without `session_secret` the application's secret signs it."""

    id: str
    rule: str
    query: str
    hashed: str
    sig: str
    access_token: str | None = None
    session_secret: str | None = None


@dataclass(frozen=True)
class PublishedVector:
    """A call that somebody else's client signs; `secret` is the application's where there is an access token."""

    client: str
    parameters: dict[str, str]
    secret: str
    sig: str
    access_token: str | None = None


SECRET: Final[str] = _VECTORS["secret"]
APPLICATION_KEY: Final[str] = _VECTORS["application_key"]
CALLBACKS: Final = [
    CallbackVector(**vector | {"error": ErrorCode(vector["error"]) if "error" in vector else None})
    for vector in _VECTORS["callbacks"]
]
CALLS: Final = [CallVector(**vector) for vector in _VECTORS["calls"]]
MISTAKES: Final[dict[str, str]] = {vector["mistake"]: vector["sig"] for vector in _VECTORS["mistakes"]}
PUBLISHED: Final = [PublishedVector(**vector) for vector in _VECTORS["published"]]
