import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from okgames.jira_account import JiraMeaning

COMMON_STATUSES: Final[Mapping[str, JiraMeaning]] = MappingProxyType(
    {
        "open": JiraMeaning.WAITING,
        "открыт": JiraMeaning.WAITING,
        "to do": JiraMeaning.WAITING,
        "сделать": JiraMeaning.WAITING,
        "reopened": JiraMeaning.WAITING,
        "переоткрыт": JiraMeaning.WAITING,
        "in progress": JiraMeaning.IN_WORK,
        "в работе": JiraMeaning.IN_WORK,
        "approved": JiraMeaning.APPROVED,
        "одобрено": JiraMeaning.APPROVED,
        "declined": JiraMeaning.DECLINED,
        "rejected": JiraMeaning.DECLINED,
        "отклонено": JiraMeaning.DECLINED,
        "closed": JiraMeaning.CLOSED,
        "закрыт": JiraMeaning.CLOSED,
        "resolved": JiraMeaning.CLOSED,
        "решен": JiraMeaning.CLOSED,
        "done": JiraMeaning.CLOSED,
        "готово": JiraMeaning.CLOSED,
    }
)
"""What JIRA's own statuses mean, and those that say it themselves; OK's real ones are not documented."""

_GAP: Final = "[ \u00a0\u202f\u2009]"
_NUMBER: Final = rf"\d{{1,3}}(?:{_GAP}\d{{3}})+|\d{{1,3}}(?:[,']\d{{3}})+|\d+"
# Latin and Cyrillic letters look alike, and people mix them.
_UNIT: Final = "(?:[oо][kк](?:[sс]|ов|ами|и|а)?)"
_AMOUNT: Final = re.compile(
    rf"(?<![\d.,:/-])(?P<number>{_NUMBER})(?![\d]|[.,/:]\d){_GAP}*(?P<unit>{_UNIT}\b)?", re.IGNORECASE
)
_FUND: Final = re.compile(
    r"призов\w*\s+фонд|фонд\w*\s+приз|к[эе]шб[эе]к|на\s+сч[её]т|prize\s+fund|cash-?back|credited", re.IGNORECASE
)
_NOT_YET: Final = re.compile(
    r"\?|\bне\b|\bнет\b|\bбуд[еу]т|\bпосле\b|\bесли\b|\bпланир|\bвместо\b|\bбез\b|\bдо\b"
    r"|\bwill\b|\bnot\b|\bafter\b|\bif\b|\bonce\b|\binstead\b|\bno\b|n't\b|\bup\s+to\b",
    re.IGNORECASE,
)
_TIMES: Final = re.compile(
    rf"\d{_GAP}*(?:тыс|к\b|k\b|млн|thousand|x\b|х\b|\*|×|%)|(?:x|х|\*|×){_GAP}*\d|\d[.]\d{{3}}\b|\d,\d{{1,2}}\b",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(r"^\s*(?:[-*#•–—]+|\d{1,2}[.)])\s+(?P<text>\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FundReading:
    """Say what a comment tells of the prize fund; `amount_oks` is None where it names several sums or none."""

    amount_oks: int | None
    is_certain: bool


def meaning_of(statuses: Mapping[str, JiraMeaning], status: str) -> JiraMeaning | None:
    """Return what a status means; None for one that nobody mapped, which is never guessed."""
    wanted = status.strip().casefold()
    own = {name.strip().casefold(): meaning for name, meaning in statuses.items()}
    return own.get(wanted) or COMMON_STATUSES.get(wanted)


def read_fund(text: str, expected_oks: int | None) -> FundReading | None:
    """
    Return what a comment says of the prize fund, None where it says nothing of it.

    The sum may be written 1,000, 1 000 or 1000, with OK in Latin or Cyrillic letters. It is certain only if the comment
    speaks of the fund as a fact, names one sum in OKs, and that is the sum of the prizes. A person decides on others.
    """
    found = [(int(re.sub(r"\D", "", match["number"])), match["unit"]) for match in _AMOUNT.finditer(text)]
    in_oks = {amount for amount, unit in found if unit}
    speaks_of_it = _FUND.search(text) is not None
    if not (speaks_of_it and (found or _TIMES.search(text))):
        return None
    amounts = in_oks or {amount for amount, _ in found}
    amount = next(iter(amounts)) if len(amounts) == 1 else None
    if _TIMES.search(text):
        amount = None
    is_fact = _NOT_YET.search(text) is None
    is_certain = is_fact and len(in_oks) == 1 and amount is not None and amount in (expected_oks, None)
    return FundReading(amount, is_certain=is_certain and expected_oks is not None)


def listed_remarks(text: str) -> list[str]:
    """Return the lines of a list within a comment, each once."""
    return list(dict.fromkeys(match["text"] for match in _LISTED.finditer(text)))
