from typing import Annotated, Final, TypeAlias

import typer

from cli.api import UrlOption, api
from cli.failures import Failed
from cli.tables import JsonOption, LimitOption, print_row, print_rows

app: Final = typer.Typer(help="The game's servers: which get webhooks, which are paused, and whether they answer.")

IdArgument: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="As `endpoints list` shows it.")]


@app.command("list")
def list_(url: UrlOption = None, limit: LimitOption = 50, *, as_json: JsonOption = False) -> None:
    """List the endpoints, with what waits for each."""
    columns = {
        "ID": "id",
        "URL": "url",
        "STATE": "state",
        "REASON": "paused_reason",
        "SINCE": "paused_at",
        "FAILURES": "consecutive_failures",
        "PENDING": "pending",
    }
    print_rows(api(url).items("/v1/endpoints", limit), columns, as_json=as_json)


@app.command()
def pause(endpoint_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Send an endpoint nothing until it is resumed. Its deliveries wait; none is dropped."""
    print_row(api(url).post(f"/v1/endpoints/{endpoint_id}/pause"), as_json=as_json)


@app.command()
def resume(endpoint_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Send an endpoint everything that waits for it, each player's webhooks in order."""
    print_row(api(url).post(f"/v1/endpoints/{endpoint_id}/resume"), as_json=as_json)


@app.command()
def ping(endpoint_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Send an endpoint a signed webhook of type `ping`, show what it answered, and fail if that was no success."""
    answer = api(url).post(f"/v1/endpoints/{endpoint_id}/ping")
    print_row(answer, as_json=as_json)
    if not answer["is_success"]:
        raise Failed("the endpoint did not accept the ping")
