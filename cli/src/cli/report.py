from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.table import Table

from cli.books import AccountBook, Difference
from cli.promotion_book import PromotionRow

_DIFFERENCES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Report:
    """
    Hold the figures of a demo, which also go to report.json.

    `granted_though_ok_gave_up` are payments that were accepted in an answer that OK never heard: OK gave the money
    back, and nobody can take back what the player was given. They count in all three books.
    """

    agreement: bool
    players: int
    days: int
    seconds: float
    callbacks: int
    callbacks_accepted: int
    journaled: int
    attempts: int
    attempts_failed: int
    duplicates: int
    duplicates_answered_differently: int
    forgeries: int
    forgeries_accepted: int
    payments: int
    oks: int
    refunds: int
    granted_though_ok_gave_up: int
    rewards: int
    deliveries: int
    delivery_attempts: int
    delivery_attempts_failed: int
    wrong_at_the_game: tuple[str, ...]
    promotion: tuple[PromotionRow, ...]
    differing_rows: tuple[Difference, ...]

    def write(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(self, option=orjson.OPT_INDENT_2))


def print_report(report: Report, ok: AccountBook, ours: AccountBook, game: AccountBook) -> None:
    """Print the three books side by side, what happened on the way, and every row that differs."""
    console = Console(highlight=False)
    table = Table("", "OK", "okgames", "the game", title="The books")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, figures in _rows(ok, ours, game):
        table.add_row(name, *figures)
    console.print(table)
    if report.promotion:
        console.print(_promotion(report.promotion))
    for line in _remarks(report):
        console.print(line, soft_wrap=True)
    if report.differing_rows:
        console.print(_differing(report.differing_rows))
    for wrong in report.wrong_at_the_game[:_DIFFERENCES_SHOWN]:
        console.print(f"wrong at the game: {wrong}", soft_wrap=True)


def _rows(ok: AccountBook, ours: AccountBook, game: AccountBook) -> list[tuple[str, list[str]]]:
    books = (ok, ours, game)
    told = (ok, ours)
    rows = [
        ("payments", [f"{sum(len(each.payments) for each in book.accounts.values()):,}" for book in told] + ["-"]),
        (
            "OKs paid",
            [f"{sum(sum(each.payments.values()) for each in book.accounts.values()):,}" for book in told] + ["-"],
        ),
    ]
    states = [Counter(each.state for each in book.accounts.values() if each.state) for book in books]
    rows += [
        (f"subscriptions {state}", [f"{count[state]:,}" for count in states])
        for state in ("trial", "active", "cancelled", "lapsed")
    ]
    rows.append(("rewards", [f"{sum(each.rewards for each in book.accounts.values()):,}" for book in books]))
    for product in sorted({product for book in books for _, product in book.accounts}):
        items = [sum(each.items for (_, code), each in book.accounts.items() if code == product) for book in books]
        rows.append((f"given for {product}", [f"{count:,}" for count in items]))
    return rows


def _promotion(rows: Sequence[PromotionRow]) -> Table:
    table = Table("", "due", "OK", "okgames", "the game", title="The promotion")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        figures = (row.due, row.ok, row.okgames, row.game)
        table.add_row(row.what, *("-" if each is None else str(each) for each in figures))
    return table


def _remarks(report: Report) -> list[str]:
    return [
        (
            f"{report.callbacks:,} callbacks of OK in {report.attempts:,} attempts, {report.attempts_failed:,} of which"
            f" came to nothing; {report.callbacks_accepted:,} accepted, {report.journaled:,} in the journal"
        ),
        (
            f"{report.duplicates:,} duplicates, {report.duplicates_answered_differently:,} answered differently;"
            f" {report.forgeries:,} forgeries, {report.forgeries_accepted:,} accepted"
        ),
        (
            f"{report.deliveries:,} webhooks in {report.delivery_attempts:,} attempts,"
            f" {report.delivery_attempts_failed:,} of which the game failed"
        ),
        (
            f"granted though OK gave up: {report.granted_though_ok_gave_up:,};"
            f" refunds of which no callback tells: {report.refunds:,}"
        ),
        (
            f"{report.players:,} players, {report.days} days in {report.seconds:.1f} s:"
            f" the books {'agree' if report.agreement else 'DO NOT AGREE'}"
        ),
    ]


def _differing(rows: Sequence[Difference]) -> Table:
    table = Table(
        "player", "product", "what", "OK", "okgames", "the game", title=f"{len(rows):,} rows differ", expand=True
    )
    for row in rows[:_DIFFERENCES_SHOWN]:
        table.add_row(*asdict(row).values())
    return table
