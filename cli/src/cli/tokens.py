from typing import Annotated, Final, TypeAlias

import typer

from cli.failures import WrongInput
from cli.tables import JsonOption, print_rows

app: Final = typer.Typer(help="Bearer tokens for the API; only a hash of each is kept.")

# The commands import token_book when they run: with the database it takes most of a second.

NameArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", help="What the token is for, such as the game server's name.")
]
_ALL_SCOPES: Final = (
    "entitlements:read, payments:read, deliveries:read, deliveries:write, endpoints:read, endpoints:write,"
    " promotions:read, promotions:write, posts:read, posts:write, jira:read, jira:write, dead-letters:read,"
    " dead-letters:write"
)


@app.command()
def create(
    name: NameArgument,
    scopes: Annotated[
        list[str], typer.Option("--scope", metavar="SCOPE", help=f"Give it once for each of: {_ALL_SCOPES}.")
    ],
) -> None:
    """
    Make a token and print it.

    It cannot be shown again. Send it as `Authorization: Bearer TOKEN`.
    """
    from cli import token_book

    if not name.strip():
        raise WrongInput("the name is empty")
    print(token_book.create(name, scopes))


@app.command("list")
def list_(*, as_json: JsonOption = False) -> None:
    """List tokens by name, with what each allows."""
    from cli import token_book

    tokens = token_book.all_tokens()
    rows = [
        {
            "name": token.name,
            "scopes": " ".join(token.scopes),
            "created_at": token.created_at.isoformat(),
            "revoked_at": token.revoked_at and token.revoked_at.isoformat(),
        }
        for token in tokens
    ]
    columns = {"NAME": "name", "SCOPES": "scopes", "CREATED": "created_at", "REVOKED": "revoked_at"}
    print_rows(rows, columns, as_json=as_json)


@app.command()
def revoke(name: NameArgument) -> None:
    """Refuse a token from now on, in every process."""
    from cli import token_book

    token_book.revoke(name)
    print(f"{name} is revoked")
