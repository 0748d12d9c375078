from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Final, TypeVar

from okgames.catalogue import App, Config
from okgames.ok_answer import ApiCode
from okgames.ok_protocol import MalformedQuery, parse_query, session_secret, sign, text_parameters

_TEXTS: Final = {
    ApiCode.SERVICE: "Service temporarily unavailable",
    ApiCode.METHOD: "Method does not exist",
    ApiCode.PERMISSION_DENIED: "User must grant an access to permission",
    ApiCode.LIMIT_REACHED: "Limit reached",
    ApiCode.PARAM: "Missing or invalid parameter",
    ApiCode.PARAM_API_KEY: "Application not exist",
    ApiCode.PARAM_SESSION_EXPIRED: "Session expired",
    ApiCode.PARAM_SESSION_KEY: "Invalid session key",
    ApiCode.PARAM_SIGNATURE: "Invalid signature",
    ApiCode.PARAM_GROUP_ID: "Invalid group id",
    ApiCode.NOT_FOUND: "Not found",
    ApiCode.NOT_SESSION_METHOD: "Method should not be called with session",
    ApiCode.SESSION_REQUIRED: "No valid session key",
    ApiCode.NOT_ENOUGH_MONEY: "Not enough money",
}


class ApiRefusal(Exception):
    """OK answers a call with an error."""

    def __init__(self, code: ApiCode, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    @property
    def message(self) -> str:
        """Return OK's `NAME : text`."""
        return " ".join(filter(None, [f"{self.code.name} : {_TEXTS[self.code]}", self.detail]))


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """
    Hold a call whose signature is right.

    `has_session` tells whether it carries an access token or a session_key, and `is_session_known` whether it is the
    token of the configuration: nobody has been given a session_key.
    """

    app: App
    method: str
    parameters: Mapping[str, str]
    has_session: bool
    is_session_known: bool

    def text(self, name: str, *, longest: int = 10_000) -> str:
        """Return what must be given; raise ApiRefusal."""
        value = self.parameters.get(name, "")
        if not value or len(value) > longest:
            raise ApiRefusal(ApiCode.PARAM, name)
        return value

    def read(self, name: str, reader: Callable[[str], T]) -> T:
        """Return what must be given, as `reader` understands it; raise ApiRefusal."""
        try:
            return reader(self.text(name))
        except ValueError as error:
            raise ApiRefusal(ApiCode.PARAM, name) from error

    def number(self, name: str, default: int) -> int:
        """Return a whole number that need not be given; raise ApiRefusal."""
        text = self.parameters.get(name) or str(default)
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise ApiRefusal(ApiCode.PARAM, name)
        return int(text)


def verified_call(config: Config, form: str, method_in_path: str | None) -> ApiCall:
    """Read a call and check its signature, with the token's secret where it carries one; raise ApiRefusal."""
    query = parse_query(form)
    try:
        parameters = dict(text_parameters(query))
    except MalformedQuery as error:
        raise ApiRefusal(ApiCode.PARAM) from error
    app = config.app(parameters.get("application_key", ""))
    if app is None:
        raise ApiRefusal(ApiCode.PARAM_API_KEY)
    token = parameters.pop("access_token", None)
    secrets = [each.get_secret_value() for each in app.secret_keys]
    if token is not None:
        secrets = [session_secret(token, secret) for secret in secrets]
    if query.signature not in {sign(parameters, secret) for secret in secrets}:
        raise ApiRefusal(ApiCode.PARAM_SIGNATURE)
    if parameters.get("format", "json").lower() != "json":
        raise ApiRefusal(ApiCode.PARAM, "format")
    return ApiCall(
        app=app,
        method=method_in_path or parameters.get("method", ""),
        parameters=parameters,
        has_session=token is not None or "session_key" in parameters,
        is_session_known=app.access_token is not None and token == app.access_token.get_secret_value(),
    )


def minute(text: str, zone: tzinfo) -> datetime:
    """Read `yyyy.MM.dd HH:mm`, local to `zone`, as a time in UTC; raise ValueError."""
    time = datetime.strptime(text, "%Y.%m.%d %H:%M")  # noqa: DTZ007 - the zone is not on the wire
    if f"{time:%Y.%m.%d %H:%M}" != text:
        raise ValueError(text)
    return time.replace(tzinfo=zone).astimezone(UTC)


def day(text: str) -> date:
    """Read `yyyy.mm.dd`, or the older `yyyy-mm-dd`; raise ValueError."""
    return date.fromisoformat(text.replace(".", "-"))


def amounts(text: str) -> tuple[int, ...]:
    """Read whole amounts with commas between them; raise ValueError."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1_000_000_000 for part in parts):
        raise ValueError(text)
    return tuple(map(int, parts))
