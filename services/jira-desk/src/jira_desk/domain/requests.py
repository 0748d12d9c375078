import base64
from abc import abstractmethod
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final, Literal, Self, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jira_desk.domain.wording import LANGUAGES, Language, Words, audience_text, day_text, oks_text, request_words
from okgames.jira_account import JiraRequestKind

MOSCOW: Final = ZoneInfo("Europe/Moscow")

ISSUE_TYPES: Final[Mapping[JiraRequestKind, str]] = {
    JiraRequestKind.THOUSAND_OKS: "1,000 OKs",
    JiraRequestKind.PROFILE_PICTURE: "Profile Picture Promotion",
    JiraRequestKind.COLLECTIONS: "Collections",
    JiraRequestKind.OKSHOP_TASK: "OKshop Task",
}
"""OK's names of the options; what its JIRA calls the issue types is not documented, so jira.projects may differ."""

ICON_PIXELS: Final = 128
_MOST_ICON_TEXT: Final = 1_400_000
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_LAST_MINUTE: Final = time(23, 59)

Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=4000)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Prize: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Days: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=365)]
Age: TypeAlias = Annotated[int, Field(strict=True, ge=5, le=100)]


class _Request(BaseModel):
    """Hold what is asked of OK; `by` says who of ours asks, `notes` is for OK's people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    application_key: Name
    by: Name
    notes: Annotated[str, Field(max_length=4000)] = ""

    def due_by(self, _lead: timedelta) -> datetime | None:
        """Return until when OK wants the request, None where OK states no lead time."""
        return None

    def icon_content(self) -> bytes | None:
        return None

    def texts(self, game: str, _language: Language) -> dict[str, object]:
        """Return what the templates are filled with."""
        notes = "" if not self.notes else f"\n{self.notes}"
        return {"game": game, "app": self.application_key, "notes": notes}


class ThousandOks(_Request):
    """Ask for a "1,000 OKs" promotion on one Moscow day."""

    kind: Literal[JiraRequestKind.THOUSAND_OKS] = JiraRequestKind.THOUSAND_OKS
    day: date
    prizes_oks: Annotated[tuple[Prize, ...], Field(min_length=1, max_length=10)] = (1000,)
    promotion_id: UUID | None = None

    def due_by(self, lead: timedelta) -> datetime | None:
        return datetime.combine(self.day, time(), MOSCOW) - lead

    def texts(self, game: str, language: Language) -> dict[str, object]:
        return {
            **super().texts(game, language),
            "day": day_text(self.day, language),
            "prizes": ", ".join(oks_text(prize, language) for prize in self.prizes_oks),
            "total": sum(self.prizes_oks),
        }


class _Period(_Request):
    begins: date

    @abstractmethod
    def last_day(self) -> date: ...

    def texts(self, game: str, language: Language) -> dict[str, object]:
        return {
            **super().texts(game, language),
            "begins": day_text(self.begins, language),
            "ends": day_text(self.last_day(), language),
        }


class _Featuring(_Period):
    ends: date
    offer: Text

    @model_validator(mode="after")
    def _ends_after_its_beginning(self) -> Self:
        if self.ends < self.begins:
            raise ValueError("ends must not be before begins")
        return self

    def last_day(self) -> date:
        return self.ends

    def texts(self, game: str, language: Language) -> dict[str, object]:
        return {**super().texts(game, language), "offer": self.offer}


class ProfilePicture(_Featuring):
    """Ask for a banner with a profile picture in the feed."""

    kind: Literal[JiraRequestKind.PROFILE_PICTURE] = JiraRequestKind.PROFILE_PICTURE


class Collections(_Featuring):
    """Ask for a place in "Offers and updates"."""

    kind: Literal[JiraRequestKind.COLLECTIONS] = JiraRequestKind.COLLECTIONS


class OkshopTask(_Period):
    """
    Ask for a task in OKshop, "Play a game for 5 minutes": two weeks, or one to three weeks more.

    The icon is a PNG of 128x128 in base64, without it OK takes the game's (OK's page "OKshop promo").
    """

    kind: Literal[JiraRequestKind.OKSHOP_TASK] = JiraRequestKind.OKSHOP_TASK
    weeks: Annotated[int, Field(strict=True, ge=2, le=5)] = 2
    minutes: Annotated[int, Field(strict=True, ge=1, le=60)] = 5
    icon: Annotated[str, Field(max_length=_MOST_ICON_TEXT)] | None = None
    gender: Literal["men", "women"] | None = None
    ages: tuple[Age, Age] | None = None
    played_within_days: Days | None = None
    paid_within_days: Days | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.ages is not None and self.ages[0] > self.ages[1]:
            raise ValueError("ages must be the youngest and the oldest")
        if self.icon is not None:
            size = png_size(_decoded(self.icon))
            if size != (ICON_PIXELS, ICON_PIXELS):
                raise ValueError(f"icon must be a PNG of {ICON_PIXELS}x{ICON_PIXELS}, not {_size_text(size)}")
        return self

    def last_day(self) -> date:
        return self.begins + timedelta(weeks=self.weeks) - timedelta(days=1)

    def icon_content(self) -> bytes | None:
        return None if self.icon is None else _decoded(self.icon)

    def texts(self, game: str, language: Language) -> dict[str, object]:
        own = ("во вложении", "attached") if self.icon else ("стандартная иконка игры", "the game's own")
        return {
            **super().texts(game, language),
            "minutes": self.minutes,
            "audience": audience_text(language, self.gender, self.ages, self.played_within_days, self.paid_within_days),
            "icon": own[LANGUAGES.index(language)],
        }


Request: TypeAlias = Annotated[ThousandOks | ProfilePicture | Collections | OkshopTask, Field(discriminator="kind")]


def words_of(request: Request, game: str) -> dict[Language, Words]:
    """Return title and description in all our languages."""
    return {language: request_words(request.kind, language, request.texts(game, language)) for language in LANGUAGES}


def warnings_of(request: Request, lead: timedelta, now: datetime) -> list[str]:
    """Name what OK's rules say against a request; a person may send it all the same."""
    found = []
    due_by = request.due_by(lead)
    if due_by is not None and now > due_by:
        found.append(f"OK wants the request until {due_by:%Y-%m-%d %H:%M} MSK.")
    if isinstance(request, ThousandOks) and request.day.isoweekday() > 4:
        found.append("OK holds this promotion from Monday to Thursday only.")
    first = request.day if isinstance(request, ThousandOks) else request.begins
    if datetime.combine(first, _LAST_MINUTE, MOSCOW) < now:
        found.append(f"{first} is past.")
    return found


def png_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, None for anything else."""
    if len(content) < 24 or not content.startswith(_PNG) or content[12:16] != b"IHDR":
        return None
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("icon must be in base64") from error


def _size_text(size: tuple[int, int] | None) -> str:
    return "another kind of file" if size is None else f"{size[0]}x{size[1]}"
