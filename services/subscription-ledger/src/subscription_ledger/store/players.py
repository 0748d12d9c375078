from collections.abc import Collection, Sequence
from datetime import datetime

import asyncpg

from okgames.database import Tx
from okgames.events import EntitlementChanged
from subscription_ledger.domain.player import Player, Standing
from subscription_ledger.domain.subscription import Phase, Subscription, Terms
from subscription_ledger.store.columns import PlayerKey, columns

_CHANGE_COLUMNS = (
    "application_key",
    "uid",
    "version",
    "event_id",
    "type",
    "product",
    "state",
    "entitled",
    "until",
    "cause",
    "occurred_at",
    "learned_at",
)


async def lock_players(tx: Tx, keys: Collection[PlayerKey]) -> list[Player]:
    """
    Load players, new ones too, and keep every other transaction from changing them until this one ends.

    Locks are taken in one order, so that two transactions never wait for each other.
    """
    wanted = list(columns(sorted(keys)))
    await tx.execute(
        """
        insert into players (application_key, uid)
        select * from unnest($1::text[], $2::text[])
        on conflict do nothing
        """,
        *wanted,
    )
    locked = await tx.fetch(
        """
        select application_key, uid, version
        from unnest($1::text[], $2::text[]) as wanted (application_key, uid)
        join players using (application_key, uid)
        order by application_key, uid
        for update of players
        """,
        *wanted,
    )
    return await _with_standings(tx, locked)


async def claim_lapsing_players(tx: Tx, now: datetime, limit: int) -> list[Player]:
    """Lock and load players of whom something has come to its end; those that another copy has locked are left out."""
    locked = await tx.fetch(
        """
        select application_key, uid, version
        from players
        where lapses_due_at <= $1
        order by lapses_due_at
        limit $2
        for update skip locked
        """,
        now,
        limit,
    )
    return await _with_standings(tx, locked)


async def _with_standings(tx: Tx, locked: "list[asyncpg.Record]") -> list[Player]:
    # A statement of its own: it sees what was committed while the locks were waited for.
    players = {(row["application_key"], row["uid"]): _player(row) for row in locked}
    if players:
        rows = await tx.fetch(
            """
            select subscriptions.*
            from unnest($1::text[], $2::text[]) as wanted (application_key, uid)
            join subscriptions using (application_key, uid)
            """,
            *columns(players),
        )
        for row in rows:
            players[row["application_key"], row["uid"]].standings[row["product"]] = _standing(row)
    return list(players.values())


async def find_player(tx: Tx, key: PlayerKey) -> Player | None:
    """Return a player as of one moment; None if nothing was ever subscribed to."""
    rows = await tx.fetch(
        """
        select *
        from players left join subscriptions using (application_key, uid)
        where application_key = $1 and uid = $2
        """,
        *key,
    )
    if not rows:
        return None
    player = _player(rows[0])
    player.standings = {row["product"]: _standing(row) for row in rows if row["product"] is not None}
    return player


async def find_reached(tx: Tx, wanted: Collection[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Return those of the wanted (application_key, uid, version) whose player has come that far."""
    rows = await tx.fetch(
        """
        select wanted.*
        from unnest($1::text[], $2::text[], $3::bigint[]) as wanted (application_key, uid, version)
        join players using (application_key, uid)
        where players.version >= wanted.version
        """,
        *columns(wanted),
    )
    return [(row["application_key"], row["uid"], row["version"]) for row in rows]


async def save_players(tx: Tx, players: Sequence[Player]) -> None:
    """Keep where these players stand now."""
    if not players:
        return
    await tx.execute(
        """
        update players
        set version = new.version, lapses_due_at = new.lapses_due_at
        from unnest($1::changed_player[]) as new
        where players.application_key = new.application_key and players.uid = new.uid
        """,
        [(each.application_key, each.uid, each.version, each.lapses_due_at) for each in players],
    )
    await tx.execute(
        """
        insert into subscriptions (
            application_key, uid, product, phase, since, until, lapses_at, last_at, last_rank, last_id, tolerance,
            runs_to_end, told_at
        )
        select * from unnest($1::changed_subscription[])
        on conflict (application_key, uid, product) do update set
            phase = excluded.phase, since = excluded.since, until = excluded.until, lapses_at = excluded.lapses_at,
            last_at = excluded.last_at, last_rank = excluded.last_rank, last_id = excluded.last_id,
            tolerance = excluded.tolerance, runs_to_end = excluded.runs_to_end, told_at = excluded.told_at
        """,
        [
            (
                each.application_key,
                each.uid,
                product,
                standing.subscription.phase,
                standing.subscription.since,
                standing.subscription.until,
                standing.subscription.lapses_at,
                *standing.subscription.last,
                standing.terms.tolerance,
                standing.terms.runs_to_end,
                standing.told_at,
            )
            for each in players
            for product in sorted(each.touched)
            for standing in [each.standings[product]]
        ],
    )


async def save_changes(tx: Tx, changes: Sequence[EntitlementChanged], learned_at: datetime) -> None:
    """Keep what the game is told; a version that was told already raises."""
    if not changes:
        return
    await tx.copy_records_to_table(
        "changes",
        columns=_CHANGE_COLUMNS,
        records=[
            (
                change.application_key,
                change.uid,
                change.version,
                change.id,
                change.type,
                change.product,
                change.state,
                change.entitled,
                change.until,
                change.cause,
                change.occurred_at,
                learned_at,
            )
            for change in changes
        ],
    )


def _player(row: asyncpg.Record) -> Player:
    return Player(row["application_key"], row["uid"], row["version"])


def _standing(row: asyncpg.Record) -> Standing:
    subscription = Subscription(
        Phase(row["phase"]),
        row["since"],
        row["until"],
        row["lapses_at"],
        (row["last_at"], row["last_rank"], row["last_id"]),
    )
    return Standing(subscription, Terms(row["tolerance"], row["runs_to_end"]), row["told_at"])
