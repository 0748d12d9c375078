-- What OK's callbacks said; every other table follows from it.
create table entries (
    event_id uuid primary key,
    application_key text not null,
    uid text not null,
    product text not null,
    kind text not null check (kind in ('purchase', 'trial', 'payment', 'cancellation')),
    occurred_at timestamptz not null,
    learned_at timestamptz not null,
    ends_at timestamptz,
    amount_oks bigint,
    transaction_id text,
    check ((ends_at is null) = (kind = 'purchase'))
);

create index entries_of_player on entries (application_key, uid, occurred_at);

-- The row lock is what makes changes of one player wait for each other.
create table players (
    application_key text not null,
    uid text not null,
    version bigint not null default 0,
    lapses_due_at timestamptz,
    primary key (application_key, uid)
) with (fillfactor = 80);

create index players_lapses on players (lapses_due_at) where lapses_due_at is not null;

create table subscriptions (
    application_key text not null,
    uid text not null,
    product text not null,
    phase text not null check (phase in ('trial', 'active', 'cancelled')),
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
    every interval not null check (every > interval '0'),
    granted int not null,
    next_at timestamptz
) with (fillfactor = 80);

create index grants_next on grants (next_at) where next_at is not null;

create table rewards (
    reward_id uuid primary key,
    application_key text not null,
    uid text not null,
    product text not null,
    item text not null,
    quantity int not null,
    reason text not null,
    transaction_id text,
    fact_id uuid not null,
    occurred_at timestamptz not null,
    granted_at timestamptz not null
);

create index rewards_of_player on rewards (application_key, uid, occurred_at);

-- What became of webhooks; only the timeline shows it.
create table deliveries (
    event_id uuid primary key,
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
create trigger rewards_are_final before update or delete or truncate on rewards execute function refuse();
