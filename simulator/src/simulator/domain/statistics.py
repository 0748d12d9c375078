from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Final

from okgames.catalogue import App
from okgames.ok_answer import Operation
from simulator.domain.api_books import ApiBooks
from simulator.domain.books import Books, NoticeStatus

_STATUSES: Final = {NoticeStatus.COMPLETED: "SUCCESS", NoticeStatus.CANCELLED: "CANCEL", NoticeStatus.PENDING: "INIT"}


@dataclass(frozen=True, slots=True)
class Row:
    """Show a transaction as payment.getDailyTransactionsFromServer does; `timestamp` is in seconds since 1970."""

    timestamp: int
    id: str
    operation: Operation
    status: str
    amount: int
    desc: str
    userId: str  # noqa: N815 - OK's name
    platform: str = "COMMUNITY_WEB"


def day_rows(books: Books, api_books: ApiBooks, app: App, day: date) -> Sequence[Row]:
    """Return a day's payments, refunds and prizes of an application, the oldest first, by the days of its zone."""
    dated = [*_payments(books, app), *_refunds(books, app), *_prizes(api_books, app)]
    return sorted((row for at, row in dated if at.astimezone(app.timezone).date() == day), key=attrgetter("timestamp"))


def _payments(books: Books, app: App) -> Iterator[tuple[datetime, Row]]:
    for notice in books.notices:
        callback = notice.callback
        if notice.is_payment and callback.player.application_key == app.application_key:
            yield (
                callback.at,
                Row(
                    timestamp=int(callback.at.timestamp()),
                    id=callback.transaction_id or "",
                    operation=Operation.DEBIT,
                    status=_STATUSES[notice.status],
                    amount=callback.amount_oks,
                    desc=callback.product,
                    userId=callback.player.uid,
                ),
            )


def _refunds(books: Books, app: App) -> Iterator[tuple[datetime, Row]]:
    for entry in books.refunds:
        callback = books.notices[entry.notice].callback
        if callback.player.application_key == app.application_key:
            yield (
                entry.at,
                Row(
                    timestamp=int(entry.at.timestamp()),
                    id=f"{callback.transaction_id}_refund",
                    operation=Operation.CREDIT,
                    status="SUCCESS",
                    amount=callback.amount_oks,
                    desc=callback.product,
                    userId=callback.player.uid,
                ),
            )


def _prizes(api_books: ApiBooks, app: App) -> Iterator[tuple[datetime, Row]]:
    for number, winner in enumerate(api_books.winners):
        if winner.application_key == app.application_key:
            yield (
                winner.at,
                Row(
                    timestamp=int(winner.at.timestamp()),
                    id=f"{number}_prize",
                    operation=Operation.CREDIT,
                    status="SUCCESS",
                    amount=winner.amount_oks,
                    desc="appCashback",
                    # OK's page: a CREDIT that is no refund names the application.
                    userId=app.application_id,
                ),
            )
