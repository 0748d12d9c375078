from typing import Final

from simulator.chance import Chance

_FIRST_NAMES: Final = ("Иван", "Мария", "Пётр", "Анна", "Olga", "John")
_LAST_NAMES: Final = ("Петренко", "Шевчук", "Ким", "Doe", "Müller", "Гофман")


def person(uid: str, *, is_closed: bool) -> dict[str, str]:
    """Return a player as users.getInfo does; a closed profile has no name."""
    known = {"uid": uid, "url_profile": f"https://ok.ru/profile/{uid}"}
    if is_closed:
        return known
    chance = Chance("person", uid)
    first, last = chance.one_of(_FIRST_NAMES), chance.one_of(_LAST_NAMES)
    return known | {"first_name": first, "last_name": last, "name": f"{first} {last}"}
