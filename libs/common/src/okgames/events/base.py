import hashlib
import uuid
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

_NAMESPACE_BYTES: Final = uuid.UUID("6c1f0a52-4f0b-5f0e-9d3e-0b6f6b1a3f6d").bytes


def derive_id(*parts: object) -> uuid.UUID:
    """Return the id that these parts always give, in every process and on every machine."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + "\x1f".join(map(str, parts)).encode(), usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest[:16], version=5)


def derive_id_text(*parts: str) -> str:
    """Return the text of `derive_id`, which takes half of its time."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + "\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


class Topic(StrEnum):
    """Name a stream of events; each has one writing service."""

    PAYMENTS = "okgames.payments.v1"
    ENTITLEMENTS = "okgames.entitlements.v1"
    PROMOTIONS = "okgames.promotions.v1"
    DELIVERIES = "okgames.deliveries.v1"
    JIRA = "okgames.jira.v1"


class Event(BaseModel):
    """
    State a fact in the past tense, under an id that the same fact always gets.

    `occurred_at` is when it happened, which may be long before it was appended.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    topic: ClassVar[Topic]

    id: uuid.UUID
    occurred_at: AwareDatetime
    application_key: str

    @property
    def type(self) -> str:
        """The name under which the event travels."""
        return type(self).__name__

    @property
    def key(self) -> str:
        """Events of one key reach a reader in the order of their commits."""
        return self.application_key


class PlayerEvent(Event):
    uid: str

    @property
    def key(self) -> str:
        return f"{self.application_key}:{self.uid}"


def application_of(key: str) -> str:
    """Return the application_key of the events of a key."""
    return key.partition(":")[0]
