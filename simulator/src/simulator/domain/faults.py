from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from simulator.chance import Chance
from simulator.domain.callbacks import TransactionIds


class Fault(StrEnum):
    """Name what can go wrong; each is also a field of FaultMix, which says how often it does."""

    LOST_ANSWERS = "lost_answers"
    SLOW = "slow"
    CONCURRENT_DUPLICATES = "concurrent_duplicates"
    LATE_DUPLICATES = "late_duplicates"
    REORDERED = "reordered"
    WRONG_SIGNATURE = "wrong_signature"
    UNKNOWN_PARAMETERS = "unknown_parameters"
    REFUNDS = "refunds"
    CARD_CHARGES = "card_charges"
    UNPAID_RENEWALS = "unpaid_renewals"
    CASHBACK_NO_MONEY = "cashback_no_money"
    CASHBACK_NO_PAYERS = "cashback_no_payers"
    CASHBACK_LOST_ANSWERS = "cashback_lost_answers"
    CASHBACK_SLOW = "cashback_slow"
    CASHBACK_MALFORMED = "cashback_malformed"
    POST_LOST_ANSWERS = "post_lost_answers"
    NOTIFICATION_LOST_ANSWERS = "notification_lost_answers"
    API_ERRORS = "api_errors"
    CLOSED_PROFILES = "closed_profiles"
    JIRA_DOWN = "jira_down"
    JIRA_SLOW = "jira_slow"
    JIRA_UNAUTHORIZED = "jira_unauthorized"
    JIRA_FORBIDDEN = "jira_forbidden"
    JIRA_TOO_MANY = "jira_too_many"
    JIRA_ERRORS = "jira_errors"
    JIRA_HTML = "jira_html"
    JIRA_LOST_ANSWERS = "jira_lost_answers"
    JIRA_DECLINES = "jira_declines"
    JIRA_EDITS = "jira_edits"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Next(_Frozen):
    """Let a fault happen the next so many times, and then never."""

    next: Annotated[int, Field(ge=0, le=1_000_000)]


Rate = Annotated[float, Field(ge=0, le=1)] | Next


class FaultMix(_Frozen):
    """
    Say how often each fault happens: a probability from 0 to 1, or `{"next": n}`.

    Lost answers and slow calls are drawn for each attempt, what concerns OK's API for each call of it, all others once
    for each callback, what concerns JIRA for each call of it or, where its moderator is meant, for each issue.
    `no_group_right`, `expired_token` and what is no probability hold until they are changed.
    """

    lost_answers: Rate = 0.0
    slow: Rate = 0.0
    slow_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    concurrent_duplicates: Rate = 0.0
    late_duplicates: Rate = 0.0
    reordered: Rate = 0.0
    wrong_signature: Rate = 0.0
    unknown_parameters: Rate = 0.0
    transaction_id: TransactionIds = TransactionIds.ABSENT
    refunds: Rate = 0.0
    card_charges: Rate = 0.0
    unpaid_renewals: Rate = 0.0
    cashback_no_money: Rate = 0.0
    cashback_no_payers: Rate = 0.0
    cashback_lost_answers: Rate = 0.0
    cashback_slow: Rate = 0.0
    cashback_malformed: Rate = 0.0
    post_lost_answers: Rate = 0.0
    notification_lost_answers: Rate = 0.0
    api_errors: Rate = 0.0
    closed_profiles: Rate = 0.0
    jira_down: Rate = 0.0
    jira_slow: Rate = 0.0
    jira_unauthorized: Rate = 0.0
    jira_forbidden: Rate = 0.0
    jira_too_many: Rate = 0.0
    jira_errors: Rate = 0.0
    jira_html: Rate = 0.0
    jira_lost_answers: Rate = 0.0
    jira_declines: Rate = 0.0
    jira_edits: Rate = 0.0
    jira_silent: bool = False
    jira_clock_ahead_seconds: Annotated[int, Field(ge=-86_400, le=86_400)] = 0
    no_group_right: bool = False
    expired_token: bool = False

    def draw(self, fault: Fault, chance: Chance) -> tuple[bool, "FaultMix"]:
        """Tell whether a fault happens now, and return the mix that holds from then on."""
        rate: float | Next = getattr(self, fault)
        if not isinstance(rate, Next):
            return chance.of(fault).happens(rate), self
        if rate.next == 0:
            return False, self
        return True, self.model_copy(update={fault.value: Next(next=rate.next - 1)})


class Mischief:
    """Hold the mix of faults that is in force."""

    def __init__(self, mix: FaultMix) -> None:
        self.mix = mix

    def strikes(self, fault: Fault, chance: Chance) -> bool:
        happens, self.mix = self.mix.draw(fault, chance)
        return happens
