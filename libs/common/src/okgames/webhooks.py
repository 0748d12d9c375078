import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_PREFIX: Final = "whsec_"
_TOLERANCE: Final = timedelta(minutes=5)


class WrongSecret(ValueError):
    """A webhook secret is base64, with or without whsec_ before it."""


class WebhookRejected(Exception):
    """This request must not be believed; answer it with 400."""


class MissingHeader(WebhookRejected):
    """One of webhook-id, webhook-timestamp and webhook-signature is absent."""


class WrongTimestamp(WebhookRejected):
    """The webhook-timestamp is no number, or too far from the time here: an old request sent again."""


class WrongSignature(WebhookRejected):
    """No signature fits: another secret signed this, or the body is not the one that was signed."""


class WrongBody(WebhookRejected):
    """The signature fits, but the body is not {"type", "timestamp", "data"}."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Hold what a webhook says; `id` is the same on every attempt, so keep it to count each webhook once."""

    id: str
    type: str
    timestamp: datetime
    data: Mapping[str, object]


def signing_key(secret: str) -> bytes:
    """Return the bytes that sign; raise WrongSecret."""
    text = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WrongSecret from error
    if not key:
        raise WrongSecret
    return key


def sign(secret: str | bytes | Sequence[str | bytes], webhook_id: str, timestamp: datetime, body: bytes) -> str:
    """
    Return the webhook-signature header of Standard Webhooks 1.0.

    A secret is text as `signing_key` takes it, or what that returned. Several secrets, while one replaces another,
    give as many signatures with a space between them.
    """
    signed = _signed_text(webhook_id, int(timestamp.timestamp()), body)
    return " ".join([f"v1,{_signature(key, signed)}" for key in _keys(secret)])


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes | str,
    *,
    now: datetime | None = None,
    tolerance: timedelta = _TOLERANCE,
) -> Webhook:
    """
    Return what a webhook says once its signature is found right; raise a kind of WebhookRejected otherwise.

    `body` is the request's body as it came, `now` the time of this machine unless given. Any of several
    secrets will do. The names of headers may be in any case.
    """
    found = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp, signatures = (_header(found, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    seconds = _checked_seconds(timestamp, now or _machine_time(), tolerance)
    content = body.encode() if isinstance(body, str) else body
    signed = _signed_text(webhook_id, seconds, content)
    expected = [_signature(key, signed) for key in _keys(secret)]
    if not _any_equal(expected, signatures):
        raise WrongSignature
    return _webhook(webhook_id, content)


def _keys(secret: str | bytes | Sequence[str | bytes]) -> list[bytes]:
    secrets = [secret] if isinstance(secret, str | bytes) else secret
    return [each if isinstance(each, bytes) else signing_key(each) for each in secrets]


def _machine_time() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - this side runs at the game, which has no clock of ours


def _signed_text(webhook_id: str, seconds: int, body: bytes) -> bytes:
    return b"%s.%d.%s" % (webhook_id.encode(), seconds, body)


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise MissingHeader(name)
    return value


def _checked_seconds(timestamp: str, now: datetime, tolerance: timedelta) -> int:
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise WrongTimestamp(timestamp)
    seconds = int(timestamp)
    if abs(seconds - now.timestamp()) > tolerance.total_seconds():
        raise WrongTimestamp(timestamp)
    return seconds


def _any_equal(expected: Sequence[str], signatures: str) -> bool:
    given = [
        signature.encode()
        for version, _, signature in (part.partition(",") for part in signatures.split(" "))
        if version == "v1"
    ]
    # Each is compared, so that the time taken does not tell which one fitted.
    fitting = [hmac.compare_digest(right.encode(), each) for right in expected for each in given]
    return any(fitting)


def _webhook(webhook_id: str, body: bytes) -> Webhook:
    try:
        match json.loads(body):
            case {"type": str(kind), "timestamp": str(timestamp), "data": dict(data)}:
                return Webhook(webhook_id, kind, datetime.fromisoformat(timestamp), data)
    except ValueError as error:
        raise WrongBody from error
    raise WrongBody
