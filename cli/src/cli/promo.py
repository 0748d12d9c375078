import getpass
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli.api import Row, UrlOption, api, list_of, rows_of
from cli.failures import Failed, WrongInput
from cli.tables import JsonOption, LimitOption, print_row, print_rows
from cli.times import time_of

app: Final = typer.Typer(help="The 1,000 OKs promotion: plan it, keep its deadlines, draw the winner once.")

IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As `promo list` shows it.")]
AppOption: TypeAlias = Annotated[str | None, typer.Option("--app", metavar="KEY", help="Of this application_key only.")]
ByOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who says so; it is kept.", show_default="the name of your account"),
]
AtOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="TIME", help="When it happened, such as 2026-03-02T10:00:00+03:00.", show_default="now"
    ),
]
LinkOption: TypeAlias = Annotated[str, typer.Option("--link", metavar="URL", help="Where one can see it.")]
ReasonOption: TypeAlias = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")]


class Step(StrEnum):
    PRIZE_FUND = "prize_fund"
    CONDITIONS_POST = "conditions_post"
    REHEARSAL = "rehearsal"
    NOTIFICATION = "notification"
    SCREENSHOT = "screenshot"
    PLACEMENT = "placement"
    WINNER_POST = "winner_post"


_COLUMNS: Final[Mapping[str, str]] = {
    "ID": "id",
    "DAY": "day",
    "GAME": "game",
    "STATE": "state",
    "NEXT": "next_step",
    "UNTIL": "next_deadline",
}
_STEP_COLUMNS: Final[Mapping[str, str]] = {
    "STEP": "step",
    "STATE": "state",
    "NOT BEFORE": "not_before",
    "UNTIL": "due_at",
    "DONE": "done_at",
}
_EVIDENCE_COLUMNS: Final[Mapping[str, str]] = {
    "STEP": "step",
    "BY": "by",
    "WHEN": "happened_at",
    "WHAT": "text",
}
_WINNER_COLUMNS: Final[Mapping[str, str]] = {
    "PLACE": "place",
    "UID": "uid",
    "OKS": "prize_oks",
    "NAME": "name",
    "PROFILE": "profile_url",
    "PAID US": "is_payer",
}
_RULE_COLUMNS: Final[Mapping[str, str]] = {"RULE": "rule", "KEPT": "kept", "WHY": "reason"}


@app.command()
def plan(
    day: Annotated[str, typer.Argument(metavar="DAY", help="Such as 2026-03-03, in Moscow.")],
    application_key: Annotated[str, typer.Option("--app", metavar="KEY", help="For this application_key.")],
    by: ByOption = None,
    url: UrlOption = None,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only say whether OK's rules allow the day.")] = False,
    as_json: JsonOption = False,
) -> None:
    """
    Plan a promotion on a day, if OK's rules allow it.

    Where they do not, every broken rule is named, and the next three possible days.
    """
    if check:
        verdict = api(url).get("/v1/promotions/verdict", application_key=application_key, day=day)
        print_row(verdict, as_json=as_json)
        print_rows(rows_of(verdict, "broken"), {"RULE": "rule", "WHY": "reason"}, as_json=as_json)
        if not verdict["is_possible"]:
            raise Failed(f"possible days: {', '.join(map(str, list_of(verdict, 'alternatives')))}")
        return
    body = {"application_key": application_key, "day": day, "by": by or getpass.getuser()}
    print_row(api(url).post("/v1/promotions", body), as_json=as_json)


@app.command("list")
def list_(
    application_key: AppOption = None,
    state: Annotated[str | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List promotions by day, each with the next step and its deadline."""
    found = api(url).items("/v1/promotions", limit, application_key=application_key, state=state)
    print_rows(found, _COLUMNS, as_json=as_json)


@app.command()
def show(promotion_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Show a promotion with its steps, its evidence, its winners, and which of OK's rules it keeps."""
    promotion = api(url).get(f"/v1/promotions/{promotion_id}")
    print_row(promotion, as_json=as_json)
    if as_json:
        return
    for field, columns in (
        ("steps", _STEP_COLUMNS),
        ("evidence", _EVIDENCE_COLUMNS),
        ("winners", _WINNER_COLUMNS),
        ("rules", _RULE_COLUMNS),
    ):
        if rows := rows_of(promotion, field):
            print()
            print_rows(rows, columns, as_json=False)
    for warning in [*list_of(promotion, "warnings"), *list_of(promotion, "look_at")]:
        print(f"\n{warning}")


@app.command()
def request(
    promotion_id: IdArgument,
    link: LinkOption,
    title: Annotated[
        str | None, typer.Option("--title", help="The request's name.", show_default="the one that `show` names")
    ] = None,
    by: ByOption = None,
    at: AtOption = None,
    url: UrlOption = None,
) -> None:
    """Record that the request was sent to OK."""
    _act(url, promotion_id, "request", by, at, link=link, title=title)


@app.command()
def approve(
    promotion_id: IdArgument, link: LinkOption, by: ByOption = None, at: AtOption = None, url: UrlOption = None
) -> None:
    """Record that OK approved; posts and notifications are prepared from now on."""
    _act(url, promotion_id, "approve", by, at, link=link)


@app.command()
def decline(promotion_id: IdArgument, reason: ReasonOption, by: ByOption = None, url: UrlOption = None) -> None:
    """Record that OK refused."""
    _act(url, promotion_id, "decline", by, None, reason=reason)


@app.command()
def cancel(promotion_id: IdArgument, reason: ReasonOption, by: ByOption = None, url: UrlOption = None) -> None:
    """Call a promotion off, at any time before its draw."""
    _act(url, promotion_id, "cancel", by, None, reason=reason)


@app.command()
def evidence(
    promotion_id: IdArgument,
    step: Annotated[Step, typer.Argument(metavar="STEP", help=", ".join(Step))],
    link: Annotated[str | None, typer.Option("--link", metavar="URL", help="Where one can see it.")] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="In your words.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="A PNG or JPEG picture of it.")
    ] = None,
    oks: Annotated[int | None, typer.Option("--oks", min=1, help="How large the prize fund is.")] = None,
    by: ByOption = None,
    at: AtOption = None,
    url: UrlOption = None,
) -> None:
    """Record that a step was done, by a link, a note or a picture."""
    if [link, note, file].count(None) != 2:
        raise WrongInput("give one of --link, --note and --file")
    if file is None:
        _act(url, promotion_id, "evidence", by, at, step=step, link=link, note=note, amount_oks=oks)
        return
    query = {
        "step": str(step),
        "file_name": file.name,
        "by": by or getpass.getuser(),
        "at": _time(at),
    }
    media_type = "image/jpeg" if file.suffix.lower() in {".jpg", ".jpeg"} else "image/png"
    answer = api(url).upload(f"/v1/promotions/{promotion_id}/evidence", file.read_bytes(), media_type, query)
    _print_state(answer)


@app.command()
def draw(
    promotion_id: IdArgument,
    name: Annotated[str, typer.Option("--name", prompt="Type the promotion's name to pay its prizes")],
    by: ByOption = None,
    url: UrlOption = None,
) -> None:
    """
    Let OK draw the winners and pay them. This cannot be undone or repeated.

    The promotion's name, as `show` has it, says that you mean it.
    """
    _act(url, promotion_id, "draw", by, None, name=name)


@app.command()
def resolve(
    promotion_id: IdArgument,
    found: Annotated[str, typer.Option("--evidence", metavar="TEXT", help="What you found out, and where.")],
    winner: Annotated[
        list[str] | None,
        typer.Option("--winner", metavar="UID", help="Who won; again for each prize. None: nobody won."),
    ] = None,
    by: ByOption = None,
    url: UrlOption = None,
) -> None:
    """Say what became of a draw whose answer nobody has; OK is never asked again."""
    _act(url, promotion_id, "resolve", by, None, evidence=found, winners=winner or [])


@app.command()
def calendar(
    application_key: AppOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    ics: Annotated[bool, typer.Option("--ics", help="Print an iCalendar file.")] = False,
) -> None:
    """Show what is to be done, the next deadline first."""
    if ics:
        print(api(url).content("/v1/promotions/calendar.ics", application_key=application_key).decode(), end="")
        return
    found = api(url).items("/v1/promotions", limit, application_key=application_key)
    todo = [
        {**step, "id": promotion["id"], "game": promotion["game"]}
        for promotion in found
        if promotion["state"] not in {"declined", "cancelled"}
        for step in rows_of(promotion, "steps")
        if step["state"] == "open"
    ]
    columns = {"UNTIL": "due_at", "STEP": "step", "GAME": "game", "ID": "id"}
    print_rows(sorted(todo, key=lambda step: str(step["due_at"])), columns, as_json=False)


@app.command("evidence-pack")
def evidence_pack(
    promotion_id: IdArgument,
    output: Annotated[
        Path | None, typer.Option("--output", help="The file to write.", show_default="promotion-ID.zip")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Write a zip with all evidence, and a page that says of each of OK's nine rules whether it was kept."""
    from cli.evidence_pack import write

    path = output or Path(f"promotion-{promotion_id}.zip")
    write(api(url), promotion_id, path)
    print(path)


def _act(url: str | None, promotion_id: str, action: str, by: str | None, at: str | None, **body: object) -> None:
    present = {name: value for name, value in {**body, "at": _time(at)}.items() if value is not None}
    _print_state(api(url).post(f"/v1/promotions/{promotion_id}/{action}", {**present, "by": by or getpass.getuser()}))


def _print_state(promotion: Row) -> None:
    print(f"{promotion['name']} is {promotion['state']}")


def _time(at: str | None) -> str | None:
    return None if at is None else time_of("--at", at).isoformat()
