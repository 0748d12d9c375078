import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from aiohttp import web
from pydantic import SecretStr

from okgames.database import Database, Tx
from okgames.http import HttpHandler, Problem
from okgames.service import Scope


class TokenExists(Exception):
    """A token of this name exists already."""


@dataclass(frozen=True, slots=True)
class Token:
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


def token_hash(token: str) -> bytes:
    """Return what is kept of a token; a token has 256 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


async def create_token(tx: Tx, name: str, scopes: Sequence[str]) -> str:
    """Make a token and return it, the only time that it can be seen; raise TokenExists."""
    token = f"okg_{secrets.token_urlsafe(32)}"
    try:
        await tx.execute(
            "insert into okgames.tokens (name, hash, scopes) values ($1, $2, $3)",
            name,
            token_hash(token),
            list(scopes),
        )
    except asyncpg.UniqueViolationError as error:
        raise TokenExists(name) from error
    return token


async def list_tokens(tx: Tx) -> list[Token]:
    """Return all tokens, revoked ones too, by name."""
    rows = await tx.fetch("select name, scopes, created_at, revoked_at from okgames.tokens order by name")
    return [Token(row["name"], tuple(row["scopes"]), row["created_at"], row["revoked_at"]) for row in rows]


async def revoke_token(tx: Tx, name: str) -> bool:
    """Refuse a token from now on; False if there is none of this name."""
    status = await tx.execute(
        "update okgames.tokens set revoked_at = coalesce(revoked_at, now()) where name = $1", name
    )
    return bool(status == "UPDATE 1")


def guarded(handler: HttpHandler, scope: Scope, database: Database, admin_token: SecretStr | None) -> HttpHandler:
    """Let a request through whose bearer token allows `scope`; raise a Problem, 401 or 403, for any other."""

    async def guard(request: web.Request) -> web.StreamResponse:
        method, _, token = request.headers.get("Authorization", "").partition(" ")
        if method.lower() != "bearer" or not token:
            raise Problem(401, "Token wanted", "Send the header Authorization: Bearer <token>.")
        if not _is_admin(token, admin_token):
            await _must_allow(database, token, scope)
        return await handler(request)

    return guard


def _is_admin(token: str, admin_token: SecretStr | None) -> bool:
    return admin_token is not None and hmac.compare_digest(
        token_hash(token), token_hash(admin_token.get_secret_value())
    )


async def _must_allow(database: Database, token: str, scope: Scope) -> None:
    async with database.connection() as connection:
        scopes = await connection.fetchval(
            "select scopes from okgames.tokens where hash = $1 and revoked_at is null", token_hash(token)
        )
    if scopes is None:
        raise Problem(401, "Unknown token", "The token does not exist or was revoked.")
    if scope not in scopes:
        raise Problem(403, "Scope wanted", f"The token does not allow {scope}.")
