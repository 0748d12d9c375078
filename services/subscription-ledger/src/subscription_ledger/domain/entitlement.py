from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

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


def entitlement(product: str, subscription: Subscription, at: datetime) -> Entitlement:
    """Say what a subscription gives at a time, if nothing more is learned before it."""
    entitled = subscription.has_access(at)
    state, since = EntitlementState(subscription.phase), subscription.since
    if subscription.phase is not Phase.CANCELLED and not entitled and subscription.lapses_at is not None:
        state, since = EntitlementState.LAPSED, subscription.lapses_at
    return Entitlement(
        product=product,
        state=state,
        entitled=entitled,
        until=subscription.until,
        since=since,
        reason=_reason(subscription, at),
    )


def _reason(subscription: Subscription, at: datetime) -> str:
    since, until = moment(subscription.since), moment(subscription.until)
    if subscription.phase is Phase.CANCELLED:
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
    """Write a time for people."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def change(before: Entitlement | None, after: Entitlement) -> Change | None:
    """Name what the game has to hear; None where state, access and end stay what they were."""
    if before is not None and _visible(before) == _visible(after):
        return None
    if not after.entitled:
        return _end(before, after)
    if before is None or (not before.entitled and before.state is not EntitlementState.LAPSED):
        return EntitlementGranted, _beginning(before, after)
    if not before.entitled:
        return EntitlementRecovered, Cause.RECOVERED
    return _going_on(before, after)


def _visible(entitlement: Entitlement) -> tuple[EntitlementState, bool, datetime]:
    return entitlement.state, entitlement.entitled, entitlement.until


def _end(before: Entitlement | None, after: Entitlement) -> Change:
    if after.state is EntitlementState.LAPSED:
        was_trial = before is not None and before.state is EntitlementState.TRIAL
        return EntitlementLapsed, Cause.TRIAL_ENDED if was_trial else Cause.PERIOD_ENDED
    if before is not None and before.entitled and before.state is EntitlementState.CANCELLED:
        return EntitlementLapsed, Cause.PERIOD_ENDED
    return EntitlementRevoked, Cause.CANCELLED


def _beginning(before: Entitlement | None, after: Entitlement) -> Cause:
    if before is not None:
        return Cause.RESUBSCRIBED
    return Cause.TRIAL_STARTED if after.state is EntitlementState.TRIAL else Cause.FIRST_PAYMENT


def _going_on(before: Entitlement, after: Entitlement) -> Change:
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
