import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

_DURATION: Final = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)


def parse_duration(value: object) -> timedelta:
    """Read 7d, 36h, 90m or 1d12h; raise ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError("must be a duration, such as 7d, 36h, 90m or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def wrong(message: str, *key: str | int) -> PydanticCustomError:
    """Return the error of a table one of whose keys does not fit the others; `key` is seen from the table."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "key": key})


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("must be longer than nothing")
    return value


def _secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("must not be empty")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]


class Table(BaseModel):
    """A table of the configuration file; nothing that is given there is shown in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    def __copy__(self) -> Self:
        """Forget what was derived from the fields: a copy may get others."""
        copied = super().__copy__()
        for name in self.__dict__.keys() - type(self).model_fields:
            del copied.__dict__[name]
        return copied


def must_be_unique(array: str, key: str, values: Sequence[str]) -> None:
    """Raise the error of the first value that is in the array of tables twice."""
    for place, value in enumerate(values):
        first = values.index(value)
        if first != place:
            raise wrong(f"is the same as {array}[{first}].{key}", array, place, key)
