from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from okgames.events import Entitlement
from subscription_ledger.domain.entitlement import entitlement, moment
from subscription_ledger.domain.entry import Entry, EntryKind
from subscription_ledger.domain.subscription import FactKind, Phase, Subscription, Terms, step

_PROMPT: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Say why a player has access to a product or has not; `rests_on` are the callbacks that decide it."""

    product: str
    entitlement: Entitlement | None
    sentences: tuple[str, ...]
    rests_on: tuple[Entry, ...]


def explain(product: str, entries: Sequence[Entry], terms: Terms | None, now: datetime) -> Explanation:
    """Explain by all entries of a product; `terms` are None where none of them is of a subscription."""
    purchases = [entry for entry in entries if entry.kind is EntryKind.PURCHASE]
    sentences = [_bought(purchases)] if purchases else []
    if terms is None:
        last = tuple(purchases[-1:])
        return Explanation(product, None, tuple(sentences or ["Never bought, never subscribed to."]), last)
    subscription, run = _present_run(entries, terms)
    assert subscription is not None
    # A fact that OK's clock puts ahead of ours counts at once.
    found = entitlement(product, subscription, max(now, subscription.last[0]))
    decisive = _decisive(run)
    sentences.append(f"Access is {'on' if found.entitled else 'off'}. {found.reason}")
    sentences += [_sentence(entry) for entry in decisive]
    if len(run) > len(decisive):
        sentences.append(f"{len(run) - len(decisive)} more callbacks of the same run decide nothing now.")
    sentences.append(_outlook(subscription, terms, found))
    return Explanation(product, found, tuple(sentences), tuple(decisive))


def _present_run(entries: Iterable[Entry], terms: Terms) -> tuple[Subscription | None, list[Entry]]:
    """Return the subscription and the entries since access last began."""
    facts = {fact: entry for entry in entries if (fact := entry.fact) is not None}
    subscription: Subscription | None = None
    run: list[Entry] = []
    for fact in sorted(facts, key=lambda fact: fact.place):
        has_access = subscription is not None and subscription.has_access(fact.occurred_at)
        if fact.kind is not FactKind.CANCELLATION and not has_access:
            run = []
        run.append(facts[fact])
        subscription = step(subscription, fact, terms)
    return subscription, run


def _decisive(run: Sequence[Entry]) -> list[Entry]:
    """Return the first of a run, the one that runs longest, and the last."""
    paid = [entry for entry in run if entry.kind is not EntryKind.CANCELLATION]
    longest = max(paid, key=lambda entry: entry.ends_at or entry.occurred_at, default=run[-1])
    chosen = {run[0].id, longest.id, run[-1].id}
    return [entry for entry in run if entry.id in chosen]


def _sentence(entry: Entry) -> str:
    assert entry.ends_at is not None
    when, until = moment(entry.occurred_at), moment(entry.ends_at)
    match entry.kind:
        case EntryKind.TRIAL:
            said = f"A trial began on {when}, until {until}"
        case EntryKind.PAYMENT:
            said = (
                f"A payment of {entry.amount_oks} OKs on {when}, transaction {entry.transaction_id}, paid until {until}"
            )
        case _:
            said = f"The player cancelled on {when}"
    if entry.learned_at - entry.occurred_at > _PROMPT:
        said += f"; this was learned on {moment(entry.learned_at)}"
    return f"{said}."


def _bought(purchases: Sequence[Entry]) -> str:
    last = purchases[-1]
    times = "once" if len(purchases) == 1 else f"{len(purchases)} times, the last time"
    return f"Bought {times} on {moment(last.occurred_at)}, transaction {last.transaction_id}."


def _outlook(subscription: Subscription, terms: Terms, found: Entitlement) -> str:
    if subscription.phase is Phase.CANCELLED:
        if terms.runs_to_end:
            return "Of this product a cancellation leaves the time that was paid for."
        return "Of this product a cancellation ends access at once."
    assert subscription.lapses_at is not None
    if found.entitled:
        return f"Unless a payment comes, access ends on {moment(subscription.lapses_at)}."
    return f"A payment was awaited until {moment(subscription.lapses_at)}; one that comes later gives access again."
