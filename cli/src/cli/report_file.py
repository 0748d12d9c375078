import csv
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from typing import Final, TextIO, TypeAlias, TypeVar
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - it is a class, whatever zlib calls it
from zoneinfo import ZoneInfo

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from cli.comparison import Line, Standing
from okgames.report_table import Report

T = TypeVar("T")
Row: TypeAlias = tuple[int, Sequence[object]]
"""The number of a row, as a spreadsheet shows it, and its cells."""

MOST_BYTES: Final = 256 * 2**20
MOST_UNPACKED: Final = 2**30
MOST_STRINGS: Final = 128 * 2**20
"""The one part of an XLSX that is kept in memory whole."""
MOST_ROWS: Final = 3_000_000

_LONGEST_LINE: Final = 2**16
_LONGEST_NAME: Final = 256
_MOST_COLUMNS: Final = 256
_MOST_PARTS: Final = 1000
_HEADINGS_WITHIN: Final = 20
_DELIMITERS: Final = ";,\t"
_BLANKS: Final = re.compile(r"[\s\u00a0\u2009\u202f]+")
_AMOUNT: Final = re.compile(r"([-\u2212+]?)(\d{1,12}|\d{1,3}(?:,\d{3}){1,3})(?:[.,]0{1,2})?", re.ASCII)
_ROUNDED: Final = re.compile(r"[-+]?\d([.,]\d+)?[eE]\+?\d+", re.ASCII)
_EXACT_BELOW: Final = 10**15
_YEARS: Final = range(1970, 9000)
_BROKEN: Final = (
    BadZipFile,
    InvalidFileException,
    ParseError,
    ZlibError,
    OSError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What openpyxl and zipfile raise on bytes that are no workbook."""


class WrongReport(Exception):
    """A report cannot be read; the text names the file, the row where there is one, and what is wrong."""


class NoHeadings(WrongReport):
    """A report is a table of something else: no row has the headings of the configuration."""


class _Wrong(Exception):
    """A cell is not what its column should hold."""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Hold one row; `places` say at which cell each column stands."""

    row: str
    headings: Mapping[str, str]
    places: Mapping[str, int]
    cells: Sequence[object]

    def read(self, column: str, reader: Callable[[object], T]) -> T:
        """Read one cell; raise WrongReport."""
        try:
            return reader(self._cell(column))
        except _Wrong as error:
            raise WrongReport(f"{self.row}: {self.headings[column]}: {error}") from error

    @property
    def is_payment(self) -> bool:
        """Whether this is a row of its own; those that sum up others have neither a transaction nor a time."""
        return any(_text(self._cell(column)) for column in ("transaction_id", "time"))

    def _cell(self, column: str) -> object:
        place = self.places.get(column)
        return None if place is None or place >= len(self.cells) else self.cells[place]


def read_report(path: Path, report: Report, zone: ZoneInfo) -> Iterator[Line]:
    """
    Read the payments of a report row by row, in memory that does not grow with it; raise WrongReport.

    A negative amount is a refund. Rows above the headings, blank rows, and rows with neither a transaction nor a time,
    which sum up others, are passed over. A file that is too large, or claims to unpack to something too large, is not
    read at all.
    """
    opening = _opening(path)
    if opening.startswith(b"PK"):
        yield from _xlsx_lines(path, report, zone)
    elif opening.startswith(b"\xd0\xcf\x11\xe0"):
        raise WrongReport(f"{path}: this is an old workbook: save it as XLSX or CSV")
    else:
        yield from _csv_lines(path, report, zone)


def _opening(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            opening = file.read(4)
            size = path.stat().st_size
    except OSError as error:
        raise WrongReport(f"{path}: {error.strerror}") from error
    if size > MOST_BYTES:
        raise WrongReport(f"{path}: has more than {MOST_BYTES} bytes")
    return opening


def _csv_lines(path: Path, report: Report, zone: ZoneInfo) -> Iterator[Line]:
    encoding = "utf-8-sig" if report.encoding == "utf-8" else report.encoding
    try:
        for delimiter in _DELIMITERS:
            with path.open(encoding=encoding, newline="") as file:
                rows = _bounded(
                    path, enumerate(csv.reader(_text_lines(path, file), delimiter=delimiter, strict=True), 1)
                )
                places = _columns(path, rows, report)
                if places is not None:
                    yield from _lines(path, rows, places, report, zone)
                    return
    except UnicodeDecodeError as error:
        raise WrongReport(f"{path}: is no text in {report.encoding}: the report's encoding can be set") from error
    except csv.Error as error:
        raise WrongReport(f"{path}: is no CSV: {error}") from error
    raise _no_headings(path, report)


def _text_lines(path: Path, file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise WrongReport(f"{path}: has a line of more than {_LONGEST_LINE} characters")
        yield line


def _xlsx_lines(path: Path, report: Report, zone: ZoneInfo) -> Iterator[Line]:
    with _workbook_rows(path, report) as cells:
        rows = _bounded(path, _whole(path, cells))
        places = _columns(path, rows, report)
        if places is None:
            raise _no_headings(path, report)
        yield from _lines(path, rows, places, report, zone)


@contextmanager
def _workbook_rows(path: Path, report: Report) -> Iterator[Iterator[Row]]:
    with path.open("rb") as file:
        try:
            _must_be_small(path)
            with warnings.catch_warnings():
                # openpyxl warns of styles and dates that it does not know, which we do not need.
                warnings.simplefilter("ignore")
                book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except _BROKEN as error:
            raise _no_workbook(path) from error
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        sheet = sheets.get(report.sheet) if report.sheet else next(iter(sheets.values()), None)
        if sheet is None:
            raise WrongReport(f"{path}: has no sheet {report.sheet or 'at all'}")
        # What the file says of its own size may be wrong, and rows are then cut or filled up.
        sheet.reset_dimensions()
        yield enumerate(sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS), 1)


def _must_be_small(path: Path) -> None:
    with ZipFile(path) as archive:
        parts = archive.infolist()
    strings = sum(part.file_size for part in parts if not part.filename.startswith("xl/worksheets/"))
    # What a part unpacks to is cut at the size that it claims, so that the claims can be relied on.
    if len(parts) > _MOST_PARTS or strings > MOST_STRINGS or sum(part.file_size for part in parts) > MOST_UNPACKED:
        raise WrongReport(f"{path}: would unpack to more than a report can have")


def _whole(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """Return the same rows; raise WrongReport where the workbook breaks off."""
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row = next(rows, None)
        except _BROKEN as error:
            raise _no_workbook(path) from error
        if row is None:
            return
        yield row


def _bounded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    for number, cells in rows:
        if number > MOST_ROWS:
            raise WrongReport(f"{path}: has more than {MOST_ROWS} rows")
        yield number, cells


def _columns(path: Path, rows: Iterator[Row], report: Report) -> Mapping[str, int] | None:
    """Read rows up to that of the headings and return where the columns stand; None where there is no such row."""
    wanted = dict(report.columns.headings())
    for number, cells in rows:
        titles = [_text(cell) for cell in cells]
        if all(heading in titles for heading in wanted.values()):
            double = [heading for heading in wanted.values() if titles.count(heading) > 1]
            if double:
                raise WrongReport(f"{path}: row {number}: two columns are called {double[0]}")
            return {column: titles.index(heading) for column, heading in wanted.items()}
        if number >= _HEADINGS_WITHIN:
            break
    return None


def _lines(
    path: Path, rows: Iterator[Row], places: Mapping[str, int], report: Report, zone: ZoneInfo
) -> Iterator[Line]:
    headings = dict(report.columns.headings())
    for number, cells in rows:
        row = _Cells(f"{path}: row {number}", headings, places, cells)
        if not row.is_payment:
            continue
        amount = row.read("amount", _amount)
        yield Line(
            transaction_id=row.read("transaction_id", _id),
            standing=Standing.REFUND if amount < 0 else Standing.PAID,
            at=row.read("time", partial(_time, time_format=report.time_format, zone=zone)),
            amount_oks=abs(amount),
            uid=row.read("uid", _name) or None,
            product=row.read("product", _name) or None,
        )


def _id(cell: object) -> str:
    name = _name(cell)
    if not name:
        raise _Wrong("is missing")
    return name


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _name(cell: object) -> str:
    """Return an id or a name; raise _Wrong where a spreadsheet has taken an id for a number and rounded it."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT_BELOW:
        return str(int(cell))
    text = _text(cell)
    if (isinstance(cell, int | float) and abs(cell) >= _EXACT_BELOW) or _ROUNDED.fullmatch(text):
        raise _Wrong("is a number whose last digits may be lost: the column must be text")
    if len(text) > _LONGEST_NAME or not text.isprintable():
        raise _Wrong("is no name or id")
    return text


def _amount(cell: object) -> int:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    match = _AMOUNT.fullmatch(_BLANKS.sub("", _text(cell)))
    if match is None or isinstance(cell, bool):
        raise _Wrong("is no whole number of OKs")
    amount = int(match[2].replace(",", ""))
    return -amount if match[1] in ("-", "\u2212") else amount


def _time(cell: object, time_format: str | None, zone: ZoneInfo) -> datetime:
    match cell:
        case datetime():
            at = cell
        case date():
            at = datetime.combine(cell, time())
        case _:
            at = _read_time(_text(cell), time_format)
    if at.year not in _YEARS:
        raise _Wrong("is no time of a payment")
    # All books are sorted by time, which must therefore be of one zone.
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def _read_time(text: str, time_format: str | None) -> datetime:
    for form in [time_format] if time_format else [None, "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y"]:
        try:
            if form is None:
                return datetime.fromisoformat(text)
            return datetime.strptime(text, form)  # noqa: DTZ007 - the caller knows the zone
        except ValueError:
            continue
    raise _Wrong(f"is no time such as {time_format or '2031-12-24 17:48:59'}")


def _no_headings(path: Path, report: Report) -> NoHeadings:
    headings = ", ".join(heading for _, heading in report.columns.headings())
    return NoHeadings(f"{path}: no row among the first {_HEADINGS_WITHIN} has the headings {headings}")


def _no_workbook(path: Path) -> WrongReport:
    return WrongReport(f"{path}: is no XLSX workbook that can be read")
