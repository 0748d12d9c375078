-- What OK's callbacks said, and the one reward that a payment or trial gave; every other table follows from it.
create table entries (
    event_id uuid primary key,
    application_key text not null,
    uid text not null,
    product text not null,
    kind text not null,
    occurred_at timestamptz not null,
    learned_at timestamptz not null,
    ends_at timestamptz,
    amount_oks bigint,
    transaction_id text,
    reward_id uuid,
    item text,
    quantity int
);

create index entries_of_player on entries (application_key, uid, occurred_at);

-- The row lock is what makes changes of one player wait for each other.
create table players (
    application_key text not null,
    uid text not null,
    version bigint not null default 0,
    lapses_due_at timestamptz,
    primary key (application_key, uid)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- This index and grants_next lose entries at one end all day, so their tables are vacuumed early.
create index players_lapses on players (lapses_due_at) where lapses_due_at is not null;

-- The sum of the entries, carried on by each; `told_at` is as of when the game was last told.
create table subscriptions (
    application_key text not null,
    uid text not null,
    product text not null,
    phase text not null,
    since timestamptz not null,
    until timestamptz not null,
    lapses_at timestamptz,
    last_at timestamptz not null,
    last_rank int not null,
    last_id uuid not null,
    tolerance interval not null,
    runs_to_end boolean not null,
    told_at timestamptz not null,
    primary key (application_key, uid, product)
) with (fillfactor = 80);

-- What the game was told of entitlements. The primary key gives out no version twice.
create table changes (
    application_key text not null,
    uid text not null,
    version bigint not null,
    event_id uuid not null,
    type text not null,
    product text not null,
    state text not null,
    entitled boolean not null,
    until timestamptz not null,
    cause text not null,
    occurred_at timestamptz not null,
    learned_at timestamptz not null,
    primary key (application_key, uid, version)
);

-- Rewards that fall due `every` so often over the time that one trial or payment covers.
create table grants (
    fact_id uuid primary key,
    application_key text not null,
    uid text not null,
    product text not null,
    item text not null,
    quantity int not null,
    transaction_id text,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    every interval not null,
    granted int not null,
    next_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

create index grants_next on grants (next_at) where next_at is not null;

-- The rewards that grants have given. The primary key gives out none twice.
create table slots (
    fact_id uuid not null,
    number int not null,
    reward_id uuid not null,
    application_key text not null,
    uid text not null,
    product text not null,
    item text not null,
    quantity int not null,
    transaction_id text,
    occurred_at timestamptz not null,
    granted_at timestamptz not null,
    primary key (fact_id, number)
);

create index slots_of_player on slots (application_key, uid, occurred_at);

-- What became of webhooks. Only the timeline shows it, so the inbox alone keeps it from being entered twice.
create table deliveries (
    event_id uuid not null,
    application_key text not null,
    uid text not null,
    delivery_id uuid not null,
    endpoint_id uuid not null,
    carried_event_id uuid not null,
    webhook_type text not null,
    was_delivered boolean not null,
    attempts int not null,
    status int,
    occurred_at timestamptz not null,
    learned_at timestamptz not null
);

create index deliveries_of_player on deliveries (application_key, uid, occurred_at);

create function refuse() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed', tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger entries_are_final before update or delete or truncate on entries execute function refuse();
create trigger changes_are_final before update or delete or truncate on changes execute function refuse();
create trigger slots_are_final before update or delete or truncate on slots execute function refuse();
