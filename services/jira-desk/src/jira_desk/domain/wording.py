from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from okgames.jira_account import JiraRequestKind, JiraTask

Language: TypeAlias = Literal["ru", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("ru", "en")


@dataclass(frozen=True, slots=True)
class Words:
    """Hold a title and a description in one language."""

    title: str
    text: str


_TITLES: Final[Mapping[JiraRequestKind, Mapping[Language, str]]] = MappingProxyType(
    {
        JiraRequestKind.THOUSAND_OKS: {
            "ru": "1,000 OKs: {game}, {day}",
            "en": "1,000 OKs: {game}, {day}",
        },
        JiraRequestKind.PROFILE_PICTURE: {
            "ru": "Profile Picture Promotion: {game}, с {begins}",
            "en": "Profile Picture Promotion: {game}, from {begins}",
        },
        JiraRequestKind.COLLECTIONS: {
            "ru": "Collections (Предложения и обновления): {game}, с {begins}",
            "en": "Collections (Offers and updates): {game}, from {begins}",
        },
        JiraRequestKind.OKSHOP_TASK: {
            "ru": "OKshop Task: {game}, с {begins}",
            "en": "OKshop Task: {game}, from {begins}",
        },
    }
)
"""OK wants "1,000 OKs" in the name of its request (page "1,000 OKs promotion", rule 4)."""

_TEXTS: Final[Mapping[JiraRequestKind, Mapping[Language, str]]] = MappingProxyType(
    {
        JiraRequestKind.THOUSAND_OKS: {
            "ru": (
                "Здравствуйте!\n\nПросим согласовать акцию «1,000 OKs» в игре «{game}» (application_key {app}).\n\n"
                "День акции: {day}, с 00:00 до 23:59 по московскому времени.\n"
                "Призы: {prizes}. Всего: {total} OK.\n{notes}"
            ),
            "en": (
                'Hello!\n\nPlease approve the promotion "1,000 OKs" in the game "{game}" (application_key {app}).\n\n'
                "Day: {day}, from 00:00 to 23:59, Moscow time.\nPrizes: {prizes}. In total: {total} OKs.\n{notes}"
            ),
        },
        JiraRequestKind.PROFILE_PICTURE: {
            "ru": (
                "Здравствуйте!\n\nПросим разместить игру «{game}» (application_key {app}) в акции с аватаром"
                " (Profile Picture Promotion).\n\nПериод: {begins} - {ends}.\nПредложение игрокам: {offer}\n{notes}"
            ),
            "en": (
                'Hello!\n\nPlease feature the game "{game}" (application_key {app}) in a Profile Picture Promotion.\n\n'
                "Period: {begins} - {ends}.\nOffer to players: {offer}\n{notes}"
            ),
        },
        JiraRequestKind.COLLECTIONS: {
            "ru": (
                "Здравствуйте!\n\nПросим разместить игру «{game}» (application_key {app}) в разделе «Предложения и"
                " обновления» (Collections).\n\nПериод: {begins} - {ends}.\nПредложение игрокам: {offer}\n{notes}"
            ),
            "en": (
                'Hello!\n\nPlease feature the game "{game}" (application_key {app}) in "Offers and updates"'
                " (Collections).\n\nPeriod: {begins} - {ends}.\nOffer to players: {offer}\n{notes}"
            ),
        },
        JiraRequestKind.OKSHOP_TASK: {
            "ru": (
                "Здравствуйте!\n\nПросим создать задание в OKshop: играть в «{game}» (application_key {app}) {minutes}"
                " минут.\n\nПериод: {begins} - {ends}.\nАудитория: {audience}.\nИконка: {icon}.\n{notes}"
            ),
            "en": (
                'Hello!\n\nPlease create an OKshop task: play "{game}" (application_key {app}) for {minutes} minutes.'
                "\n\nPeriod: {begins} - {ends}.\nAudience: {audience}.\nIcon: {icon}.\n{notes}"
            ),
        },
    }
)


class Template(StrEnum):
    """Name a comment that we know how to write."""

    ACCOUNT = "account"
    REMARKS_DONE = "remarks_done"
    CONTRACT = "contract"
    QUESTION = "question"
    WITHDRAWN = "withdrawn"


_COMMENTS: Final[Mapping[Template, Mapping[Language, str]]] = MappingProxyType(
    {
        Template.ACCOUNT: {
            "ru": (
                "Здравствуйте! Нужна дополнительная учётная запись в JIRA.\n"
                "Имя и фамилия: {first_name} {last_name}\nE-mail: {email}\nЗадачи, к которым нужен доступ: {tasks}"
            ),
            "en": (
                "Hello! Please add a further JIRA account.\n"
                "First and last name: {first_name} {last_name}\nE-mail: {email}\nTasks to have access to: {tasks}"
            ),
        },
        Template.REMARKS_DONE: {
            "ru": "Здравствуйте! Замечания исправлены, просим проверить ещё раз.\n{text}",
            "en": "Hello! The remarks have been dealt with, please check again.\n{text}",
        },
        Template.CONTRACT: {
            "ru": "Здравствуйте! Вопрос по договору на рекламу в игре «{game}».\n{text}",
            "en": 'Hello! A question on the contract for advertisement in the game "{game}".\n{text}',
        },
        Template.QUESTION: {"ru": "Здравствуйте! {text}", "en": "Hello! {text}"},
        Template.WITHDRAWN: {
            "ru": "Здравствуйте! Просим отменить этот запрос. {text}",
            "en": "Hello! Please cancel this request. {text}",
        },
    }
)

TEMPLATE_TASKS: Final[Mapping[Template, frozenset[JiraTask]]] = MappingProxyType(
    {
        Template.ACCOUNT: frozenset({JiraTask.DOC}),
        Template.REMARKS_DONE: frozenset({JiraTask.OK}),
        Template.CONTRACT: frozenset({JiraTask.ADVDOC, JiraTask.OK}),
        Template.QUESTION: frozenset(JiraTask),
        Template.WITHDRAWN: frozenset({JiraTask.PROMO}),
    }
)
"""In which tasks a comment belongs: further accounts in the DOC task, the contract in ADVDOC or, for those who are no
residents, in the moderation task (OK's page "Working with OK through JIRA")."""

_GENDERS: Final[Mapping[str, Mapping[Language, str]]] = MappingProxyType(
    {"men": {"ru": "мужчины", "en": "men"}, "women": {"ru": "женщины", "en": "women"}}
)


def request_words(kind: JiraRequestKind, language: Language, values: Mapping[str, object]) -> Words:
    """Return title and description of a request."""
    return Words(_TITLES[kind][language].format(**values), _TEXTS[kind][language].format(**values).strip())


def comment_text(template: Template, language: Language, values: Mapping[str, str]) -> str:
    """Return the text of a comment; raise KeyError, with its name, for a value that is missing."""
    return _COMMENTS[template][language].format(**values).strip()


def day_text(day: date, language: Language) -> str:
    return f"{day:%d.%m.%Y}" if language == "ru" else f"{day}"


def oks_text(amount: int, language: Language) -> str:
    return f"{amount:,} OK".replace(",", " ") if language == "ru" else f"{amount:,} OKs"


def audience_text(
    language: Language,
    gender: str | None,
    ages: tuple[int, int] | None,
    played_within_days: int | None,
    paid_within_days: int | None,
) -> str:
    """Return for whom an OKshop task is, in words."""
    parts = []
    if gender is not None:
        parts.append(_GENDERS[gender][language])
    if ages is not None:
        parts.append(f"{ages[0]}-{ages[1]}" + (" лет" if language == "ru" else " years old"))
    if played_within_days is not None:
        active = "активность за последние {} дн." if language == "ru" else "active within the last {} days"
        parts.append(active.format(played_within_days))
    if paid_within_days is not None:
        paid = "платёж за последние {} дн." if language == "ru" else "paid within the last {} days"
        parts.append(paid.format(paid_within_days))
    return ", ".join(parts) or ("все игроки" if language == "ru" else "all players")
