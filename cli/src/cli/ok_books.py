import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cli.books import Account, AccountBook
from okgames.catalogue import App, Product


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OkPayment(_Read):
    uid: str
    product: str
    transaction_id: str
    kind: str
    amount_oks: int
    status: str
    was_accepted: bool
    at: AwareDatetime


class OkNotice(_Read):
    action: str
    at: AwareDatetime
    ends_at: AwareDatetime
    status: str
    was_accepted: bool

    @property
    def was_given_up(self) -> bool:
        return self.status == "cancelled"


class OkSubscription(_Read):
    uid: str
    product: str
    state: str | None
    ends_at: AwareDatetime | None
    notices: tuple[OkNotice, ...]

    def state_at(self, now: datetime, tolerance: timedelta) -> str | None:
        """Return OK's own state in our words: what OK charges in vain has lapsed."""
        is_late = self.ends_at is not None and now >= self.ends_at + tolerance
        is_unpaid = self.state == "failed" or (self.state in {"trial", "active"} and is_late)
        return "lapsed" if is_unpaid else self.state


class OkExtraCalls(_Read):
    duplicates: int
    duplicates_answered_differently: int
    forgeries: int
    forgeries_accepted: int


class OkRefund(_Read):
    amount_oks: int


class OkCashbackAccount(_Read):
    paid_oks: int


class OkCashbackCall(_Read):
    winners: tuple[str, ...]


class OkWinner(_Read):
    uid: str


class OkPost(_Read):
    text: str


class OkNotification(_Read):
    status: str


class OkComment(_Read):
    body: str


class OkIssue(_Read):
    """Read an issue of OK's JIRA; attachments by file name, with their checksums."""

    key: str
    status: str
    comments: tuple[OkComment, ...]
    attachments: tuple[tuple[str, str], ...]


class OkBooks(_Read):
    """Read GET /sim/books."""

    payments: tuple[OkPayment, ...]
    subscriptions: tuple[OkSubscription, ...]
    refunds: tuple[OkRefund, ...]
    callbacks: int
    attempts: int
    attempts_failed: int
    extra_calls: OkExtraCalls
    cashback_accounts: tuple[OkCashbackAccount, ...]
    cashback_calls: tuple[OkCashbackCall, ...]
    winners: tuple[OkWinner, ...]
    posts: tuple[OkPost, ...]
    notifications: tuple[OkNotification, ...]
    jira_issues: tuple[OkIssue, ...]

    @property
    def accepted(self) -> int:
        """Count callbacks that the game accepted, whether or not OK heard of it."""
        purchases = sum(payment.was_accepted for payment in self.payments if payment.kind == "purchase")
        return purchases + sum(
            notice.was_accepted for subscription in self.subscriptions for notice in subscription.notices
        )

    @property
    def has_pending(self) -> bool:
        """Tell whether OK still means to tell the game something."""
        return any(payment.status == "pending" for payment in self.payments) or any(
            notice.status == "pending" for subscription in self.subscriptions for notice in subscription.notices
        )

    @property
    def granted_though_given_up(self) -> int:
        """Count payments that the game granted in an answer that OK never heard, so that OK gave the money back."""
        return sum(payment.was_accepted and payment.status == "cancelled" for payment in self.payments)


def ok_accounts(books: OkBooks, app: App, now: datetime) -> AccountBook:
    """
    Work out from OK's books alone what each player must have.

    What counts is what the game accepted, as no money can be asked back from a player's apples.
    """
    book = AccountBook()
    for payment in books.payments:
        if payment.was_accepted:
            account = book.accounts[payment.uid, payment.product]
            account.payments[payment.transaction_id] = payment.amount_oks
            product = _product(app, payment.product)
            if product.subscription is None and product.reward is not None:
                account.rewards += 1
                account.items += product.reward.quantity
    for subscription in books.subscriptions:
        if any(notice.was_accepted for notice in subscription.notices):
            account = book.accounts[subscription.uid, subscription.product]
            _settle(account, subscription, _product(app, subscription.product), now)
    return book


def _product(app: App, code: str) -> Product:
    product = app.product(code)
    assert product is not None, f"OK sold {code}, which is not configured"
    return product


def _settle(account: Account, subscription: OkSubscription, product: Product, now: datetime) -> None:
    plan, reward = product.subscription, product.reward
    assert plan is not None, f"OK sold {product.code} as a subscription, which it is not"
    notices = sorted((each for each in subscription.notices if each.was_accepted), key=lambda each: each.at)
    account.state, account.until = standing(notices, plan.tolerance, now)
    own_state = subscription.state_at(now, plan.tolerance)
    if own_state != account.state and not any(each.was_given_up for each in notices):
        account.state = f"{own_state} at OK, which told of {account.state}"
    if reward is not None and reward.every is not None:
        account.rewards = rewards_due(notices, reward.every, now)
        account.items = account.rewards * reward.quantity


def standing(notices: Iterable[OkNotice], tolerance: timedelta, now: datetime) -> tuple[str, datetime]:
    """Say how a subscription stands after notices in the order of time, where a cancellation ends it at once."""
    state, until = "", datetime.min.replace(tzinfo=now.tzinfo)
    for notice in notices:
        if notice.action == "unsubscribe":
            state, until = "cancelled", min(until, notice.at)
        else:
            state = "trial" if notice.action == "trial_subscription" else "active"
            until = max(until, notice.ends_at)
    if state != "cancelled" and now >= until + tolerance:
        state = "lapsed"
    return state, until


def rewards_due(notices: Iterable[OkNotice], every: timedelta, now: datetime) -> int:
    """
    Count the rewards that a player must have by now.

    Each trial and payment covers the time from its moment, or from the end of what was covered before, to its end;
    it gives a reward at once and after each `every` within that time. A cancellation ends what is covered.
    """
    covered: list[tuple[datetime, datetime]] = []
    for notice in notices:
        if notice.action == "unsubscribe":
            covered = [(start, min(end, notice.at)) for start, end in covered]
        else:
            start = max(notice.at, covered[-1][1]) if covered else notice.at
            covered.append((start, notice.ends_at))
    return sum(_times(start, end, every, now) for start, end in covered)


def _times(start: datetime, end: datetime, every: timedelta, now: datetime) -> int:
    if now < start or end <= start:
        return 0
    return min(math.ceil((end - start) / every), (now - start) // every + 1)
