import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final, assert_never

from okgames.catalogue import Config
from okgames.ok_protocol import CallbackAction
from simulator.chance import Chance
from simulator.domain import goods, subscriptions
from simulator.domain.agenda import Agenda, Charge, Insist, Moderate, Refund, Release, Repeat, Task
from simulator.domain.attempts import Attempt, Conclusion
from simulator.domain.books import Books, Notice, NoticeStatus, Purse, SubscriptionKey
from simulator.domain.callbacks import Callback, Change, Player
from simulator.domain.faults import Fault, Mischief
from simulator.domain.jira_moderator import Moderator
from simulator.domain.subscriptions import Subscription
from simulator.domain.wire import unknown_parameters
from simulator.pace import Pace
from simulator.telling import Teller

PUT_OFF_AT_MOST: Final = timedelta(minutes=30)
"""A renewal that is to arrive after the player's next callback waits for it so long."""

TOLD_AGAIN_AFTER: Final = timedelta(hours=1)
"""OK's pages do not say what follows an unsubscribe that nobody answered: here OK calls again after so long."""

_HELD_AT_MOST: Final = 0.2
"""A player waits so many real seconds for the answer of a callback that is to arrive after another."""


class Platform:
    """Play OK: sell, charge, cancel, tell the game, and keep the books; everything may be asked for at once."""

    def __init__(
        self,
        config: Config,
        pace: Pace,
        teller: Teller,
        mischief: Mischief,
        books: Books,
        chance: Chance,
        agenda: Agenda,
        moderator: Moderator,
    ) -> None:
        self.books = books
        self.agenda = agenda
        self._moderator = moderator
        self.mischief = mischief
        self._config = config
        self._pace = pace
        self._teller = teller
        self._chance = chance
        self._transactions = count(576256)
        self._locks: defaultdict[SubscriptionKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: dict[Player, asyncio.Event] = {}
        self._put_off: defaultdict[Player, list[int]] = defaultdict(list)

    async def purchase(self, player: Player, code: str) -> Notice:
        """Sell something once; return when OK has concluded."""
        product = goods.sold_product(self._config, player.application_key, code)
        if product.subscription is not None:
            raise goods.NotSold(f"{code} is a subscription")
        now = await self._pace.now()
        notice = self._open(player, code, now, goods.price_at(product, now))
        await self._let_another_pass(notice)
        return await self._tell(notice)

    async def subscribe(self, player: Player, code: str) -> Notice:
        """Start a subscription, with the trial if the player may have one; return when OK has concluded."""
        product = goods.sold_product(self._config, player.application_key, code)
        plan = goods.plan_of(product)
        async with self._locks[player, code]:
            before = self.books.subscriptions.get((player, code))
            at = await self._next_moment(before)
            change = subscriptions.start(before, plan, at)
            price = 0 if change.trial else goods.price_at(product, at)
            notice = self._open(player, code, at, price, change)
            await self._let_another_pass(notice)
            return await self._tell(notice)

    async def unsubscribe(self, player: Player, code: str) -> Notice:
        """Cancel a subscription, whether or not the game hears of it; return when OK stops calling for now."""
        product = goods.sold_product(self._config, player.application_key, code)
        goods.plan_of(product)
        async with self._locks[player, code]:
            before = self.books.subscriptions.get((player, code))
            at = await self._next_moment(before)
            after = subscriptions.cancelled(before, at)
            self.books.subscriptions[player, code] = after
            change = Change(CallbackAction.UNSUBSCRIBE, after.ends_at)
            notice = self._open(player, code, at, goods.price_at(product, at), change)
            await self._let_another_pass(notice)
            return await self._tell(notice)

    async def perform(self, task: Task, at: datetime) -> None:
        """Do what has fallen due at a time."""
        match task:
            case Charge(player, code):
                await self._charge(player, code, at)
            case Release(number):
                notice = self.books.notices[number]
                put_off = self._put_off[notice.callback.player]
                if number in put_off:
                    put_off.remove(number)
                    await self._tell(notice)
            case Insist(number):
                await self._tell(self.books.notices[number])
            case Repeat(number):
                await self._teller.repeat(self.books.notices[number])
            case Refund(number):
                self.books.refund(number, at)
            case Moderate():
                self._moderator.act(task, at)
            case _:
                assert_never(task)

    async def _charge(self, player: Player, code: str, at: datetime) -> None:
        product = goods.sold_product(self._config, player.application_key, code)
        async with self._locks[player, code]:
            subscription = self.books.subscriptions[player, code]
            if subscription.charged_at != at:
                return  # cancelled, and perhaps started again, after this was entered
            if self.mischief.strikes(Fault.UNPAID_RENEWALS, self._next_chance(player, code)):
                self._keep(player, code, subscriptions.not_paid(subscription, at))
                return
            at = subscriptions.next_moment(subscription, at)
            self.books.subscriptions[player, code] = subscriptions.charging(subscription, at)
            change = Change(CallbackAction.REG_SUBSCRIPTION, at + goods.plan_of(product).period)
            notice = self._open(player, code, at, goods.price_at(product, at), change, is_renewal=True)
            if self.mischief.strikes(Fault.REORDERED, notice.chance):
                self._put_off[player].append(notice.number)
                self.agenda.enter(at + PUT_OFF_AT_MOST, Release(notice.number))
            else:
                await self._tell(notice)

    async def _next_moment(self, subscription: Subscription | None) -> datetime:
        now = await self._pace.now()
        at = subscriptions.next_moment(subscription, now)
        if at > now:
            await self._pace.wait_until(at)
        return at

    def _open(
        self,
        player: Player,
        code: str,
        at: datetime,
        amount_oks: int,
        change: Change | None = None,
        *,
        is_renewal: bool = False,
    ) -> Notice:
        chance = self._next_chance(player, code)
        call_id = int(at.timestamp() * 1000)
        if change is None or change.action is CallbackAction.REG_SUBSCRIPTION:
            transaction_id: str | None = f"{next(self._transactions)}_{call_id}"
        else:
            transaction_id = goods.missing_transaction_id(self.mischief.mix.transaction_id, chance)
        extras = goods.option(chance) + (goods.attributes(chance) if change is None else ())
        if self.mischief.strikes(Fault.UNKNOWN_PARAMETERS, chance):
            extras += unknown_parameters(chance)
        by_card = is_renewal and self.mischief.strikes(Fault.CARD_CHARGES, chance)
        callback = Callback(
            player=player,
            product=code,
            at=at.replace(microsecond=0),
            call_id=call_id,
            amount_oks=amount_oks,
            transaction_id=transaction_id,
            change=change,
            extras=extras,
        )
        purse = Purse.CARD if by_card else Purse.OKS
        return self.books.open_notice(chance, callback, purse, is_renewal=is_renewal)

    def _next_chance(self, player: Player, code: str) -> Chance:
        return self._chance.of(player.application_key, player.uid, code, self.books.ordinal(player, code))

    async def _let_another_pass(self, notice: Notice) -> None:
        player = notice.callback.player
        if player in self._held or not self.mischief.strikes(Fault.REORDERED, notice.chance):
            return
        passed = self._held[player] = asyncio.Event()
        try:
            async with asyncio.timeout(_HELD_AT_MOST):
                await passed.wait()
        except TimeoutError:
            # The other one may have passed at the last moment, and a third be held already.
            if self._held.get(player) is passed:
                del self._held[player]

    async def _tell(self, notice: Notice) -> Notice:
        attempts, conclusion = await self._teller.tell(notice)
        told = self._conclude(notice, attempts, conclusion)
        player = notice.callback.player
        if player in self._held:
            self._held.pop(player).set()
        for number in self._put_off.pop(player, ()):
            await self._tell(self.books.notices[number])
        return told

    def _conclude(self, notice: Notice, attempts: Sequence[Attempt], conclusion: Conclusion) -> Notice:
        told = self.books.record(notice, attempts, _status(notice, conclusion))
        last_at = attempts[-1].at
        if told.callback.change is not None and not told.is_cancellation:
            self._carry_on(told, told.callback.change, last_at)
        if told.status is NoticeStatus.PENDING:
            self.agenda.enter(last_at + TOLD_AGAIN_AFTER, Insist(told.number))
        if told.status is NoticeStatus.COMPLETED:
            chance = told.chance.of("afterwards")
            later = last_at + timedelta(hours=chance.between(1, 72))
            if self.mischief.strikes(Fault.LATE_DUPLICATES, chance):
                self.agenda.enter(later, Repeat(told.number))
            if told.is_payment and self.mischief.strikes(Fault.REFUNDS, chance):
                self.agenda.enter(later, Refund(told.number))
        return told

    def _carry_on(self, told: Notice, change: Change, last_at: datetime) -> None:
        key = told.callback.key
        before = self.books.subscriptions.get(key)
        is_accepted = told.status is NoticeStatus.COMPLETED
        if before is not None and told.is_renewal:
            after = subscriptions.renewed(before, change) if is_accepted else subscriptions.not_renewed(before, last_at)
        elif is_accepted:
            after = subscriptions.started(before, told.callback.at, change)
        else:
            return
        self._keep(*key, after)

    def _keep(self, player: Player, code: str, subscription: Subscription) -> None:
        self.books.subscriptions[player, code] = subscription
        if subscription.charged_at is not None:
            self.agenda.enter(subscription.charged_at, Charge(player, code))


def _status(notice: Notice, conclusion: Conclusion) -> NoticeStatus:
    match conclusion:
        case Conclusion.COMPLETED:
            return NoticeStatus.COMPLETED
        case Conclusion.UNHEARD if notice.is_cancellation:
            return NoticeStatus.PENDING
        case Conclusion.UNHEARD | Conclusion.REFUSED:
            return NoticeStatus.CANCELLED
        case _:
            assert_never(conclusion)
