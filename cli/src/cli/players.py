from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias
from urllib.parse import quote

import typer

from cli.api import Row, UrlOption, api, list_of, rows_of
from cli.applications import application_key
from cli.tables import JsonOption, moscow_text, print_rows

UidArgument: TypeAlias = Annotated[str, typer.Argument(metavar="UID", help="The player's id on OK.")]
AppOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="APP", help="The application's key or name.", show_default="the only one of the configuration"
    ),
]

_PAGE: Final = "1000"
_CALLBACK_COLUMNS: Final[Mapping[str, str]] = {
    "HAPPENED": "occurred_at",
    "LEARNED": "learned_at",
    "CALLBACK": "kind",
    "OKS": "amount_oks",
    "UNTIL": "ends_at",
    "TRANSACTION": "transaction_id",
}
_TIMELINE_COLUMNS: Final[Mapping[str, str]] = {
    "HAPPENED": "occurred_at",
    "LEARNED": "learned_at",
    "WHAT": "what",
    "PRODUCT": "product",
    "MORE": "more",
}


def explain(
    uid: UidArgument,
    app: AppOption = None,
    product: Annotated[
        str | None,
        typer.Option("--product", metavar="CODE", help="Of this product.", show_default="all that the player ever had"),
    ] = None,
    url: UrlOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """
    Say in plain sentences why a player's access is on or off.

    Below the sentences are the callbacks on which they rest: when each happened, and when we learned it. The token must
    allow entitlements:read.
    """
    answer = api(url).get(f"{_player(app, uid)}/explain", product=product)
    explanations = rows_of(answer, "explanations")
    if as_json:
        print_rows(explanations, {}, as_json=True)
        return
    if not explanations:
        print(f"{uid} never bought anything and never subscribed to anything.")
    for place, explanation in enumerate(explanations):
        if place:
            print()
        print(f"{explanation['product']}:")
        print("\n".join(map(str, list_of(explanation, "sentences"))))
        if callbacks := rows_of(explanation, "rests_on"):
            print()
            print_rows(callbacks, _CALLBACK_COLUMNS, as_json=False)


def timeline(uid: UidArgument, app: AppOption = None, url: UrlOption = None, *, as_json: JsonOption = False) -> None:
    """
    Show what happened to a player, oldest first, and when we learned it.

    Callbacks of OK, changes of what the player may have, rewards, and webhooks to the game. The token must allow
    entitlements:read.
    """
    items = list(api(url).each(f"{_player(app, uid)}/timeline", limit=_PAGE))
    shown = items if as_json else [{**item, "more": _more(item)} for item in items]
    print_rows(shown, _TIMELINE_COLUMNS, as_json=as_json)


def _more(item: Row) -> str:
    """Say what an item has beside the columns, but for ids that only machines want."""
    match item:
        case {"what": "callback", "kind": kind, "amount_oks": oks, "transaction_id": transaction, "ends_at": ends_at}:
            said = [kind, oks and f"{oks} OKs", transaction, ends_at and f"until {moscow_text(str(ends_at))}"]
        case {"what": "entitlement", "state": state, "entitled": entitled, "until": until, "cause": cause}:
            said = [state, f"access {'on' if entitled else 'off'}", f"until {moscow_text(str(until))}", cause]
        case {"what": "reward", "quantity": quantity, "item": thing, "reason": reason}:
            said = [f"{quantity} {thing}", reason]
        case {"what": "delivery", "webhook_type": kind, "delivered": delivered, "attempts": attempts, "status": status}:
            outcome = "delivered" if delivered else "exhausted"
            said = [kind, f"{outcome} at attempt {attempts}", status and f"status {status}", item["delivery_id"]]
        case _:
            said = []
    return ", ".join(str(each) for each in said if each)


def _player(app: str | None, uid: str) -> str:
    return f"/v1/apps/{quote(application_key(app), safe='')}/users/{quote(uid, safe='')}"
