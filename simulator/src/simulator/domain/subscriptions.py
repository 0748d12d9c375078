from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from okgames.catalogue import Plan
from okgames.ok_protocol import CallbackAction
from simulator.domain.callbacks import Change

CHARGED_AGAIN_AFTER: Final = timedelta(hours=1)
"""OK's pages do not say what follows a renewal that failed: here OK charges again after so long."""

CHARGES_AT_MOST: Final = 24
"""So many charges in a row that the game did not accept end a subscription, of which no callback tells."""

UNPAID_FOR_AT_MOST: Final = 3
"""So many days in a row without OKs and with an empty card end a subscription as well."""


class AlreadySubscribed(Exception):
    """The player has this subscription."""


class NotSubscribed(Exception):
    """The player does not have this subscription."""


class SubscriptionState(StrEnum):
    TRIAL = "trial"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    Say how a player's subscription stands at OK.

    `changed_at` is the transaction_time of its latest callback, `charged_at` when OK charges next: None while a
    charge is under way and when there will be none.
    """

    state: SubscriptionState
    since: datetime
    ends_at: datetime
    changed_at: datetime
    charged_at: datetime | None
    had_trial: bool
    failed_charges: int = 0

    @property
    def is_running(self) -> bool:
        return self.state in {SubscriptionState.TRIAL, SubscriptionState.ACTIVE}


def start(before: Subscription | None, plan: Plan, at: datetime) -> Change:
    """Say how a subscription starts: with the trial, unless there is none or the player had it; or raise."""
    if before is not None and before.is_running:
        raise AlreadySubscribed
    if plan.trial is not None and (before is None or not before.had_trial):
        return Change(CallbackAction.TRIAL_SUBSCRIPTION, at + plan.trial, plan.trial)
    return Change(CallbackAction.REG_SUBSCRIPTION, at + plan.period)


def next_moment(before: Subscription | None, now: datetime) -> datetime:
    """
    Return the transaction_time of a subscription's next callback, in whole seconds.

    It is after that of the callback before: the wire tells seconds only, and the game must see which came last.
    """
    now = now.replace(microsecond=0)
    return now if before is None else max(now, before.changed_at + timedelta(seconds=1))


def started(before: Subscription | None, at: datetime, change: Change) -> Subscription:
    """Return the subscription after the game has accepted its trial or its first payment of that time."""
    is_trial = change.action is CallbackAction.TRIAL_SUBSCRIPTION
    return Subscription(
        state=SubscriptionState.TRIAL if is_trial else SubscriptionState.ACTIVE,
        since=at,
        ends_at=change.ends_at,
        changed_at=at,
        charged_at=change.ends_at,
        had_trial=is_trial or (before is not None and before.had_trial),
    )


def charging(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription while OK charges it."""
    return replace(subscription, changed_at=at, charged_at=None)


def renewed(subscription: Subscription, change: Change) -> Subscription:
    """Return the subscription after the game has accepted a renewal; one that was cancelled meanwhile stays so."""
    ends_at = max(subscription.ends_at, change.ends_at)
    if not subscription.is_running:
        return replace(subscription, ends_at=ends_at)
    return replace(subscription, state=SubscriptionState.ACTIVE, ends_at=ends_at, charged_at=ends_at, failed_charges=0)


def not_renewed(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription after a charge at `at` that the game did not accept."""
    return _charged_in_vain(subscription, at + CHARGED_AGAIN_AFTER, CHARGES_AT_MOST)


def not_paid(subscription: Subscription, at: datetime) -> Subscription:
    """Return the subscription after OK found nothing to charge at `at`, of which the game hears nothing."""
    return _charged_in_vain(subscription, at + timedelta(days=1), UNPAID_FOR_AT_MOST)


def _charged_in_vain(subscription: Subscription, again_at: datetime, at_most: int) -> Subscription:
    if not subscription.is_running:
        return subscription
    failed_charges = subscription.failed_charges + 1
    if failed_charges >= at_most:
        return replace(subscription, state=SubscriptionState.FAILED, charged_at=None, failed_charges=failed_charges)
    return replace(subscription, charged_at=again_at, failed_charges=failed_charges)


def cancelled(subscription: Subscription | None, at: datetime) -> Subscription:
    """Return the subscription after the player has cancelled it; payments stop whether or not the game is told."""
    if subscription is None or not subscription.is_running:
        raise NotSubscribed
    return replace(subscription, state=SubscriptionState.CANCELLED, changed_at=at, charged_at=None)
