import hashlib
import hmac
import re
from binascii import a2b_qp
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import IntEnum, StrEnum
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Final, Literal, NamedTuple
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


class Query(NamedTuple):
    """
    Hold a query's parameters, and the bytes of them that OK hashes, `sig` apart.

    One that is not sound has a parameter twice, bytes that are not UTF-8, or a NUL. Its signature can be verified
    nevertheless, since one who cannot sign is told nothing else.
    """

    parameters: Mapping[str, str]
    hashed: bytes
    signature: str
    is_sound: bool


def parse_query(raw: str) -> Query:
    """Split and decode what follows the `?`; a broken escape stays as it stands, so that this never fails."""
    if not raw.isascii() or _IS_IRREGULAR(raw):
        return _parse_irregular(raw)
    try:
        fields = _unquote(raw.replace("+", " ")).split("&")
        parameters = dict([field.split("=", 1) for field in fields])
    except ValueError:
        return _parse_irregular(raw)
    if len(parameters) < len(fields) or "" in parameters:
        return _parse_irregular(raw)
    signature = parameters.pop("sig", "")
    hashed = "".join([f"{name}={parameters[name]}" for name in sorted(parameters)]).encode()
    return Query(parameters, hashed, signature, b"\0" not in hashed)


# Most queries can be decoded as a whole before they are split, which takes half the time: those in which no escape
# hides a mark that splits, and none is broken.
_IS_IRREGULAR: Final = re.compile(r"%(?:26|3[Dd]|(?![0-9A-Fa-f]{2}))").search


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    # Percent escapes are those of quoted-printable but for the mark, and its decoder is written in C.
    return a2b_qp(text.replace("=", "=3D").replace("%", "=")).decode()


def _parse_irregular(raw: str) -> Query:
    """Do the same field by field: names that come twice and bytes that are no text are hashed as they come."""
    fields = raw.encode(errors="surrogateescape").replace(b"+", b" ").split(b"&")
    split = [field.partition(b"=") for field in fields if field]
    pairs = [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in split]
    signed = [pair for pair in pairs if pair[0] != b"sig"]
    signatures = [value for name, value in pairs if name == b"sig"]
    parameters = {
        name.decode(errors="surrogateescape"): value.decode(errors="surrogateescape") for name, value in signed
    }
    hashed = b"".join([b"%b=%b" % pair for pair in sorted(signed, key=itemgetter(0))])
    is_sound = (
        len(parameters) == len(signed)
        and len(signatures) <= 1
        and b"\0" not in hashed
        and all(_is_utf8(part) for part in chain.from_iterable(signed))
    )
    return Query(parameters, hashed, _as_text(signatures[0] if signatures else b""), is_sound)


def _as_text(part: bytes) -> str:
    return part.decode(errors="surrogateescape")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_parameters(query: Query) -> Mapping[str, str]:
    """Return the parameters of a sound query; raise MalformedQuery."""
    if not query.is_sound:
        raise MalformedQuery
    return query.parameters


def sign(parameters: Mapping[str, str], secret: str) -> str:
    """
    Return the `sig` of a callback, or of a call to OK.

    Everything given is hashed: leave out `sig` and `access_token`, but not `session_key`. A call that carries an
    access token is signed with its `session_secret`.
    """
    # The order of code points is that of their UTF-8 bytes.
    return _hash("".join([f"{name}={parameters[name]}" for name in sorted(parameters)]).encode(), secret)


def session_secret(access_token: str, secret: str) -> str:
    """Return the secret of calls that carry this access token."""
    return _hash(access_token.encode(), secret)


def verify(query: Query, secrets: Iterable[str]) -> bool:
    """Tell whether the query is signed with one of these secrets, in a time that tells nothing of them."""
    is_right = False
    if query.signature.isascii():
        for secret in secrets:
            is_right |= hmac.compare_digest(_hash(query.hashed, secret), query.signature)
    return is_right


def _hash(hashed: bytes, secret: str) -> str:
    return hashlib.md5(hashed + secret.encode(), usedforsecurity=False).hexdigest()


_TRANSACTION_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}").fullmatch
_END_DATE: Final = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2})").fullmatch


# When callbacks come fast, many of them name the same second.
@lru_cache(maxsize=1024)
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
