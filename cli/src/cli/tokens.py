import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Final, TypeVar

import typer

from cli.failures import Failed, WrongInput
from cli.tables import JsonOption, print_rows
from okgames.database import Tx

app: Final = typer.Typer(help="Bearer tokens for the API. Only a hash of each is kept.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the token is for, such as the game's name.")]
