from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from okgames.ok_answer import ApiCode
from simulator.chance import Chance
from simulator.domain.api_call import ApiRefusal
from simulator.domain.books import Books, NoticeStatus

MOSCOW: Final = ZoneInfo("Europe/Moscow")
MAILINGS_A_DAY: Final = 30
LIVE_MAILINGS: Final = 5
SIMPLE_A_DAY: Final = 5
_ALLOWANCE_STARTS: Final = timedelta(hours=4)
# Above 2^53, as OK's own ids may be.
_FIRST_ID: Final = 9_107_199_254_740_993


class MailingStatus(StrEnum):
    PUBLIC = "PUBLIC"
    ADMINS_ONLY = "ADMINS_ONLY"


@dataclass(frozen=True, slots=True)
class Winner:
    """Record a prize that was paid."""

    application_key: str
    uid: str
    amount_oks: int
    at: datetime


@dataclass(frozen=True, slots=True)
class CashbackCall:
    """Record a call of payment.appCashback that was understood; `error` is the code where nothing was paid."""

    application_key: str
    at: datetime
    begins_at: datetime
    ends_at: datetime
    prizes_oks: tuple[int, ...]
    winners: tuple[str, ...] = ()
    error: ApiCode | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Hold an application's cashback account, which only OK's administration tops up."""

    application_key: str
    balance_oks: int = 0
    paid_oks: int = 0


@dataclass(frozen=True, slots=True)
class Post:
    id: str
    application_key: str
    group_id: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Mailing:
    """Record a call of notifications.sendMass; `is_live` until it is stopped or five newer ones are public."""

    id: str
    application_key: str
    text: str
    status: MailingStatus
    at: datetime
    expires_at: datetime
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class SimpleNotification:
    application_key: str
    uid: str
    text: str
    at: datetime


@dataclass
class ApiBooks:
    """Keep what games did through OK's API."""

    accounts: dict[str, Account] = field(default_factory=dict)
    winners: list[Winner] = field(default_factory=list)
    cashback_calls: list[CashbackCall] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    mailings: list[Mailing] = field(default_factory=list)
    simple_notifications: list[SimpleNotification] = field(default_factory=list)

    def top_up(self, application_key: str, oks: int) -> Account:
        account = self._account(application_key)
        account = replace(account, balance_oks=account.balance_oks + oks)
        self.accounts[application_key] = account
        return account

    def pay(self, call: CashbackCall, winners: Sequence[str]) -> None:
        """Pay the winners their prizes; raise ApiRefusal where the account does not hold enough."""
        account = self._account(call.application_key)
        paid = list(zip(winners, call.prizes_oks, strict=False))
        total = sum(prize for _, prize in paid)
        if total > account.balance_oks:
            raise ApiRefusal(ApiCode.NOT_ENOUGH_MONEY)
        self.accounts[call.application_key] = replace(
            account, balance_oks=account.balance_oks - total, paid_oks=account.paid_oks + total
        )
        self.winners += [Winner(call.application_key, uid, prize, call.at) for uid, prize in paid]

    def publish(self, application_key: str, group_id: str, text: str, at: datetime) -> Post:
        post = Post(self._new_id(), application_key, group_id, text, at)
        self.posts.append(post)
        return post

    def mail(
        self, application_key: str, text: str, status: MailingStatus, at: datetime, expires_at: datetime
    ) -> Mailing:
        """Take on a notification of all players; the oldest of more than five public ones is hidden."""
        if self.mailings_left(application_key, at) == 0:
            raise ApiRefusal(ApiCode.LIMIT_REACHED)
        mailing = Mailing(self._new_id(), application_key, text, status, at, expires_at)
        self.mailings.append(mailing)
        live = [
            each
            for each in self.mailings
            if each.application_key == application_key
            and each.status is MailingStatus.PUBLIC
            and each.is_live
            and each.expires_at > at
        ]
        for hidden in live[:-LIVE_MAILINGS]:
            self.stop(hidden)
        return mailing

    def stop(self, mailing: Mailing) -> None:
        self.mailings[self.mailings.index(mailing)] = replace(mailing, is_live=False)

    def mailings_left(self, application_key: str, now: datetime) -> int:
        """Return how many mailings are left of the allowance that starts anew at 04:00 in Moscow."""
        since = _allowance_start(now)
        used = [each for each in self.mailings if each.application_key == application_key and each.at >= since]
        return max(0, MAILINGS_A_DAY - len(used))

    def notify(self, application_key: str, uid: str, text: str, at: datetime) -> None:
        """Notify a player; raise ApiRefusal for the sixth time within the same allowance."""
        since = _allowance_start(at)
        used = [
            each
            for each in self.simple_notifications
            if (each.application_key, each.uid) == (application_key, uid) and each.at >= since
        ]
        if len(used) >= SIMPLE_A_DAY:
            raise ApiRefusal(ApiCode.LIMIT_REACHED)
        self.simple_notifications.append(SimpleNotification(application_key, uid, text, at))

    def _account(self, application_key: str) -> Account:
        return self.accounts.get(application_key) or Account(application_key)

    def _new_id(self) -> str:
        return str(_FIRST_ID + len(self.posts) + len(self.mailings))


def _allowance_start(now: datetime) -> datetime:
    local = (now.astimezone(MOSCOW) - _ALLOWANCE_STARTS).replace(hour=0, minute=0, second=0, microsecond=0)
    return local + _ALLOWANCE_STARTS


def payers(books: Books, application_key: str, from_: datetime, to: datetime) -> tuple[str, ...]:
    """Return who paid at `from_` or later and before `to`, each player once."""
    return tuple(
        sorted(
            {
                notice.callback.player.uid
                for notice in books.notices
                if notice.is_payment
                and notice.status is NoticeStatus.COMPLETED
                and notice.callback.player.application_key == application_key
                and from_ <= notice.callback.at < to
            }
        )
    )


def drawn(candidates: Sequence[str], prizes: int, chance: Chance) -> tuple[str, ...]:
    """Draw a winner for each prize, nobody twice; fewer where there are fewer payers."""
    return tuple(chance.shuffled(candidates)[:prizes])
