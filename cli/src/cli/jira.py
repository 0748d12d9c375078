import base64
import getpass
import mimetypes
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli import jira_reports
from cli.api import Row, UrlOption, api
from cli.failures import WrongInput
from cli.tables import JsonOption, LimitOption, print_row, print_rows

app: Final = typer.Typer(help="OK's JIRA: requests, comments and files, and what OK's people answered.")
app.add_typer(jira_reports.app, name="reports", no_args_is_help=True)

KeyArgument: TypeAlias = Annotated[str, typer.Argument(metavar="KEY", help="The issue's key, such as PROMO-123.")]
IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As `jira todo` shows it.")]
ByOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who says so; it is kept.", show_default="the name of your account"),
]
AppOption: TypeAlias = Annotated[str | None, typer.Option("--app", metavar="KEY", help="Of this application_key.")]


class Task(StrEnum):
    OK = "OK"
    PROMO = "PROMO"
    REPORT = "REPORT"
    ADVDOC = "ADVDOC"
    DOC = "DOC"


class Kind(StrEnum):
    THOUSAND_OKS = "thousand_oks"
    PROFILE_PICTURE = "profile_picture"
    COLLECTIONS = "collections"
    OKSHOP_TASK = "okshop_task"


class Template(StrEnum):
    ACCOUNT = "account"
    REMARKS_DONE = "remarks_done"
    CONTRACT = "contract"
    QUESTION = "question"
    WITHDRAWN = "withdrawn"


_COLUMNS: Final[Mapping[str, str]] = {
    "KEY": "key",
    "TASK": "task",
    "STATUS": "status",
    "MEANS": "meaning",
    "UPDATED": "updated_at",
    "TITLE": "title",
}
_HISTORY_COLUMNS: Final[Mapping[str, str]] = {"WHEN": "happened_at", "WHAT": "kind", "BY": "author", "NEW": "new"}
_REMARK_COLUMNS: Final[Mapping[str, str]] = {"COMMENT": "comment_id", "DONE BY": "done_by", "REMARK": "text"}
_FUND_COLUMNS: Final[Mapping[str, str]] = {"COMMENT": "comment_id", "OKS": "amount_oks", "TEXT": "text"}
_ERRAND_COLUMNS: Final[Mapping[str, str]] = {
    "ID": "id",
    "KIND": "kind",
    "TASK": "task",
    "STATE": "state",
    "UNTIL": "due_by",
    "RESULT": "result",
    "PROBLEM": "problem",
}
_PROJECT_COLUMNS: Final[Mapping[str, str]] = {
    "TASK": "task",
    "PROJECT": "project",
    "MODE": "mode",
    "READ": "read_at",
    "PROBLEM": "problem",
}


@app.command("list")
def list_(
    task: Annotated[Task | None, typer.Option("--task", help="Only of this kind.")] = None,
    application_key: AppOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List issues, in the order in which okgames heard of them."""
    found = api(url).items("/v1/jira/issues", limit, task=task, application_key=application_key)
    print_rows(found, _COLUMNS, as_json=as_json)


@app.command()
def show(key: KeyArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Show an issue: what happened, OK's remarks, what is to be done, and what a person has to decide."""
    issue = api(url).get(f"/v1/jira/issues/{key}")
    print_row(issue, as_json=as_json)
    if as_json:
        return
    for field, columns in (
        ("history", _HISTORY_COLUMNS),
        ("remarks", _REMARK_COLUMNS),
        ("fund_questions", _FUND_COLUMNS),
        ("errands", _ERRAND_COLUMNS),
    ):
        rows = issue.get(field)
        if isinstance(rows, list) and rows:
            print()
            print_rows(rows, columns, as_json=False)


@app.command()
def request(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=", ".join(Kind))],
    application_key: Annotated[str, typer.Option("--app", metavar="KEY", help="For this application_key.")],
    day: Annotated[str | None, typer.Option("--day", help="Of thousand_oks, such as 2026-03-03.")] = None,
    prize: Annotated[list[int] | None, typer.Option("--prize", help="In OKs; again for each prize.")] = None,
    begins: Annotated[str | None, typer.Option("--begins", metavar="DAY", help="First day of the others.")] = None,
    ends: Annotated[str | None, typer.Option("--ends", metavar="DAY", help="Last day of a featuring.")] = None,
    offer: Annotated[str | None, typer.Option("--offer", help="What players are offered.")] = None,
    weeks: Annotated[int | None, typer.Option("--weeks", help="How long an OKshop task runs: 2 to 5.")] = None,
    icon: Annotated[
        Path | None, typer.Option("--icon", exists=True, dir_okay=False, help="A PNG of 128x128 for OKshop.")
    ] = None,
    notes: Annotated[str | None, typer.Option("--notes", help="What else OK's people should know.")] = None,
    by: ByOption = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a PROMO request, or print what to copy into JIRA where the project is dealt with by hand."""
    body = {
        "kind": kind,
        "application_key": application_key,
        "day": day,
        "prizes_oks": prize,
        "begins": begins,
        "ends": ends,
        "offer": offer,
        "weeks": weeks,
        "icon": None if icon is None else base64.b64encode(icon.read_bytes()).decode(),
        "notes": notes,
        "by": by or getpass.getuser(),
    }
    present = {name: value for name, value in body.items() if value is not None}
    _print_errand(api(url).post("/v1/jira/requests", present), as_json=as_json)


@app.command()
def comment(
    key: KeyArgument,
    text: Annotated[str | None, typer.Argument(metavar="TEXT")] = None,
    template: Annotated[Template | None, typer.Option("--template", help="Instead of a text.")] = None,
    value: Annotated[
        list[str] | None, typer.Option("--value", metavar="NAME=TEXT", help="What the template wants; several times.")
    ] = None,
    by: ByOption = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Comment on an issue, with a text or from a template: `account` asks for a further account."""
    values = dict(_pair(each) for each in value or [])
    body = {"text": text, "template": template, "values": values, "by": by or getpass.getuser()}
    present = {name: each for name, each in body.items() if each is not None}
    _print_errand(api(url).post(f"/v1/jira/issues/{key}/comments", present), as_json=as_json)


@app.command()
def attach(
    key: KeyArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    by: ByOption = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Attach a file to an issue, once."""
    query = {"file_name": file.name, "by": by or getpass.getuser()}
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    answer = api(url).upload(f"/v1/jira/issues/{key}/attachments", file.read_bytes(), media_type, query)
    _print_errand(answer, as_json=as_json)


@app.command()
def record(
    key: KeyArgument,
    status: Annotated[str | None, typer.Option("--status", help="The issue's new status, in JIRA's words.")] = None,
    text: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="What was said.")] = None,
    author: Annotated[str | None, typer.Option("--author", help="Who said it.", show_default="OK")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Of an issue that okgames does not know.")] = None,
    by: ByOption = None,
    url: UrlOption = None,
    *,
    ours: Annotated[bool, typer.Option("--ours", help="One of us said it.")] = False,
) -> None:
    """Record what happened in JIRA where nobody follows it by itself."""
    body = {"status": status, "comment": text, "author": author, "title": title, "by": by or getpass.getuser()}
    present = {name: value for name, value in body.items() if value is not None}
    issue = api(url).post(f"/v1/jira/issues/{key}/record", {**present, "ours": ours})
    print(f"{issue['key']} is {issue['status']}")


@app.command()
def todo(
    state: Annotated[str | None, typer.Option("--state", help="Such as for_person or blocked.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List requests, comments and files: what the desk does, and what waits for a person."""
    print_rows(api(url).items("/v1/jira/errands", limit, state=state), _ERRAND_COLUMNS, as_json=as_json)


@app.command()
def pack(errand_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Print what a person copies into JIRA."""
    _print_errand(api(url).get(f"/v1/jira/errands/{errand_id}"), as_json=as_json)


@app.command()
def done(
    errand_id: IdArgument,
    key: Annotated[str | None, typer.Option("--key", help="The key that JIRA gave to a request.")] = None,
    by: ByOption = None,
    url: UrlOption = None,
) -> None:
    """Record that something was done in JIRA by hand."""
    body = {"by": by or getpass.getuser()} | ({} if key is None else {"key": key})
    print(f"the errand is {api(url).post(f'/v1/jira/errands/{errand_id}/done', body)['state']}")


@app.command()
def fund(
    key: KeyArgument,
    oks: Annotated[int | None, typer.Option("--oks", min=1, help="How much OK put on the account.")] = None,
    comment_id: Annotated[str | None, typer.Option("--comment", metavar="ID", help="The comment that says so.")] = None,
    by: ByOption = None,
    url: UrlOption = None,
) -> None:
    """Confirm the prize fund, or with no --oks say that a comment tells none."""
    body = {"amount_oks": oks, "comment_id": comment_id, "by": by or getpass.getuser()}
    present = {name: value for name, value in body.items() if value is not None}
    issue = api(url).post(f"/v1/jira/issues/{key}/fund", present)
    print(f"the prize fund of {issue['key']} is {issue['fund_oks'] or 'not known'}")


@app.command()
def questions(url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """List our comments that OK has not answered, the oldest first."""
    columns = {"KEY": "key", "TASK": "task", "HOURS": "hours", "TEXT": "text"}
    print_rows(api(url).items("/v1/jira/questions", 1000), columns, as_json=as_json)


@app.command()
def access(url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """List who of ours has access to which tasks."""
    columns = {"NAME": "name", "E-MAIL": "email", "TASKS": "tasks", "ASKED": "asked_at", "GRANTED": "granted_at"}
    print_rows(api(url).items("/v1/jira/access", 1000), columns, as_json=as_json)


@app.command()
def sync(url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Have JIRA read at once, and show how each project is dealt with."""
    answer = api(url).post("/v1/jira/sync")
    rows = answer["items"]
    print_rows(rows if isinstance(rows, list) else [], _PROJECT_COLUMNS, as_json=as_json)
    unmapped = answer["unmapped_statuses"]
    if isinstance(unmapped, list) and unmapped:
        print(f"\nstatuses that jira.statuses does not map: {', '.join(map(str, unmapped))}")


def _print_errand(errand: Row, *, as_json: bool) -> None:
    if as_json:
        print_row(errand, as_json=True)
        return
    print(f"{errand['id']}  {errand['kind']} is {errand['state']}")
    warnings = errand.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        print(f"warning: {warning}")
    found = errand.get("pack")
    if errand["state"] != "for_person" or not isinstance(found, dict):
        return
    for name in ("where", "project", "issue_type", "title", "file_name", "picture"):
        if found.get(name):
            print(f"{name}: {found[name]}")
    print(f"\n{found['text']}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise WrongInput(f"--value: {text} is no NAME=TEXT")
    return name, value
