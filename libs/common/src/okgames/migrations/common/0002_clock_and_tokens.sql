create schema if not exists okgames;

-- One row at most: how far the movable clock is ahead of the real one. Only simulations have it.
create table okgames.clock (
    only_row boolean primary key default true check (only_row),
    shift interval not null
);

create table okgames.tokens (
    name text primary key,
    hash bytea not null unique,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);
