from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from okgames.events import (
    Entitlement,
    EntitlementChanged,
    EntitlementExtended,
    EntitlementGranted,
    EntitlementLapsed,
    EntitlementRecovered,
    EntitlementRevoked,
    EntitlementState,
)
from subscription_ledger.domain.subscription import Phase, Subscription

_MOSCOW: Final = ZoneInfo("Europe/Moscow")
_STATES: Final = {
    Phase.TRIAL: EntitlementState.TRIAL,
    Phase.ACTIVE: EntitlementState.ACTIVE,
    Phase.CANCELLED: EntitlementState.CANCELLED,
}


class Cause(StrEnum):
    """Say why an entitlement changed."""

    TRIAL_STARTED = "trial_started"
    TRIAL_EXTENDED = "trial_extended"
    FIRST_PAYMENT = "first_payment"
    RENEWED = "renewed"
    CANCELLED = "cancelled"
    RESUBSCRIBED = "resubscribed"
    TRIAL_ENDED = "trial_ended"
    PERIOD_ENDED = "period_ended"
    RECOVERED = "recovered"


Change: TypeAlias = tuple[type[EntitlementChanged], Cause]


class Access(NamedTuple):
    """Say what the game notices of a subscription: the rest of an entitlement follows from it."""

    state: EntitlementState
    entitled: bool
    until: datetime


def access(subscription: Subscription, at: datetime) -> Access:
    """Say what a subscription gives at a time, if nothing more is learned before it."""
    entitled = subscription.has_access(at)
    if not entitled and subscription.lapses_at is not None and subscription.phase is not Phase.CANCELLED:
        return Access(EntitlementState.LAPSED, entitled, subscription.until)
    return Access(_STATES[subscription.phase], entitled, subscription.until)


def entitlement(product: str, subscription: Subscription, at: datetime) -> Entitlement:
    """Say what a subscription gives at a time, and why."""
    found = access(subscription, at)
    since = subscription.since
    if found.state is EntitlementState.LAPSED and subscription.lapses_at is not None:
        since = subscription.lapses_at
    return Entitlement(
        product=product,
        state=found.state,
        entitled=found.entitled,
        until=found.until,
        since=since,
        reason=_reason(subscription, at),
    )


def _reason(subscription: Subscription, at: datetime) -> str:
    until = moment(subscription.until)
    if subscription.phase is Phase.CANCELLED:
        since = moment(subscription.since)
        if subscription.lapses_at is None:
            return f"Cancelled on {since}; access has ended."
        if subscription.has_access(at):
            return f"Cancelled on {since}; what was paid for runs until {until}."
        return f"Cancelled on {since}; what was paid for ended on {until}."
    what = "On trial" if subscription.phase is Phase.TRIAL else "Paid"
    if at < subscription.until:
        return f"{what} until {until}."
    if subscription.has_access(at):
        assert subscription.lapses_at is not None
        return f"{what} until {until}; the next payment may come until {moment(subscription.lapses_at)}."
    return f"{what} until {until}; no payment came after that."


def moment(time: datetime) -> str:
    """Write a time as people in Moscow read it."""
    return f"{str(time.astimezone(_MOSCOW))[:19]} MSK"


def change(before: Access | None, after: Access) -> Change | None:
    """Name what the game has to hear; None where state, access and end stay what they were."""
    if before == after:
        return None
    if not after.entitled:
        return _end(before, after)
    if before is None or (not before.entitled and before.state is not EntitlementState.LAPSED):
        return EntitlementGranted, _beginning(before, after)
    if not before.entitled:
        return EntitlementRecovered, Cause.RECOVERED
    return _going_on(before, after)


def _end(before: Access | None, after: Access) -> Change:
    if after.state is EntitlementState.LAPSED:
        was_trial = before is not None and before.state is EntitlementState.TRIAL
        return EntitlementLapsed, Cause.TRIAL_ENDED if was_trial else Cause.PERIOD_ENDED
    if before is not None and before.entitled and before.state is EntitlementState.CANCELLED:
        return EntitlementLapsed, Cause.PERIOD_ENDED
    return EntitlementRevoked, Cause.CANCELLED


def _beginning(before: Access | None, after: Access) -> Cause:
    if before is not None:
        return Cause.RESUBSCRIBED
    return Cause.TRIAL_STARTED if after.state is EntitlementState.TRIAL else Cause.FIRST_PAYMENT


def _going_on(before: Access, after: Access) -> Change:
    match before.state, after.state:
        case EntitlementState.CANCELLED, EntitlementState.TRIAL | EntitlementState.ACTIVE:
            return EntitlementGranted, Cause.RESUBSCRIBED
        case EntitlementState.TRIAL | EntitlementState.ACTIVE, EntitlementState.CANCELLED:
            return EntitlementRevoked, Cause.CANCELLED
        case EntitlementState.TRIAL, EntitlementState.ACTIVE:
            return EntitlementExtended, Cause.FIRST_PAYMENT
        case EntitlementState.ACTIVE, EntitlementState.TRIAL:
            # Only a cancellation learned late, of what was paid for before the trial, leads here.
            return EntitlementRevoked, Cause.CANCELLED
    if after.until < before.until:
        return EntitlementRevoked, Cause.CANCELLED
    if after.state is EntitlementState.TRIAL:
        return EntitlementExtended, Cause.TRIAL_EXTENDED
    return EntitlementExtended, Cause.RENEWED
