create table inbox (
    event_id uuid primary key,
    handled_at timestamptz not null default now()
);

create index inbox_handled_at on inbox using brin (handled_at);

create table dead_letters (
    id uuid primary key,
    topic text not null,
    type text not null,
    key text not null,
    data text not null,
    error text not null,
    parked_at timestamptz not null
);
