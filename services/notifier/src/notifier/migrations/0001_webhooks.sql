create table endpoints (
    id uuid primary key,
    application_key text not null,
    url text not null,
    -- No longer so where it is gone from the configuration: what is pending for it waits.
    configured boolean not null,
    paused_reason text,
    paused_at timestamptz,
    failing_since timestamptz,
    consecutive_failures int not null default 0,
    check ((paused_reason is null) = (paused_at is null))
);

create table webhooks (
    event_id uuid primary key,
    type text not null,
    body text not null
);

create table deliveries (
    id uuid primary key,
    position bigint generated always as identity,
    endpoint_id uuid not null,
    event_id uuid not null,
    application_key text not null,
    uid text not null,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'exhausted')),
    attempts int not null default 0,
    -- Failed attempts of the schedule, which starts again with a resend and when a paused endpoint is resumed.
    step int not null default 0,
    created_at timestamptz not null,
    finished_at timestamptz,
    check ((state = 'pending') = (finished_at is null))
);

create unique index deliveries_position on deliveries (position);
create index deliveries_of_player on deliveries (uid, position);
create index deliveries_of_time on deliveries using brin (created_at);
create index deliveries_pending on deliveries (endpoint_id, uid, position) where state = 'pending';
create index deliveries_unfinished on deliveries (state, position) where state <> 'delivered';

create table attempts (
    delivery_id uuid not null,
    at timestamptz not null,
    status int,
    latency_ms int not null,
    answer text not null,
    error text,
    primary key (delivery_id, at)
);

-- One player's pending deliveries to one endpoint, in order. Who changes deliveries of a lane locks its row first;
-- the row exists for as long as any of them is pending. Due times are of the clock that a simulation moves, leases
-- of the database's own.
create table lanes (
    endpoint_id uuid not null,
    uid text not null,
    due_at timestamptz not null,
    leased_until timestamptz,
    leased_by int,
    primary key (endpoint_id, uid)
) with (fillfactor = 70);

create index lanes_due on lanes (endpoint_id, due_at);
