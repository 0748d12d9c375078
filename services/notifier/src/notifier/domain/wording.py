from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from jinja2 import DictLoader, Environment, StrictUndefined

from okgames.events import GroupPostDue, NotificationDue, Winner

Language = Literal["ru", "en"]

_MOSCOW: Final = ZoneInfo("Europe/Moscow")
_MONTHS: Final[Mapping[Language, Sequence[str]]] = {
    "ru": (
        "января",
        "февраля",
        "марта",
        "апреля",
        "мая",
        "июня",
        "июля",
        "августа",
        "сентября",
        "октября",
        "ноября",
        "декабря",
    ),
    "en": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
}
_OKS: Final[Mapping[Language, str]] = {
    "ru": "{} \N{CYRILLIC CAPITAL LETTER O}\N{CYRILLIC CAPITAL LETTER KA}",
    "en": "{} OKs",
}
_AND: Final[Mapping[Language, str]] = {"ru": " и ", "en": " and "}
_THOUSANDS: Final[Mapping[Language, str]] = {"ru": "\N{NO-BREAK SPACE}", "en": ","}


class Wording:
    """Put what is told to players into words, from templates by their file names; times are Moscow's."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        # Plain text, of which nobody makes HTML.
        self._environment = Environment(
            loader=DictLoader(templates),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701 - as above
            keep_trailing_newline=False,
        )

    def of_post(self, due: GroupPostDue, language: Language) -> str:
        """Return the text of a post in the group."""
        return self._render(
            f"{due.post}.{language}.j2",
            game=due.game,
            day=_day(due.day, language),
            draw_day=_day(due.day + timedelta(days=1), language),
            opens=_time(due.opens_at),
            # The day ends at midnight, which readers take for its beginning.
            closes=_time(due.closes_at - timedelta(minutes=1)),
            prizes=_prizes(due.prizes_oks, language),
            places=len(due.prizes_oks),
            winners=[_winner(each, language) for each in due.winners],
        )

    def of_notification(self, due: NotificationDue, language: Language) -> str:
        """Return the text of a notification; the rehearsal's is that of the day itself."""
        return self._render(
            f"notification.{language}.j2",
            game=due.game,
            day=_day(due.day, language),
            prizes=_prizes(due.prizes_oks, language),
        )

    def _render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(**values).strip()


def _winner(winner: Winner, language: Language) -> Mapping[str, str | None]:
    return {"name": winner.name, "prize": _oks(winner.prize_oks, language), "profile_url": winner.profile_url}


def _prizes(prizes_oks: Sequence[int], language: Language) -> str:
    *others, last = [_oks(prize, language) for prize in prizes_oks]
    return _AND[language].join(filter(None, [", ".join(others), last]))


def _oks(number: int, language: Language) -> str:
    return _OKS[language].format(f"{number:,}".replace(",", _THOUSANDS[language]))


def _day(day: date, language: Language) -> str:
    return f"{day.day} {_MONTHS[language][day.month - 1]}"


def _time(time: datetime) -> str:
    return f"{time.astimezone(_MOSCOW):%H:%M}"
