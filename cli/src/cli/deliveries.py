from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import typer

from cli.api import Row, UrlOption, api
from cli.tables import JsonOption, LimitOption, print_row, print_rows
from cli.times import time_of

app: Final = typer.Typer(help="Webhooks to the game's servers: what was sent, what came back, and sending again.")

IdArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help="The delivery's id, which is its `webhook-id`.")
]
AppOption: TypeAlias = Annotated[str | None, typer.Option("--app", metavar="KEY", help="Only of this application_key.")]
UidOption: TypeAlias = Annotated[str | None, typer.Option("--uid", metavar="UID", help="Only of this player.")]
EndpointOption: TypeAlias = Annotated[
    str | None, typer.Option("--endpoint", metavar="ID", help="Only to this endpoint.")
]


class State(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


StateOption: TypeAlias = Annotated[State | None, typer.Option("--state", help="Only in this state.")]

_COLUMNS: Final[Mapping[str, str]] = {
    "ID": "id",
    "TYPE": "type",
    "UID": "uid",
    "STATE": "state",
    "ATTEMPTS": "attempts",
    "CREATED": "created_at",
    "NEXT ATTEMPT": "next_attempt_at",
}
_ATTEMPT_COLUMNS: Final[Mapping[str, str]] = {
    "AT": "at",
    "STATUS": "status",
    "MS": "latency_ms",
    "ERROR": "error",
    "ANSWER": "answer",
}


@app.command("list")
def list_(
    application_key: AppOption = None,
    uid: UidOption = None,
    endpoint: EndpointOption = None,
    state: StateOption = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List deliveries, the oldest first."""
    deliveries = api(url).items(
        "/v1/deliveries", limit, application_key=application_key, uid=uid, endpoint_id=endpoint, state=state
    )
    shown = deliveries if as_json else [{**each, "attempts": len(_attempts(each))} for each in deliveries]
    print_rows(shown, _COLUMNS, as_json=as_json)


@app.command()
def show(delivery_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """Show a delivery with its body and every attempt."""
    delivery = api(url).get(f"/v1/deliveries/{delivery_id}")
    print_row(delivery, as_json=as_json)
    if not as_json:
        print()
        print_rows(_attempts(delivery), _ATTEMPT_COLUMNS, as_json=False)


@app.command()
def resend(delivery_id: IdArgument, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """
    Send a delivery again, whatever became of it, under the same `webhook-id`.

    A game that has seen the id gives nothing a second time.
    """
    print_row(api(url).post(f"/v1/deliveries/{delivery_id}/resend"), as_json=as_json)


@app.command("resend-range")
def resend_range(
    application_key: Annotated[str, typer.Option("--app", metavar="KEY", help="Of this application_key.")],
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First moment, such as 2026-03-02T10:00:00+03:00.")
    ],
    before: Annotated[str, typer.Option("--to", metavar="TIME", help="First moment that is not meant any more.")],
    uid: UidOption = None,
    endpoint: EndpointOption = None,
    state: StateOption = None,
    url: UrlOption = None,
) -> None:
    """
    Send all deliveries of a range of time again, each player's in order.

    The times are those at which the notifier took the deliveries on. Use it when the game lost what it had received.
    """
    chosen = {
        "application_key": application_key,
        "from": time_of("--from", since).isoformat(),
        "to": time_of("--to", before).isoformat(),
        "uid": uid,
        "endpoint_id": endpoint,
        "state": state,
    }
    resent = api(url).post("/v1/deliveries/resend", chosen)["resent"]
    print(f"{resent} deliveries are sent again")


def _attempts(delivery: Row) -> list[Row]:
    attempts = delivery["attempts"]
    return attempts if isinstance(attempts, list) else []
