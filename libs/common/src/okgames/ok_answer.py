from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Final

import orjson

_PROFILE: Final = "https://ok.ru/profile/"


class Outcome(StrEnum):
    """Say what is known of a call that brought no result; a call that brought one was done."""

    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


class OkApiError(Exception):
    """A call to OK brought no result; `outcome` says whether OK may have done nevertheless what was asked."""

    outcome: Outcome = Outcome.UNKNOWN


class NotSent(OkApiError):
    """The call never reached OK."""

    outcome = Outcome.NOT_DONE


class NoToken(NotSent):
    """The call wants an access token, and the application is configured without one."""


class NoAnswer(OkApiError):
    """The call may have reached OK, and no whole answer came back."""


class Unreadable(OkApiError):
    """What came back is neither an error of OK's nor the result that the method is documented to have."""


class ApiCode(IntEnum):
    """OK's error codes that mean something to us; every other number is one we do not know."""

    UNKNOWN = 1
    SERVICE = 2
    METHOD = 3
    REQUEST = 4
    ACTION_BLOCKED = 7
    FLOOD_BLOCKED = 8
    IP_BLOCKED = 9
    PERMISSION_DENIED = 10
    LIMIT_REACHED = 11
    CANCELLED = 12
    NOT_ACTIVATED = 22
    NOT_YET_INVOLVED = 23
    NOT_OWNER = 24
    NOT_ACTIVE = 25
    TOTAL_LIMIT_REACHED = 26
    PARAM = 100
    PARAM_API_KEY = 101
    PARAM_SESSION_EXPIRED = 102
    PARAM_SESSION_KEY = 103
    PARAM_SIGNATURE = 104
    PARAM_RESIGNATURE = 105
    PARAM_USER_ID = 110
    PARAM_GROUP_ID = 160
    PARAM_PERMISSION = 200
    PARAM_APPLICATION_DISABLED = 210
    NOT_FOUND = 300
    NOT_SESSION_METHOD = 451
    SESSION_REQUIRED = 453
    CENSOR_MATCH = 454
    GROUP_RESTRICTION = 456
    MEDIA_TOPIC_BLOCK_LIMIT = 600
    MEDIA_TOPIC_TEXT_LIMIT = 601
    NO_SUCH_APP = 900
    CALLBACK_INVALID_PAYMENT = 1001
    PAYMENT_IS_REQUIRED_PAYMENT = 1002
    INVALID_PAYMENT = 1003
    DUPLICATE_PAYMENT = 1004
    NOT_ENOUGH_MONEY = 1005
    SYSTEM = 9999


_CODES: Final = {int(code): code for code in ApiCode}

PASSING: Final = frozenset({ApiCode.UNKNOWN, ApiCode.SERVICE})
"""Codes after which the same call may succeed a little later."""

TOKEN_CODES: Final = frozenset({ApiCode.PARAM_SESSION_EXPIRED, ApiCode.PARAM_SESSION_KEY})
"""Codes after which the access token must be renewed by a person."""

RIGHT_CODES: Final = frozenset({ApiCode.PERMISSION_DENIED, ApiCode.PARAM_PERMISSION, ApiCode.GROUP_RESTRICTION})
"""Codes that say that OK has not granted the right."""

_UNSURE: Final = PASSING | {ApiCode.SYSTEM}


class Refused(OkApiError):
    """
    OK answered with an error.

    `code` is None where we do not know the number. Only a code that says why OK would not begin lets us know that
    nothing was done: after 1, 2, 9999 and unknown ones OK may have failed halfway.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(number, message)
        self.number = number
        self.message = message
        self.code = _CODES.get(number)
        self.outcome = Outcome.UNKNOWN if self.code is None or self.code in _UNSURE else Outcome.NOT_DONE


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what came back over HTTP as it came; `invocation_error` is the text of that header."""

    status: int
    invocation_error: str | None
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class UserInfo:
    """Tell who a player is; `name` is None where the profile is closed or deleted."""

    uid: str
    name: str | None
    profile_url: str


@dataclass(frozen=True, slots=True)
class GroupTopic:
    """Hold the texts of a post in a group, one below the other."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class CallsLeft:
    method: str
    available: bool
    calls_left: int


class Operation(StrEnum):
    """Say what a row of OK's statistics is: DEBIT a payment, CREDIT a transfer to the application or a refund."""

    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


@dataclass(frozen=True, slots=True)
class StatementRow:
    """
    Hold one row of OK's statistics of a day.

    `user_id` is the payer's, a refund's too, and the application's for any other CREDIT.
    """

    id: str
    at: datetime
    operation: Operation
    status: str
    amount_oks: int
    description: str
    user_id: str


@dataclass(frozen=True, slots=True)
class StatementPage:
    """Hold some rows; `anchor` is where the next ones begin, None on the last page."""

    rows: tuple[StatementRow, ...]
    anchor: str | None


def result_of(answer: Answer) -> object:
    """Return the JSON value of an answer, which may be a bare `true` or a text; raise Refused or Unreadable."""
    value = _json(answer)
    if answer.invocation_error is not None:
        raise _refusal(answer.invocation_error, value)
    match value:
        case {"error_code": int(number)}:
            raise _refusal(str(number), value)
    if answer.status != 200:
        raise Unreadable(f"HTTP status {answer.status}")
    if isinstance(value, _NotJson):
        raise Unreadable("no JSON")
    return value


class _NotJson:
    """Stand for a body that is no JSON, which some refusals have."""


def _json(answer: Answer) -> object:
    try:
        value: object = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return _NotJson()
    return value


def _refusal(header: str, value: object) -> OkApiError:
    text = header.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return Unreadable("an Invocation-Error that is no number")
    match value:
        case {"error_msg": str(message)}:
            return Refused(int(text), message[:512])
    return Refused(int(text), "")


def winners_of(answer: Answer) -> tuple[str, ...]:
    """
    Return the ids of payment.appCashback's winners, in the order of the prizes; raise Refused or Unreadable.

    Whether OK answers with fewer winners than prizes, or none, where too few have paid is not documented.
    """
    match result_of(answer):
        case {"users": list(users)}:
            return tuple(_id(user) for user in users)
    raise Unreadable("no list of users")


def users_of(value: object) -> tuple[UserInfo, ...]:
    """Return what users.getInfo says; raise Unreadable."""
    return tuple(_user(row) for row in _rows(value))


def _user(row: Mapping[str, object]) -> UserInfo:
    uid = _id(row.get("uid"))
    first, last, whole, url = (_line(row.get(key)) for key in ("first_name", "last_name", "name", "url_profile"))
    name = f"{first} {last}".strip() or whole
    # The uid may be one that OK made for this application only, so its own link is the better one.
    return UserInfo(uid, name or None, url if url.startswith("https://") else f"{_PROFILE}{uid}")


def _line(value: object) -> str:
    """Return a text of a player's own making as one printable line, empty where there is none."""
    return "".join(filter(str.isprintable, value))[:256].strip() if isinstance(value, str) else ""


def topic_ids_of(value: object) -> tuple[str, ...]:
    """Return the ids in group.getStatTopics' answer; raise Unreadable."""
    match value:
        case {"topics": list(topics)}:
            return tuple(_id(row.get("id")) for row in _rows(topics))
        case dict():
            return ()
    raise Unreadable("no topics")


def topics_of(value: object) -> tuple[GroupTopic, ...]:
    """Return what mediatopic.getByIds says; raise Unreadable."""
    match value:
        case {"media_topics": list(topics)}:
            return tuple(GroupTopic(_id(row.get("id")), _text_of(row.get("media"))) for row in _rows(topics))
        case dict():
            return ()
    raise Unreadable("no media topics")


def _text_of(media: object) -> str:
    parts = media if isinstance(media, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def calls_left_of(value: object) -> tuple[CallsLeft, ...]:
    """Return what users.getCallsLeft says; raise Unreadable."""
    found: list[CallsLeft] = []
    for row in _rows(value):
        match row:
            case {"name": str(name), "available": bool(available), "callsLeft": int(left)}:
                found.append(CallsLeft(name, available, left))
            case _:
                raise Unreadable("a method without the number of its calls")
    return tuple(found)


def statement_of(value: object) -> StatementPage:
    """
    Return a page of payment.getDailyTransactionsFromServer; raise Unreadable.

    OK's page names `fields` beside `data`, so rows are read as objects and as lists in the order of `fields`.
    """
    match value:
        case {"data": list(data), **rest}:
            rows = tuple(_statement_row(_as_object(row, rest.get("fields"))) for row in data)
            anchor = rest.get("anchor")
            has_more = rest.get("has_more") is True and bool(rows)
            return StatementPage(rows, anchor if has_more and isinstance(anchor, str) else None)
    raise Unreadable("no transactions")


def _as_object(row: object, fields: object) -> Mapping[str, object]:
    if isinstance(row, list) and isinstance(fields, list) and len(row) == len(fields):
        return dict(zip(map(str, fields), row, strict=True))
    if isinstance(row, dict):
        return row
    raise Unreadable("a transaction that is no object")


def _statement_row(row: Mapping[str, object]) -> StatementRow:
    match row:
        case {"timestamp": int(seconds), "operation": str(operation), "status": str(status), "amount": int(amount)}:
            try:
                at, kind = datetime.fromtimestamp(seconds, UTC), Operation(operation)
            except (ValueError, OverflowError, OSError) as error:
                raise Unreadable("a transaction with a wrong time or operation") from error
            description = str(row.get("desc") or "")
            return StatementRow(_id(row.get("id")), at, kind, status, amount, description, _id(row.get("userId")))
    raise Unreadable("a transaction without its fields")


def bare_id_of(value: object) -> str:
    """Return an id that is the whole answer, or its `id`; raise Unreadable."""
    return _id(value["id"] if isinstance(value, dict) and "id" in value else value)


def bare_flag_of(value: object) -> bool:
    """Return the `true` or `false` that is the whole answer; raise Unreadable."""
    if isinstance(value, bool):
        return value
    raise Unreadable("neither true nor false")


def _rows(value: object) -> Sequence[Mapping[str, object]]:
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value
    raise Unreadable("no list of objects")


def _id(value: object) -> str:
    """Return an id as text: OK sends numbers and texts, and none may lose a digit."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 64 and value.isascii() and value.isprintable():
        return value
    raise Unreadable("no id")
