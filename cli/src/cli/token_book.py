import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cli.failures import Failed, WrongInput
from cli.installation import migrated_installation, plain_errors
from okgames.access import Token, TokenExists, create_token, list_tokens, revoke_token
from okgames.database import Database, Tx
from okgames.service import Scope

_T = TypeVar("_T")


def create(name: str, scopes: Sequence[str]) -> str:
    """Make a token and return it; raise WrongInput for a scope that there is not or a name that is taken."""
    if unknown := sorted(set(scopes) - set(Scope)):
        raise WrongInput(f"no such scope: {', '.join(unknown)}; there are {', '.join(Scope)}")
    try:
        return _in_transaction(lambda tx: create_token(tx, name, scopes))
    except TokenExists as error:
        raise WrongInput(f"there is a token named {name} already; a name is used once") from error


def all_tokens() -> list[Token]:
    """Return all tokens, revoked ones too."""
    return _in_transaction(list_tokens)


def revoke(name: str) -> None:
    """Refuse a token from now on; raise Failed if there is none of this name."""
    if not _in_transaction(lambda tx: revoke_token(tx, name)):
        raise Failed(f"there is no token named {name}")


def _in_transaction(action: Callable[[Tx], Awaitable[_T]]) -> _T:
    async def act(url: str) -> _T:
        database = Database(url, "okgames", max_connections=1)
        await database.open()
        try:
            async with database.transaction() as tx:
                return await action(tx)
        finally:
            await database.close()

    with plain_errors(), migrated_installation() as found:
        return asyncio.run(act(found.settings.resolved_database_url))
