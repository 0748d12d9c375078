import getpass
import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli.api import Api, Row, UrlOption, api
from cli.failures import Failed
from cli.tables import JsonOption, LimitOption, print_row, print_rows

app: Final = typer.Typer(help="Files of REPORT tasks, OK's monthly reports: what JIRA shows is fetched by itself.")

IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As `jira reports list` shows it.")]
AppOption: TypeAlias = Annotated[str | None, typer.Option("--app", metavar="KEY", help="Of this application_key.")]
MonthOption: TypeAlias = Annotated[
    str | None, typer.Option("--month", metavar="MONTH", help="On this month, such as 2026-03.")
]
ByOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who says so; it is kept.", show_default="the name of your account"),
]

_COLUMNS: Final[Mapping[str, str]] = {
    "ID": "id",
    "TASK": "issue_key",
    "MONTH": "month",
    "APP": "application_key",
    "STATE": "state",
    "SIZE": "size",
    "SHA-256": "sha256",
    "SAME AS": "same_as",
    "FILE": "file_name",
    "PROBLEM": "problem",
}


@app.command("list")
def list_(
    application_key: AppOption = None,
    month: MonthOption = None,
    state: Annotated[str | None, typer.Option("--state", help="due, kept or blocked.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List files, the oldest first; those with the same content name the first of them."""
    found = api(url).items("/v1/jira/reports", limit, application_key=application_key, month=month, state=state)
    print_rows(found, _COLUMNS, as_json=as_json)


@app.command()
def get(
    report_id: IdArgument,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it.", show_default="under its own name")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Download a file, and check that it is whole."""
    server = api(url)
    report = server.get(f"/v1/jira/reports/{report_id}")
    path = to or Path(Path(str(report["file_name"])).name)
    download(server, report, path)
    print(path)


@app.command()
def keep(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The task's key, such as REPORT-12.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    month: MonthOption = None,
    application_key: AppOption = None,
    by: ByOption = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Keep a file that you took out of a REPORT task by hand; the same file is kept once."""
    server, person = api(url), by or getpass.getuser()
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    query = {"file_name": file.name, "by": person}
    report = server.upload(f"/v1/jira/issues/{key}/reports", file.read_bytes(), media_type, query)
    if month is not None or application_key is not None:
        report = _note(server, report["id"], month, application_key, person)
    print_row(report, as_json=as_json)


@app.command()
def note(
    report_id: IdArgument,
    month: MonthOption = None,
    application_key: AppOption = None,
    by: ByOption = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say of which month or application a file reports, where neither its name nor its task says so."""
    print_row(_note(api(url), report_id, month, application_key, by or getpass.getuser()), as_json=as_json)


@app.command()
def retry(report_id: IdArgument, by: ByOption = None, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Have a file fetched again that JIRA refused."""
    body = {"by": by or getpass.getuser()}
    print_row(api(url).post(f"/v1/jira/reports/{report_id}/retry", body), as_json=as_json)


def download(server: Api, report: Row, path: Path) -> None:
    """Write a kept file to a path; raise Failed where its bytes are not those of its checksum."""
    content = server.content(f"/v1/jira/reports/{report['id']}/content")
    if hashlib.sha256(content).hexdigest() != report["sha256"]:
        raise Failed(f"{report['file_name']}: its bytes are not those of its checksum")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error


def _note(server: Api, report_id: object, month: str | None, application_key: str | None, by: str) -> Row:
    body = {"month": month, "application_key": application_key, "by": by}
    present = {name: value for name, value in body.items() if value is not None}
    return server.post(f"/v1/jira/reports/{report_id}", present)
