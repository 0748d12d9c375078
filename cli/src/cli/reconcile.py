from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.api import UrlOption, api
from cli.tables import JsonOption, print_rows

if TYPE_CHECKING:
    from cli.comparison import Day
    from cli.reconciliation import Reconciliation

# The command imports reconciliation when it runs: with openpyxl it takes more than a second.

_COLUMNS: Final[Mapping[str, str]] = {
    "DAY": "day",
    "OURS": "our_count",
    "OUR OKS": "our_oks",
    "THEIRS": "their_count",
    "THEIR OKS": "their_oks",
    "REFUNDS": "refund_count",
    "REFUNDED OKS": "refund_oks",
    "OTHER OKS": "transfer_oks",
    "DIFFERENCES": "differences",
}


def reconcile(
    application_key: Annotated[str, typer.Option("--app", metavar="KEY", help="The application_key.")],
    month: Annotated[str, typer.Option("--month", metavar="MONTH", help="Such as 2026-03, in the application's zone.")],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="OK's report, CSV or XLSX.", show_default="the one that is kept"),
    ] = None,
    differences: Annotated[
        Path | None,
        typer.Option(
            "--differences",
            metavar="FILE",
            help="Where to write the rows that differ, as CSV.",
            show_default="$OKGAMES_DATA_DIR/reconcile/KEY-MONTH.csv",
        ),
    ] = None,
    url: UrlOption = None,
    *,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Compare with OK's statistics, also where a report is kept.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """
    Compare our payments of a month with OK's books, row by row, and show the sums of each day.

    Ours come from a running okgames, whose token must allow payments:read, and jira:read for reports that are kept.
    Theirs are a report whose columns stand in the configuration under apps.report: the one in FILE, or else the newest
    of the month that `jira reports list` shows as kept. Where there is none they are OK's statistics
    (payment.getDailyTransactionsFromServer), day by day.
    If the books differ, the exit code is 1. Refunds are told and are no difference: OK does not call us for them.
    """
    from cli import reconciliation

    done = reconciliation.reconcile(api(url), application_key, month, report, differences, with_statistics=statistics)
    print_rows(list(_rows(done)), _COLUMNS, as_json=as_json)
    if not as_json:
        print(f"\n{_summary(done)}")
    raise typer.Exit(0 if done.agrees else 1)


def _rows(done: "Reconciliation") -> Iterator[Mapping[str, object]]:
    totals: dict[str, int] = {}
    for day in sorted(done.days):
        sums = _sums(done.days[day])
        totals = {name: totals.get(name, 0) + number for name, number in sums.items()}
        yield {"day": day.isoformat(), **sums}
    sums = totals or dict.fromkeys(list(_COLUMNS.values())[1:], 0)
    yield {"day": str(done.month), **sums, "compared_with": done.compared_with}


def _sums(day: "Day") -> Mapping[str, int]:
    return {
        "our_count": day.ours.count,
        "our_oks": day.ours.oks,
        "their_count": day.theirs.count,
        "their_oks": day.theirs.oks,
        "refund_count": day.refunds.count,
        "refund_oks": day.refunds.oks,
        "transfer_oks": day.transfers.oks,
        "differences": day.differences,
    }


def _summary(done: "Reconciliation") -> str:
    found = ", ".join(f"{number} {kind}" for kind, number in done.kinds.items() if number)
    said = f"compared with {done.compared_with}\nthe books of {done.month} {'agree' if done.agrees else 'differ'}"
    return f"{said}: {found}: {done.path}" if found else said
