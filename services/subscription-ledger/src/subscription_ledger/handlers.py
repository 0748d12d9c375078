from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from okgames.catalogue import Config, Product
from okgames.clock import Clock
from okgames.database import Tx
from okgames.events import RewardGranted
from okgames.outbox import append
from okgames.service import Poisoned
from subscription_ledger.domain.entry import Entry, EntryKind, Payment, entry_of
from subscription_ledger.domain.player import Player, needs_history
from subscription_ledger.domain.rewards import SLOTS_AT_ONCE, Grant, RewardTerms, Slot, grant_over, reward_for
from subscription_ledger.domain.subscription import Fact, Terms
from subscription_ledger.store import entries, players, rewards, timeline
from subscription_ledger.store.columns import PlayerKey
from subscription_ledger.store.timeline import Outcome


@dataclass(frozen=True, slots=True)
class Offer:
    """Say what a product of the configuration is; `terms` are None for what is bought once."""

    terms: Terms | None
    reward: RewardTerms | None


Offers: TypeAlias = Mapping[tuple[str, str], Offer]
Subscribers: TypeAlias = Mapping[PlayerKey, Player]


async def on_payments(config: Config, clock: Clock, tx: Tx, events: Sequence[Payment]) -> None:
    """Enter what OK said, let it change entitlements, and grant the rewards that are due."""
    now = await clock.now()
    batch = [entry_of(event, now) for event in events]
    offers = _offers(config, batch)
    known = await entries.find_known(tx, [entry.id for entry in batch])
    news = [entry for entry in batch if entry.id not in known]
    subscribers = await _learn(tx, offers, news, now)
    changes = [change for player in subscribers.values() for change in player.changes]
    rewards_of = _rewards(offers, news)
    grants, slots = _grants(offers, subscribers, news, now)

    await entries.save_entries(tx, news, rewards_of)
    await players.save_players(tx, list(subscribers.values()))
    await players.save_changes(tx, changes, now)
    await rewards.save_grants(tx, grants)
    await rewards.move_grants(tx, [each for player in subscribers.values() for each in player.moved])
    await rewards.save_slots(tx, slots, now)
    await append(tx, *changes, *rewards_of.values(), *(slot.reward for slot in slots))


async def on_deliveries(clock: Clock, tx: Tx, events: Sequence[Outcome]) -> None:
    """Keep what became of webhooks, for the timeline."""
    await timeline.save_deliveries(tx, events, await clock.now())


def terms_of(product: Product) -> Terms | None:
    plan = product.subscription
    return None if plan is None else Terms(plan.tolerance, plan.after_cancel == "until_end")


def _offers(config: Config, batch: Iterable[Entry]) -> Offers:
    """Look products up; what OK charged for and we cannot serve waits as a dead letter for a person."""
    offers: dict[tuple[str, str], Offer] = {}
    for entry in batch:
        key = (entry.application_key, entry.product)
        if key not in offers:
            offers[key] = _offer(config, *key)
        if offers[key].terms is None and entry.kind is not EntryKind.PURCHASE:
            raise Poisoned(
                f"{entry.product} of {entry.application_key} has no subscription in the configuration; "
                "add it, if only for those who have it, and retry"
            )
    return offers


def _offer(config: Config, application_key: str, code: str) -> Offer:
    app = config.app(application_key)
    product = None if app is None else app.product(code)
    if product is None:
        raise Poisoned(
            f"{application_key} has no product {code} in the configuration; add it, if only for those who have it, "
            "and retry"
        )
    reward = product.reward
    return Offer(
        terms_of(product),
        None if reward is None else RewardTerms(reward.item, reward.quantity, reward.every),
    )


async def _learn(tx: Tx, offers: Offers, news: Iterable[Entry], now: datetime) -> Subscribers:
    """Let players learn what happened to their subscriptions, and let lapse what has come to its end since."""
    facts = [(entry, fact) for entry in news if (fact := entry.fact) is not None]
    if not facts:
        return {}
    keys = {(entry.application_key, entry.uid) for entry, _ in facts}
    subscribers = {player.key: player for player in await players.lock_players(tx, keys)}
    await _load_histories(tx, offers, subscribers, facts)
    for entry, fact in facts:
        terms = offers[entry.application_key, entry.product].terms
        assert terms is not None
        subscribers[entry.application_key, entry.uid].learn(entry.product, fact, terms)
    for player in subscribers.values():
        player.pass_time(now)
    return subscribers


async def _load_histories(
    tx: Tx, offers: Offers, subscribers: Subscribers, facts: Collection[tuple[Entry, Fact]]
) -> None:
    """Load the earlier facts of those subscriptions that can't be carried on from where they stand."""
    arrived: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
    for entry, fact in facts:
        arrived[entry.application_key, entry.uid, entry.product].append(fact)
    wanted = []
    for (application_key, uid, product), new_facts in arrived.items():
        player, terms = subscribers[application_key, uid], offers[application_key, product].terms
        assert terms is not None
        if needs_history(player.standings.get(product), new_facts, terms):
            player.histories[product] = []
            wanted.append((application_key, uid, product))
    for entry in await entries.load_entries(tx, wanted):
        earlier = entry.fact
        if earlier is not None:
            subscribers[entry.application_key, entry.uid].histories[entry.product].append(earlier)


def _rewards(offers: Offers, news: Iterable[Entry]) -> dict[UUID, RewardGranted]:
    """Return the rewards that are given once, by entry."""
    return {
        entry.id: reward_for(entry, terms)
        for entry in news
        if (terms := offers[entry.application_key, entry.product].reward) is not None
        and entry.kind is not EntryKind.CANCELLATION
        and (terms.every is None or entry.kind is EntryKind.PURCHASE)
    }


def _grants(
    offers: Offers, subscribers: Subscribers, news: Iterable[Entry], now: datetime
) -> tuple[list[Grant], list[Slot]]:
    """Return grants for the time that is newly covered, and those of their rewards that are due at once."""
    grants: list[Grant] = []
    slots: list[Slot] = []
    for entry in news:
        terms = offers[entry.application_key, entry.product].reward
        if terms is None or terms.every is None or entry.kind not in (EntryKind.TRIAL, EntryKind.PAYMENT):
            continue
        covered = subscribers[entry.application_key, entry.uid].covered[entry.id]
        grant, due = grant_over(covered, entry, terms, terms.every).take_due(now, SLOTS_AT_ONCE)
        grants.append(grant)
        slots += due
    return grants, slots
