from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from okgames.events import Entitlement, EntitlementChanged, derive_id
from subscription_ledger.domain.coverage import Coverage, coverage, coverages
from subscription_ledger.domain.entitlement import access, change, entitlement
from subscription_ledger.domain.subscription import Fact, FactKind, Subscription, Terms, fold, step


class Standing(NamedTuple):
    """
    Hold a subscription and the terms by which it was last summed up.

    `told_at` is the time as of which the game was last told of it. It only moves forward: to a fact's time, and to
    that of a lapse.
    """

    subscription: Subscription
    terms: Terms
    told_at: datetime

    @property
    def lapses_at(self) -> datetime | None:
        """When the game has to be told of a lapse; None if there is none to come."""
        at = self.subscription.lapses_at
        return at if at is not None and at > self.told_at else None


def needs_history(standing: Standing | None, facts: Iterable[Fact], terms: Terms) -> bool:
    """Tell whether new facts can only be learned together with all earlier ones of their subscription."""
    if standing is None:
        return False
    last = standing.subscription.last
    until = standing.subscription.until
    for fact in facts:
        cuts = fact.kind is FactKind.CANCELLATION and not terms.runs_to_end and until > fact.occurred_at
        if cuts or fact.place < last:
            return True
        last, until = fact.place, max(until, fact.ends_at)
    return False


@dataclass(slots=True)
class Player:
    """
    Learn what happened to one player's subscriptions, and collect what the game has to hear.

    `histories` holds all earlier facts of the subscriptions that `needs_history` names, and none of any other
    known one. `covered` is the time that the facts learned here cover or have moved; `touched` are the products whose
    standing is another than before.
    """

    application_key: str
    uid: str
    version: int = 0
    standings: dict[str, Standing] = field(default_factory=dict)
    histories: dict[str, list[Fact]] = field(default_factory=dict)
    changes: list[EntitlementChanged] = field(default_factory=list)
    covered: dict[UUID, Coverage] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    learned: set[UUID] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        return self.application_key, self.uid

    def learn(self, product: str, fact: Fact, terms: Terms) -> None:
        """Take in one fact, which may have happened before others that are known."""
        self.learned.add(fact.id)
        standing = self.standings.get(product)
        if standing is None:
            self.histories[product] = []
            self._cover(product, None, fact, terms)
            return self._tell_of_fact(product, fact, step(None, fact, terms), terms, fact.occurred_at)
        if fact.place < standing.subscription.last:
            self._cover(product, None, fact, terms)
            subscription = fold(self.histories[product], terms)
            assert subscription is not None
            return self._tell_of_fact(product, fact, subscription, terms, standing.told_at)
        self._lapse(product, fact.occurred_at)
        self._cover(product, standing.subscription, fact, terms)
        told_at = max(self.standings[product].told_at, fact.occurred_at)
        return self._tell_of_fact(product, fact, step(standing.subscription, fact, terms), terms, told_at)

    def pass_time(self, now: datetime) -> None:
        """Let lapse what has come to its end."""
        due = [
            (at, product)
            for product, standing in self.standings.items()
            if (at := standing.lapses_at) is not None and at <= now
        ]
        for _, product in sorted(due):
            self._lapse(product, now)

    @property
    def moved(self) -> list[Coverage]:
        """What earlier facts cover now, where that is another time than before."""
        return [each for each in self.covered.values() if each.fact_id not in self.learned]

    @property
    def lapses_due_at(self) -> datetime | None:
        return min((at for standing in self.standings.values() if (at := standing.lapses_at)), default=None)

    def snapshot(self) -> tuple[Entitlement, ...]:
        """Return every entitlement as the game was last told of it."""
        return tuple(
            entitlement(product, standing.subscription, standing.told_at)
            for product, standing in sorted(self.standings.items())
        )

    def _cover(self, product: str, before: Subscription | None, fact: Fact, terms: Terms) -> None:
        history = self.histories.get(product)
        if history:
            earlier = coverages(history, terms)
            self.covered |= dict(coverages([*history, fact], terms).items() - earlier.items())
        elif fact.kind is not FactKind.CANCELLATION:
            self.covered[fact.id] = coverage(before, fact)
        if history is not None:
            history.append(fact)

    def _tell_of_fact(
        self, product: str, fact: Fact, subscription: Subscription, terms: Terms, told_at: datetime
    ) -> None:
        change_id = derive_id(fact.id, "entitlement")
        self._tell(product, Standing(subscription, terms, told_at), change_id, fact.occurred_at)

    def _lapse(self, product: str, now: datetime) -> None:
        standing = self.standings[product]
        at = standing.lapses_at
        if at is None or at > now:
            return
        # told_at only moves forward, so no two lapses of a subscription have the same time.
        change_id = derive_id("lapse", self.application_key, self.uid, product, at.timestamp())
        self._tell(product, Standing(standing.subscription, standing.terms, at), change_id, at)

    def _tell(self, product: str, standing: Standing, change_id: UUID, occurred_at: datetime) -> None:
        known = self.standings.get(product)
        before = None if known is None else access(known.subscription, known.told_at)
        after = access(standing.subscription, standing.told_at)
        self.standings[product] = standing
        self.touched.add(product)
        changed = change(before, after)
        if changed is None:
            return
        kind, cause = changed
        self.version += 1
        self.changes.append(
            kind(
                id=change_id,
                occurred_at=occurred_at,
                application_key=self.application_key,
                uid=self.uid,
                product=product,
                state=after.state,
                entitled=after.entitled,
                until=after.until,
                version=self.version,
                cause=cause,
                entitlements=self.snapshot(),
            )
        )
