import hashlib
import hmac
import re
from binascii import a2b_qp
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import IntEnum, StrEnum
from itertools import chain
from operator import itemgetter
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import orjson

CALLBACK_METHOD: Final = "callbacks.payment"
"""What the parameter `method` of a callback says."""


class MalformedQuery(Exception):
    """The query has a parameter twice, bytes that are not UTF-8, or a NUL."""


class MalformedTime(Exception):
    """The text is not a date and time in OK's format."""


class MalformedAttributes(Exception):
    """The extra_attributes are not those of a subscription."""


class ErrorCode(IntEnum):
    """The whole list of callbacks.payment's error codes."""

    UNKNOWN = 1
    SERVICE = 2
    PARAM_SIGNATURE = 104
    CALLBACK_INVALID_PAYMENT = 1001
    SYSTEM = 9999

    @property
    def message(self) -> str:
        """Return OK's `NAME : text`."""
        return f"{self.name} : {_ERROR_TEXTS[self]}"


_ERROR_TEXTS: Final = {
    ErrorCode.UNKNOWN: "Unknown error",
    ErrorCode.SERVICE: "Service temporarily unavailable",
    ErrorCode.PARAM_SIGNATURE: "Invalid signature",
    ErrorCode.CALLBACK_INVALID_PAYMENT: "Payment is invalid and can not be processed",
    ErrorCode.SYSTEM: "Critical system failure, which can not be repaired",
}


@dataclass(frozen=True, slots=True)
class Query:
    """
    Hold a query's parameters in the order in which they came, `sig` apart.

    They are the decoded bytes, because bytes are what OK hashes: a value that is no UTF-8 must fail by its
    signature first.
    """

    pairs: tuple[tuple[bytes, bytes], ...]
    signatures: tuple[bytes, ...]

    def first(self, name: bytes) -> bytes | None:
        """Return the first value of a parameter, also of one that comes twice."""
        return next((value for key, value in self.pairs if key == name), None)


def parse_query(raw: str) -> Query:
    """Split and decode what follows the `?`; a broken escape stays as it stands, so this never fails."""
    text = raw.encode("utf-8", "surrogateescape").replace(b"+", b" ")
    unquote = unquote_to_bytes if _BROKEN_ESCAPE(text) else _unquote
    pairs: list[tuple[bytes, bytes]] = []
    signatures: list[bytes] = []
    for field in text.split(b"&"):
        key, equals, value = field.partition(b"=")
        if b"%" in field:
            key, value = unquote(key), unquote(value)
        if key == b"sig":
            signatures.append(value)
        elif key or equals:
            pairs.append((key, value))
    return Query(tuple(pairs), tuple(signatures))


_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search


def _unquote(text: bytes) -> bytes:
    # Percent escapes are those of quoted-printable but for the mark, and its decoder is written in C.
    return unquote_to_bytes(text) if b"=" in text else a2b_qp(text.replace(b"%", b"="))


def text_parameters(query: Query) -> dict[str, str]:
    """Return the parameters as text; raise MalformedQuery if they could be read in two ways, or not at all."""
    try:
        parameters = {key.decode(): value.decode() for key, value in query.pairs}
    except UnicodeDecodeError as error:
        raise MalformedQuery from error
    repeated = len(parameters) < len(query.pairs) or len(query.signatures) > 1
    if repeated or b"\0" in b"".join(chain.from_iterable(query.pairs)):
        raise MalformedQuery
    return parameters


def sign(parameters: Mapping[str, str], secret: str) -> str:
    """
    Return the `sig` of a callback, or of a call to OK.

    Everything given is hashed: leave out `sig` and `access_token`, but not `session_key`. A call that carries an
    access token is signed with its `session_secret`.
    """
    pairs = [(key.encode(), value.encode()) for key, value in parameters.items()]
    return _hash(pairs, secret).decode()


def session_secret(access_token: str, secret: str) -> str:
    """Return the secret of calls that carry this access token."""
    return hashlib.md5(f"{access_token}{secret}".encode(), usedforsecurity=False).hexdigest()


def verify(query: Query, secrets: Iterable[str]) -> bool:
    """Tell whether the query is signed with one of these secrets, in a time that tells nothing of them."""
    if not query.signatures:
        return False
    signature = query.signatures[0]
    return any(hmac.compare_digest(_hash(query.pairs, secret), signature) for secret in secrets)


_KEY: Final = itemgetter(0)


def _hash(pairs: Sequence[tuple[bytes, bytes]], secret: str) -> bytes:
    glued = b"".join([b"%b=%b" % pair for pair in sorted(pairs, key=_KEY)])
    return hashlib.md5(glued + secret.encode(), usedforsecurity=False).hexdigest().encode()


_TRANSACTION_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}").fullmatch
_END_DATE: Final = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2})").fullmatch


def parse_transaction_time(text: str, zone: tzinfo) -> datetime:
    """Read `yyyy-mm-dd HH:MM:SS`, local to `zone`, as a time in UTC; raise MalformedTime."""
    if not _TRANSACTION_TIME(text):
        raise MalformedTime
    return _time(text, zone)


def parse_end_date(text: str, zone: tzinfo) -> datetime:
    """Read `DD-MM-YYYY hh:mm:ss`, local to `zone`, as a time in UTC; raise MalformedTime."""
    match = _END_DATE(text)
    if not match:
        raise MalformedTime
    day, month, year, time_of_day = match.groups()
    return _time(f"{year}-{month}-{day} {time_of_day}", zone)


def _time(text: str, zone: tzinfo) -> datetime:
    # Nobody may be able to make our arithmetic of dates overflow.
    if not "1970" < text < "9000":
        raise MalformedTime
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except ValueError as error:
        raise MalformedTime from error


def format_transaction_time(time: datetime, zone: tzinfo) -> str:
    """Write `yyyy-mm-dd HH:MM:SS` in `zone`."""
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def format_end_date(time: datetime, zone: tzinfo) -> str:
    """Write `DD-MM-YYYY hh:mm:ss` in `zone`."""
    return f"{time.astimezone(zone):%d-%m-%Y %H:%M:%S}"


_AMOUNT: Final = re.compile(r"[0-9]{1,9}").fullmatch


def parse_amount(text: str) -> int | None:
    """Read a whole amount; None for everything else, a sign, a fraction or a tenth digit too."""
    return int(text) if _AMOUNT(text) else None


class CallbackAction(StrEnum):
    """What `action` in a subscription's extra_attributes says; REG_SUBSCRIPTION is a renewal too."""

    REG_SUBSCRIPTION = "reg_subscription"
    TRIAL_SUBSCRIPTION = "trial_subscription"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class SubscriptionAttributes:
    """Hold what OK itself says in the extra_attributes of a subscription; `end_date` is the text of `ends_at`."""

    action: CallbackAction
    ends_at: datetime
    end_date: str


def parse_subscription_attributes(text: str, zone: tzinfo) -> SubscriptionAttributes:
    """Read the extra_attributes of a subscription; raise MalformedAttributes."""
    try:
        attributes = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedAttributes from error
    match attributes:
        case {"action": str(action), "subscriptionEndDate": str(end_date)}:
            try:
                return SubscriptionAttributes(CallbackAction(action), parse_end_date(end_date, zone), end_date)
            except (ValueError, MalformedTime) as error:
                raise MalformedAttributes from error
    raise MalformedAttributes


def format_subscription_attributes(action: CallbackAction, ends_at: datetime, zone: tzinfo) -> str:
    """Write the extra_attributes of a subscription, with the blank that OK puts before the action."""
    return f'{{"subscriptionEndDate":"{format_end_date(ends_at, zone)}","action": "{action}"}}'


AnswerFormat = Literal["xml", "json"]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a callback, always with HTTP status 200; an error also goes into the header `Invocation-error`."""

    body: bytes
    content_type: str
    error: ErrorCode | None


def reply(form: AnswerFormat, error: ErrorCode | None = None) -> Reply:
    """Return the answer to a callback: `true`, or the error."""
    return _REPLIES[form][error]


_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NAMESPACE: Final = "http://api.forticom.com/1.0/"


def _xml(error: ErrorCode | None) -> Reply:
    if error is None:
        body = f'{_XML}<callbacks_payment_response xmlns="{_NAMESPACE}">true</callbacks_payment_response>'
    else:
        body = (
            f'{_XML}<ns2:error_response xmlns:ns2="{_NAMESPACE}"><error_code>{error}</error_code>'
            f"<error_msg>{error.message}</error_msg></ns2:error_response>"
        )
    return Reply(body.encode(), "application/xml", error)


def _json(error: ErrorCode | None) -> Reply:
    body: object = True
    if error is not None:
        body = {"error_code": int(error), "error_msg": error.message, "error_data": None}
    return Reply(orjson.dumps(body), "application/json", error)


_ANSWERS: Final = (None, *ErrorCode)
_REPLIES: Final[Mapping[AnswerFormat, Mapping[ErrorCode | None, Reply]]] = {
    "xml": {error: _xml(error) for error in _ANSWERS},
    "json": {error: _json(error) for error in _ANSWERS},
}
