import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from typing import Final, TypeAlias

from simulator.domain.jira_books import JiraBooks, JiraIssue

_CLAUSE: Final = re.compile(
    r"\s*(?P<field>\w+)\s*(?P<operator>>=|<=|!=|=|>|<|~|\bin\b)\s*"
    r"(?P<value>\([^)]*\)|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\w./:-]+(?:\(\))?)\s*",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(r"\s+order\s+by\s+(?P<order>.+)$", re.IGNORECASE | re.DOTALL)
_AND: Final = re.compile(r"and\b", re.IGNORECASE)
_TIMES: Final = ("%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d", "%Y-%m-%d")

_Test: TypeAlias = Callable[[JiraIssue], bool]


class WrongQuery(Exception):
    """This is no JQL that the simulator knows."""


@dataclass(frozen=True, slots=True)
class _Clause:
    """Hold one condition; `text` is its value as it was written."""

    field: str
    operator: str
    text: str


def find(books: JiraBooks, jql: str, zone: tzinfo, our_name: str) -> list[JiraIssue]:
    """
    Return the issues that a query of JQL wants, in its order; raise WrongQuery.

    Times are whole minutes in the zone of the account that asks, as in JIRA. A query of what changed in a project costs
    no more in a large JIRA than in a small one.
    """
    order = _ORDER.search(f" {jql}")
    wanted = f" {jql}"[: order.start()] if order else jql
    clauses = _clauses(wanted)
    tests = [_test(each.field, each.operator, each.text, zone, our_name) for each in clauses]
    found = [issue for issue in _candidates(books, clauses, zone) if all(test(issue) for test in tests)]
    for part in reversed(order["order"].split(",") if order else ["key DESC"]):
        name, _, direction = part.strip().partition(" ")
        found.sort(key=partial(_sorted_by, name), reverse=direction.strip().lower() == "desc")
    return found


def _candidates(books: JiraBooks, clauses: Sequence[_Clause], zone: tzinfo) -> Iterable[JiraIssue]:
    given = {(each.field, each.operator): _plain(each.text, "") for each in clauses}
    project, since = given.get(("project", "=")), given.get(("updated", ">="))
    if project is None:
        return books.issues()
    return books.changed_since(project.upper(), None if since is None else _time(since, zone))


def _clauses(wanted: str) -> list[_Clause]:
    clauses: list[_Clause] = []
    place = 0
    while wanted[place:].strip():
        if clauses:
            joint = _AND.match(wanted, place)
            if joint is None:
                raise WrongQuery(f"Error in the JQL Query: AND or the end was due, not {wanted[place:]!r}.")
            place = joint.end()
        clause = _CLAUSE.match(wanted, place)
        if clause is None:
            raise WrongQuery(f"Error in the JQL Query near {wanted[place:]!r}.")
        clauses.append(_Clause(clause["field"].lower(), clause["operator"].lower(), clause["value"]))
        place = clause.end()
    return clauses


def _test(name: str, operator: str, text: str, zone: tzinfo, our_name: str) -> _Test:
    if operator == "in":
        names = [_plain(each, our_name) for each in text.strip("()").split(",")]
        return lambda issue: str(_value(issue, name)) in names
    value = _plain(text, our_name)
    if name in {"updated", "created"}:
        time = _time(value, zone)
        return lambda issue: _compare(operator, _minute(_time_of(issue, name)), time)
    if operator == "~":
        words = re.findall(r"\w+", value.lower())
        return lambda issue: all(word in re.findall(r"\w+", str(_value(issue, name)).lower()) for word in words)
    if name in {"key", "issuekey"}:
        return lambda issue: _compare(operator, _number(issue.key), _number(value))
    return lambda issue: _compare(operator, str(_value(issue, name)).lower(), value.lower())


def _plain(text: str, our_name: str) -> str:
    bare = text.strip()
    if bare.lower() == "currentuser()":
        return our_name
    return bare[1:-1].replace('\\"', '"') if bare[:1] in {'"', "'"} else bare


def _value(issue: JiraIssue, name: str) -> str:
    values = {
        "project": issue.project,
        "status": issue.status,
        "creator": issue.creator,
        "reporter": issue.creator,
        "summary": issue.summary,
        "description": issue.description,
        "text": f"{issue.summary} {issue.description}",
        "issuetype": issue.issue_type,
        "key": issue.key,
        "issuekey": issue.key,
    }
    if name not in values:
        raise WrongQuery(f"Field '{name}' does not exist or you do not have permission to view it.")
    return values[name]


def _compare(operator: str, one: object, other: object) -> bool:
    left: tuple[object] = (one,)
    right: tuple[object] = (other,)
    match operator:
        case "=":
            return left == right
        case "!=":
            return left != right
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left < right


def _time(text: str, zone: tzinfo) -> datetime:
    for form in _TIMES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=zone)
        except ValueError:
            continue
    raise WrongQuery(f"Date value '{text}' for field is invalid.")


def _time_of(issue: JiraIssue, name: str) -> datetime:
    return issue.updated if name == "updated" else issue.created


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _number(key: str) -> tuple[str, int]:
    project, _, number = key.rpartition("-")
    return project.upper(), int(number) if number.isdigit() else 0


def _sorted_by(name: str, issue: JiraIssue) -> tuple[object, ...]:
    match name.lower():
        case "updated" | "created":
            return (_time_of(issue, name.lower()),)
        case "key" | "issuekey":
            return _number(issue.key)
        case _:
            return (_value(issue, name.lower()),)
