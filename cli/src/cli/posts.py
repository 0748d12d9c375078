import getpass
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from cli.api import Row, UrlOption, api
from cli.failures import WrongInput
from cli.tables import JsonOption, LimitOption, print_row, print_rows

app: Final = typer.Typer(help="What promotions tell players: posts in the group, and notifications on OK's portal.")

IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As `posts list` shows it.")]
ByOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who says so; it is kept.", show_default="the name of your account"),
]


class State(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    ATTEMPTED = "attempted"
    PUBLISHED = "published"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DRAFT = "draft"
    CANCELLED = "cancelled"


_COLUMNS: Final[Mapping[str, str]] = {
    "ID": "id",
    "KIND": "kind",
    "STATE": "state",
    "NOT BEFORE": "not_before",
    "DUE BY": "due_by",
    "PUBLISHED": "published_at",
    "REASON": "reason",
}


@app.command("list")
def list_(
    application_key: Annotated[
        str | None, typer.Option("--app", metavar="KEY", help="Only of this application_key.")
    ] = None,
    promotion: Annotated[str | None, typer.Option("--promotion", metavar="ID", help="Only of this promotion.")] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state; `draft` is left to you.")] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List posts and notifications, the oldest first."""
    posts = api(url).items("/v1/posts", limit, application_key=application_key, promotion_id=promotion, state=state)
    print_rows(posts, _COLUMNS, as_json=as_json)


@app.command()
def show(post_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Show a post as players will read it, ready to be copied."""
    _print(api(url).get(f"/v1/posts/{post_id}"), as_json=as_json)


@app.command()
def edit(
    post_id: IdArgument,
    text_file: Annotated[
        Path,
        typer.Option("--text-file", metavar="FILE", allow_dash=True, help="The new text in UTF-8; - reads it here."),
    ],
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Give a post another text. It must be approved again."""
    text = _text(text_file)
    _print(api(url).post(f"/v1/posts/{post_id}/edit", {"text": text}), as_json=as_json)


@app.command()
def approve(post_id: IdArgument, by: ByOption = None, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Let okgames publish a post when its time comes. A draft is tried again."""
    print_row(api(url).post(f"/v1/posts/{post_id}/approve", {"by": by or getpass.getuser()}), as_json=as_json)


@app.command()
def published(
    post_id: IdArgument,
    by: ByOption = None,
    link: Annotated[
        str | None, typer.Option("--link", metavar="URL", help="Where the post is on OK; a notification has none.")
    ] = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Note that you have published a post, or sent a notification, by hand."""
    body = {"by": by or getpass.getuser(), "url": link}
    print_row(api(url).post(f"/v1/posts/{post_id}/published", body), as_json=as_json)


def _print(post: Row, *, as_json: bool) -> None:
    if as_json:
        print_row(post, as_json=True)
        return
    print_row({name: value for name, value in post.items() if name != "text"}, as_json=False)
    print(f"\n{post['text']}")


def _text(path: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode().strip()
    except OSError as error:
        raise WrongInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WrongInput(f"{path}: this is no text in UTF-8") from error
