from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict

Key: TypeAlias = tuple[str, str]
"""A player's uid and a product."""


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


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
