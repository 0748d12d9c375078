from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from callback_gateway.domain.callers import Address, Network, is_within
from okgames.ok_protocol import AnswerFormat


@dataclass(frozen=True, slots=True)
class Offer:
    """
    Say what a product may cost.

    `prices_at` gives the prices in OKs that count at a time; `prices` are all that there ever were.
    """

    is_subscription: bool
    prices_at: Callable[[datetime], frozenset[int]]
    prices: frozenset[int]


@dataclass(frozen=True, slots=True)
class Game:
    """
    Hold what the callbacks of an application are judged by.

    `zone` is that of the times OK writes. Without `allowed_callers` any address may call; others than these are
    refused only if the game `enforces_callers`.
    """

    application_key: str
    secrets: tuple[bytes, ...]
    zone: tzinfo
    allowed_callers: tuple[Network, ...] | None
    enforces_callers: bool
    answers: AnswerFormat
    offers: Mapping[str, Offer]

    def expects(self, caller: Address | None) -> bool:
        """Tell whether OK is known to call from this address."""
        return self.allowed_callers is None or is_within(caller, self.allowed_callers)
