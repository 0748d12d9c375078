import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict

from okgames.catalogue import App, Product

Key: TypeAlias = tuple[str, str]
"""A player's uid and a product."""


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


class OkNotice(_Read):
    action: str
    at: AwareDatetime
    ends_at: AwareDatetime
    status: str
    was_accepted: bool


class OkSubscription(_Read):
    uid: str
    product: str
    state: str | None
    ends_at: AwareDatetime | None
    notices: tuple[OkNotice, ...]


class OkExtraCalls(_Read):
    duplicates: int
    duplicates_answered_differently: int
    forgeries: int
    forgeries_accepted: int


class OkRefund(_Read):
    amount_oks: int


class OkBooks(_Read):
    """Read GET /sim/books."""

    payments: tuple[OkPayment, ...]
    subscriptions: tuple[OkSubscription, ...]
    refunds: tuple[OkRefund, ...]
    callbacks: int
    attempts: int
    attempts_failed: int
    extra_calls: OkExtraCalls

    @property
    def accepted(self) -> int:
        """Count callbacks that the game accepted, whether or not OK heard of it."""
        purchases = sum(payment.was_accepted for payment in self.payments if payment.kind == "purchase")
        return purchases + sum(
            notice.was_accepted for subscription in self.subscriptions for notice in subscription.notices
        )

    @property
    def granted_though_given_up(self) -> int:
        """Count payments that the game granted in an answer that OK never heard, so that OK gave the money back."""
        return sum(payment.was_accepted and payment.status == "cancelled" for payment in self.payments)


@dataclass
class Account:
    """
    Sum up one player's product in one of the books.

    `payments` are OKs by transaction_id; `state` and `until` are a subscription's; `rewards` counts the rewards and
    `items` the things in them.
    """

    payments: dict[str, int] = field(default_factory=dict)
    state: str | None = None
    until: datetime | None = None
    rewards: int = 0
    items: int = 0


@dataclass
class AccountBook:
    """Hold the accounts of all players, and the ids of their rewards, of which OK knows nothing."""

    accounts: defaultdict[Key, Account] = field(default_factory=lambda: defaultdict(Account))
    reward_ids: set[str] = field(default_factory=set)


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
        accepted = sorted((each for each in subscription.notices if each.was_accepted), key=lambda each: each.at)
        if accepted:
            product = _product(app, subscription.product)
            _settle(book.accounts[subscription.uid, subscription.product], accepted, product, now)
    return book


def _product(app: App, code: str) -> Product:
    product = app.product(code)
    assert product is not None, f"OK sold {code}, which is not configured"
    return product


def _settle(account: Account, notices: Sequence[OkNotice], product: Product, now: datetime) -> None:
    assert product.subscription is not None
    account.state, account.until = standing(notices, product.subscription.tolerance, now)
    if product.reward is not None and product.reward.every is not None:
        account.rewards = rewards_due(notices, product.reward.every, now)
        account.items = account.rewards * product.reward.quantity


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


@dataclass(frozen=True, slots=True)
class Difference:
    """Show where the books of OK, ours and the game's do not say the same."""

    uid: str
    product: str
    what: str
    ok: str
    okgames: str
    game: str


def differences(ok: AccountBook, ours: AccountBook, game: AccountBook) -> list[Difference]:
    """Compare three books, account by account; a reward must stand under one id in ours and in the game's."""
    found = []
    for uid, product in sorted(set(ok.accounts) | set(ours.accounts) | set(game.accounts)):
        key = (uid, product)
        accounts = [book.accounts.get(key, Account()) for book in (ok, ours, game)]
        for what, (one, two, three) in _compared(*accounts).items():
            if not one == two == three:
                found.append(Difference(uid, product, what, str(one), str(two), str(three)))
    for reward_id in sorted(ours.reward_ids ^ game.reward_ids):
        in_ours, in_games = str(reward_id in ours.reward_ids), str(reward_id in game.reward_ids)
        found.append(Difference("-", "-", f"reward {reward_id}", "-", in_ours, in_games))
    return found


def _compared(ok: Account, ours: Account, game: Account) -> Mapping[str, tuple[object, object, object]]:
    payments = sorted(ok.payments.items())
    return {
        # The game hears of rewards, not of money.
        "payments": (payments, sorted(ours.payments.items()), payments),
        "subscription": (_standing(ok), _standing(ours), _standing(game)),
        "rewards": (ok.rewards, ours.rewards, game.rewards),
        "items": (ok.items, ours.items, game.items),
    }


def _standing(account: Account) -> str | None:
    return None if account.until is None else f"{account.state} until {account.until.astimezone(UTC)}"


class OurCallback(_Read):
    """Read an item of the timeline that is a callback."""

    kind: str
    product: str
    amount_oks: int | None
    transaction_id: str | None


class OurReward(_Read):
    """Read the data of a RewardGranted in the feed of changes."""

    reward_id: str
    uid: str
    product: str
    quantity: int


class OurEntitlement(_Read):
    product: str
    state: str
    until: AwareDatetime


def our_accounts(
    callbacks: Mapping[str, Sequence[OurCallback]],
    entitlements: Mapping[str, Sequence[OurEntitlement]],
    rewards: Iterable[OurReward],
) -> AccountBook:
    """Sum up what the API told of each player, by uid, and the rewards of all."""
    book = AccountBook()
    for uid, told in callbacks.items():
        for callback in told:
            account = book.accounts[uid, callback.product]
            if callback.transaction_id is not None and callback.amount_oks is not None:
                account.payments[callback.transaction_id] = callback.amount_oks
    for uid, found in entitlements.items():
        for entitlement in found:
            account = book.accounts[uid, entitlement.product]
            account.state, account.until = entitlement.state, entitlement.until
    for reward in rewards:
        _add_reward(book, reward.reward_id, (reward.uid, reward.product), reward.quantity)
    return book


def game_accounts(states: Iterable[tuple[Key, str, datetime]], rewards: Iterable[tuple[str, Key, int]]) -> AccountBook:
    """Sum up what the game's server was told: a state and its end, and rewards by id with their quantity."""
    book = AccountBook()
    for key, state, until in states:
        book.accounts[key].state, book.accounts[key].until = state, until
    for reward_id, key, quantity in rewards:
        _add_reward(book, reward_id, key, quantity)
    return book


def _add_reward(book: AccountBook, reward_id: str, key: Key, quantity: int) -> None:
    book.reward_ids.add(reward_id)
    book.accounts[key].rewards += 1
    book.accounts[key].items += quantity
