import asyncio
import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cli.api import Api
from cli.comparison import Day, Difference, Kind, Line, Month, Standing, compare
from cli.failures import Failed, WrongInput
from cli.installation import plain_errors
from cli.jira_reports import download
from cli.report_file import NoHeadings, WrongReport, read_report
from cli.sorted_lines import SortedLines, sorted_lines
from okgames.catalogue import App
from okgames.clock import SystemClock
from okgames.config import load_config
from okgames.ok_answer import OkApiError, Operation, StatementRow
from okgames.ok_api import OkApi, ok_session
from okgames.settings import Settings, load_settings
from okgames.telemetry import configure_logging

_DAY: Final = timedelta(days=1)
_MARGIN: Final = _DAY
_PAGE: Final = 1000
_PAGES_OF_A_DAY: Final = 100_000
_TABLES: Final = frozenset({".csv", ".xlsx"})


class _Payment(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    transaction_id: str | None
    occurred_at: AwareDatetime
    amount_oks: int
    uid: str
    product: str

    def line(self) -> Line:
        return Line(self.transaction_id or "", Standing.PAID, self.occurred_at, self.amount_oks, self.uid, self.product)


class _KeptReport(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    issue_key: str
    file_name: str
    sha256: str
    attached_at: AwareDatetime
    removed_at: AwareDatetime | None

    @property
    def ending(self) -> str:
        return Path(self.file_name).suffix.lower()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Say how a month's books compare, and with what of OK's; differences lie in the file at `path`, row by row."""

    month: Month
    compared_with: str
    days: Mapping[date, Day]
    kinds: Mapping[Kind, int]
    path: Path

    @property
    def agrees(self) -> bool:
        """Whether nothing differs; a refund is told by OK's books alone, so it is no difference."""
        return not any(number for kind, number in self.kinds.items() if kind is not Kind.REFUND)


def reconcile(
    api: Api, application_key: str, month: str, report: Path | None, path: Path | None, *, with_statistics: bool
) -> Reconciliation:
    """
    Compare our payments of a month with OK's books; raise WrongInput or Failed.

    Those are a report, or without one the report of the month that is kept, or without that OK's statistics. Both
    books are read a little beyond the month, where they can be, for payments around midnight.
    """
    with plain_errors():
        settings = load_settings()
        # Calls to OK that fail are logged, on standard error.
        configure_logging(settings.log_level, settings.log_format)
        app = load_config(settings.config).app(application_key)
    if app is None:
        raise WrongInput(f"the configuration has no application {application_key}")
    try:
        chosen = Month.read(month, app.timezone)
    except ValueError as error:
        raise WrongInput(f"--month: {month} {error}") from error
    with sorted_lines() as ours, sorted_lines() as theirs:
        if report is not None:
            compared_with = str(report)
            _read(report, app, theirs)
        elif not with_statistics and (kept := _read_kept(api, app, chosen, settings.data_dir, theirs)):
            compared_with = kept
        else:
            compared_with = "OK's statistics"
            asyncio.run(_ask_ok(settings, app, chosen, theirs))
        ours.add(_our_lines(api, app, chosen))
        kinds = dict.fromkeys(Kind, 0)
        target = path or settings.data_dir / "reconcile" / f"{application_key}-{chosen}.csv"
        with _differences_file(target) as write:

            def found(difference: Difference) -> None:
                kinds[difference.kind] += 1
                write(difference)

            days = compare(ours, theirs, chosen, found)
    return Reconciliation(chosen, compared_with, days, kinds, target)


def _our_lines(api: Api, app: App, month: Month) -> Iterator[Line]:
    begins, ends = month.begins - _MARGIN, month.ends + _MARGIN
    while begins < ends:
        # A day at a time: the gateway keeps payments in no finer order.
        span = {"from": begins.isoformat(), "to": min(begins + _DAY, ends).isoformat()}
        for item in api.each("/v1/payments", application_key=app.application_key, limit=str(_PAGE), **span):
            yield _Payment.model_validate(item).line()
        begins += _DAY


def _read(report: Path, app: App, theirs: SortedLines) -> None:
    if app.report is None:
        raise WrongInput(f"{app.name} has no table report in the configuration, which says how its reports are read")
    try:
        theirs.add(read_report(report, app.report, app.timezone))
    except WrongReport as error:
        raise WrongInput(str(error)) from error


def _read_kept(api: Api, app: App, month: Month, folder: Path, theirs: SortedLines) -> str | None:
    """Read the newest report of a month that the jira-desk keeps, and return its name; None where it keeps none."""
    if app.report is None:
        return None
    asked = {"application_key": app.application_key, "month": str(month), "state": "kept"}
    found = [_KeptReport.model_validate(row) for row in api.each("/v1/jira/reports", **asked)]
    tables = [each for each in found if each.removed_at is None and each.ending in _TABLES]
    other: WrongReport | None = None
    for each in sorted(tables, key=lambda table: table.attached_at, reverse=True):
        name, path = f"{each.file_name} of {each.issue_key}", folder / "reconcile" / f"{month}-{each.id}{each.ending}"
        download(api, each.model_dump(), path)
        try:
            theirs.add(read_report(path, app.report, app.timezone))
        except NoHeadings as error:
            # OK also reports on play time: that is a table of something else.
            other = other or error
        except WrongReport as error:
            raise WrongInput(f"{name}: {error}") from error
        else:
            return name
    if other is not None:
        raise WrongInput(str(other)) from other
    return None


async def _ask_ok(settings: Settings, app: App, month: Month, theirs: SortedLines) -> None:
    today = month.day_of(await SystemClock().now())
    days = [month.days[0] - _MARGIN, *month.days, month.days[-1] + _MARGIN]
    async with ok_session() as session:
        ok = OkApi(session, settings.ok_api, app)
        for day in days:
            # In a simulation, days that are to come for us have been for it.
            if day <= today or settings.clock == "movable":
                await _ask_day(ok, app, day, theirs)


async def _ask_day(ok: OkApi, app: App, day: date, theirs: SortedLines) -> None:
    anchor: str | None = None
    for _ in range(_PAGES_OF_A_DAY):
        try:
            page = await ok.daily_transactions(day, anchor)
        except OkApiError as error:
            raise Failed(f"OK does not tell the transactions of {day}: {error!r}") from error
        theirs.add(_their_line(row, app) for row in page.rows)
        if page.anchor is None:
            return
        if page.anchor == anchor:
            break
        anchor = page.anchor
    raise Failed(f"OK tells the transactions of {day} without an end")


def _their_line(row: StatementRow, app: App) -> Line:
    """Read a row of OK's statistics: a CREDIT that names the application is no refund, and its words are no product."""
    if row.operation is Operation.CREDIT:
        is_refund = row.user_id != app.application_id and row.status == "SUCCESS"
        standing = Standing.REFUND if is_refund else Standing.TRANSFER
    else:
        standing = Standing.PAID if row.status == "SUCCESS" else Standing.UNPAID
    return Line(row.id, standing, row.at, abs(row.amount_oks), row.user_id)


@contextmanager
def _differences_file(path: Path) -> Iterator[Callable[[Difference], None]]:
    """Write differences to a CSV, which takes its place only when it is whole."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["difference", "transaction_id", "fields"]
                + [f"{side}_{name}" for side in ("our", "their") for name in ("time", "oks", "uid", "product")]
            )
            yield lambda difference: writer.writerow(_cells(difference))
        unfinished.replace(path)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _cells(difference: Difference) -> list[object]:
    named = difference.ours or difference.theirs
    transaction_id = "" if named is None else named.transaction_id
    return [
        difference.kind,
        transaction_id,
        " ".join(difference.fields),
        *_line_cells(difference.ours),
        *_line_cells(difference.theirs),
    ]


def _line_cells(line: Line | None) -> list[object]:
    return [None] * 4 if line is None else [line.at.isoformat(), line.amount_oks, line.uid, line.product]
