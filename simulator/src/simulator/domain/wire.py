from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from okgames.ok_protocol import sign
from simulator.chance import Chance

# Each is signed and must be hashed by the game, although none is known to it.
_UNKNOWN: Final = (
    ("card_promo", "true"),
    ("__online", "false"),
    ("campaign", "Весна & лето = 2+2"),
    ("reserved", ""),
    ("b2", "first by its bytes"),
    ("платформа", "мобильная"),
)


def signed_query(parameters: Mapping[str, str], secret: str, chance: Chance) -> str:
    """Write a query as OK may: any order, `sig` anywhere, spaces as `%20` or as `+`."""
    return _encoded({**parameters, "sig": sign(parameters, secret)}, chance)


def forged_query(parameters: Mapping[str, str], chance: Chance) -> str:
    """Write a query as one who does not know the secret may: with a wrong signature, an empty one or none."""
    wrong = sign(parameters, f"guessed {chance.between(0, 1)}")
    forgeries: tuple[dict[str, str], ...] = ({"sig": wrong}, {"sig": wrong.upper()}, {"sig": ""}, {})
    return _encoded({**parameters, **chance.one_of(forgeries)}, chance)


def unknown_parameters(chance: Chance) -> tuple[tuple[str, str], ...]:
    """Draw parameters of which no game has heard yet."""
    return tuple(chance.shuffled(_UNKNOWN)[: chance.one_of((1, 2, 3))])


def _encoded(parameters: Mapping[str, str], chance: Chance) -> str:
    query = "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in chance.shuffled(parameters.items())
    )
    return query.replace("%20", "+") if chance.happens(0.5) else query
