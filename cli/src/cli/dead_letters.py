from typing import Annotated, Final
from urllib.parse import quote

import typer

from cli.api import UrlOption, api
from cli.tables import JsonOption, LimitOption, print_row, print_rows

app: Final = typer.Typer(help="Events that a handler could not handle. They wait here until a person retries them.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `dead-letters list` shows it: SERVICE:EVENT_ID.")]


@app.command("list")
def list_(url: UrlOption = None, limit: LimitOption = 50, *, as_json: JsonOption = False) -> None:
    """List parked events with the error of each."""
    letters = api(url).items("/v1/dead-letters", limit)
    columns = {"ID": "id", "TYPE": "type", "KEY": "key", "PARKED AT": "parked_at", "ERROR": "error"}
    print_rows(letters, columns, as_json=as_json)


@app.command()
def show(letter_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Show one parked event whole."""
    print_row(api(url).get(f"/v1/dead-letters/{quote(letter_id)}"), as_json=as_json)


@app.command()
def retry(letter_id: IdArgument, url: UrlOption = None) -> None:
    """
    Hand an event to its handler again.

    It leaves the list if it was handled; if it fails again, it stays, and the command ends with exit code 1. Later
    events of the same player may have been handled meanwhile.
    """
    api(url).post(f"/v1/dead-letters/{quote(letter_id)}/retry")
    print(f"{letter_id} was handled")
