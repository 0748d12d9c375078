from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Literal

from okgames.ok_protocol import CallbackAction
from simulator.domain.api_books import (
    Account,
    ApiBooks,
    CashbackCall,
    Mailing,
    Post,
    SimpleNotification,
    Winner,
)
from simulator.domain.attempts import Outcome
from simulator.domain.books import Books, ExtraCalls, Notice, NoticeStatus, Purse
from simulator.domain.callbacks import Change
from simulator.domain.jira_books import JiraBooks
from simulator.domain.jira_rows import BookedIssue, booked_issue
from simulator.domain.subscriptions import SubscriptionState


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """Show a payment; `was_accepted` beside `cancelled` means that the game granted what OK took back."""

    application_key: str
    uid: str
    product: str
    transaction_id: str | None
    kind: Literal["purchase", "subscription"]
    amount_oks: int
    charged_to: Purse
    status: NoticeStatus
    was_accepted: bool
    at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Show one callback of a subscription; `ends_at` is its subscriptionEndDate."""

    action: CallbackAction
    transaction_id: str | None
    at: datetime
    ends_at: datetime
    status: NoticeStatus
    was_accepted: bool
    attempts: int


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """Show a subscription and all its callbacks; state and times are null where the game never accepted it."""

    application_key: str
    uid: str
    product: str
    state: SubscriptionState | None
    since: datetime | None
    ends_at: datetime | None
    next_charge_at: datetime | None
    notices: tuple[NoticeRow, ...]


@dataclass(frozen=True, slots=True)
class RefundRow:
    application_key: str
    uid: str
    product: str
    transaction_id: str | None
    operation: Literal["CREDIT"]
    amount_oks: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TotalRow:
    """Sum up a player's product: completed payments and their OKs, refunds, and the attempts of all callbacks."""

    application_key: str
    uid: str
    product: str
    payments: int
    amount_oks: int
    refunds: int
    attempts: int


@dataclass(frozen=True, slots=True)
class BooksPage:
    payments: tuple[PaymentRow, ...]
    subscriptions: tuple[SubscriptionRow, ...]
    refunds: tuple[RefundRow, ...]
    totals: tuple[TotalRow, ...]
    callbacks: int
    attempts: int
    attempts_failed: int
    extra_calls: ExtraCalls
    cashback_accounts: tuple[Account, ...]
    cashback_calls: tuple[CashbackCall, ...]
    winners: tuple[Winner, ...]
    posts: tuple[Post, ...]
    notifications: tuple[Mailing, ...]
    simple_notifications: tuple[SimpleNotification, ...]
    jira_issues: tuple[BookedIssue, ...]


def books_page(books: Books, api_books: ApiBooks, jira_books: JiraBooks) -> BooksPage:
    """Show everything in the books, by player and product where that is not the order of time."""
    attempts = [attempt for notice in books.notices for attempt in notice.attempts]
    ordered = sorted(books.notices, key=_key)
    groups = {key: list(group) for key, group in groupby(ordered, _key)}
    return BooksPage(
        payments=tuple(_payment(notice) for notice in books.notices if notice.is_payment),
        subscriptions=tuple(
            _subscription(books, notices) for notices in groups.values() if notices[0].callback.change is not None
        ),
        refunds=tuple(_refund(books.notices[entry.notice], entry.at) for entry in books.refunds),
        totals=_totals(books, groups),
        callbacks=len(books.notices),
        attempts=len(attempts),
        attempts_failed=sum(attempt.outcome is not Outcome.ACCEPTED for attempt in attempts),
        extra_calls=books.extra_calls,
        cashback_accounts=tuple(api_books.accounts.values()),
        cashback_calls=tuple(api_books.cashback_calls),
        winners=tuple(api_books.winners),
        posts=tuple(api_books.posts),
        notifications=tuple(api_books.mailings),
        simple_notifications=tuple(api_books.simple_notifications),
        jira_issues=tuple(booked_issue(issue) for issue in jira_books.all_issues()),
    )


_Key = tuple[str, str, str]


def _key(notice: Notice) -> _Key:
    player = notice.callback.player
    return player.application_key, player.uid, notice.callback.product


def _payment(notice: Notice) -> PaymentRow:
    callback = notice.callback
    return PaymentRow(
        *_key(notice),
        transaction_id=callback.transaction_id,
        kind="purchase" if callback.change is None else "subscription",
        amount_oks=callback.amount_oks,
        charged_to=notice.purse,
        status=notice.status,
        was_accepted=notice.was_accepted,
        at=callback.at,
        attempts=len(notice.attempts),
    )


def _notice(notice: Notice, change: Change) -> NoticeRow:
    return NoticeRow(
        action=change.action,
        transaction_id=notice.callback.transaction_id,
        at=notice.callback.at,
        ends_at=change.ends_at,
        status=notice.status,
        was_accepted=notice.was_accepted,
        attempts=len(notice.attempts),
    )


def _subscription(books: Books, notices: Sequence[Notice]) -> SubscriptionRow:
    changes = [(notice, notice.callback.change) for notice in notices]
    row = SubscriptionRow(
        *_key(notices[0]),
        state=None,
        since=None,
        ends_at=None,
        next_charge_at=None,
        notices=tuple(_notice(notice, change) for notice, change in changes if change is not None),
    )
    subscription = books.subscriptions.get(notices[0].callback.key)
    if subscription is None:
        return row
    return replace(
        row,
        state=subscription.state,
        since=subscription.since,
        ends_at=subscription.ends_at,
        next_charge_at=subscription.charged_at,
    )


def _refund(notice: Notice, at: datetime) -> RefundRow:
    return RefundRow(
        *_key(notice),
        transaction_id=notice.callback.transaction_id,
        operation="CREDIT",
        amount_oks=notice.callback.amount_oks,
        at=at,
    )


def _totals(books: Books, groups: dict[_Key, list[Notice]]) -> tuple[TotalRow, ...]:
    refunds: defaultdict[_Key, int] = defaultdict(int)
    for entry in books.refunds:
        refunds[_key(books.notices[entry.notice])] += 1
    rows = []
    for key, notices in groups.items():
        paid = [notice for notice in notices if notice.is_payment and notice.status is NoticeStatus.COMPLETED]
        rows.append(
            TotalRow(
                *key,
                payments=len(paid),
                amount_oks=sum(notice.callback.amount_oks for notice in paid),
                refunds=refunds[key],
                attempts=sum(len(notice.attempts) for notice in notices),
            )
        )
    return tuple(rows)
