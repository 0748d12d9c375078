from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, model_validator

from okgames.tables import Name, Table, wrong

_EXAMPLE: Final = datetime(2031, 12, 24, 17, 48, 59)  # noqa: DTZ001 - what is tried is a format, which has no zone


def _time_format(value: str) -> str:
    try:
        read = datetime.strptime(_EXAMPLE.strftime(value), value)  # noqa: DTZ007 - as _EXAMPLE
    except ValueError:
        read = None
    if read is None or read.date() != _EXAMPLE.date():
        raise ValueError("must say where day, month and year stand, such as %d.%m.%Y %H:%M:%S")
    return value


class ReportColumns(Table):
    """Which headings the columns of a report have; without the last two, players and products are not compared."""

    transaction_id: Name
    time: Name
    amount: Name
    uid: Name | None = None
    product: Name | None = None

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        seen: dict[str, str] = {}
        for column, heading in self.headings():
            if heading in seen:
                raise wrong(f"is the same as {seen[heading]}", column)
            seen[heading] = column
        return self

    def headings(self) -> Iterator[tuple[str, str]]:
        """Return the columns that are there, with their headings."""
        for column in type(self).model_fields:
            heading: str | None = getattr(self, column)
            if heading is not None:
                yield column, heading


class Report(Table):
    """
    How the table of payments in OK's monthly report is read.

    `time_format` is strptime's; without it, times are ISO 8601 or 24.12.2031 17:48:59. Times without an offset are in
    the application's zone. `encoding` is that of a CSV, `sheet` the name of an XLSX's, of which else the first counts.
    """

    columns: ReportColumns
    time_format: Annotated[str, AfterValidator(_time_format)] | None = None
    encoding: Literal["utf-8", "cp1251"] = "utf-8"
    sheet: Name | None = None
