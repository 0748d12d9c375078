-- A promotion of an application on one day of Moscow's. Counts of payments are kept here, so that a tick does not sum up.
create table promotions (
    id uuid primary key,
    application_key text not null,
    game text not null,
    name text not null,
    day date not null,
    opens_at timestamptz not null,
    closes_at timestamptz not null,
    prizes_oks int[] not null,
    is_automatic boolean not null,
    margin interval not null,
    planned_at timestamptz not null,
    planned_by text not null,
    state text not null,
    reason text,
    fund_oks bigint,
    draws_at timestamptz,
    payers int not null default 0,
    payments int not null default 0,
    amount_oks bigint not null default 0,
    next_at timestamptz
) with (fillfactor = 80);

create unique index promotions_one_a_day on promotions (application_key, day)
    where state not in ('declined', 'cancelled');
create index promotions_of_day on promotions (day, id);
create index promotions_windows on promotions (application_key, opens_at);
create index promotions_next on promotions (next_at) where next_at is not null;
create index promotions_drawing on promotions (id) where state = 'drawing';

create table steps (
    promotion_id uuid not null references promotions (id),
    step text not null,
    not_before timestamptz not null,
    due_at timestamptz not null,
    state text not null,
    done_at timestamptz,
    reminded int not null,
    primary key (promotion_id, step)
) with (fillfactor = 80);

-- Never changed and never deleted. Pictures lie here, so that every copy of the service has them.
create table evidence (
    id uuid primary key,
    promotion_id uuid not null references promotions (id),
    step text not null,
    kind text not null,
    text text not null,
    said_by text not null,
    happened_at timestamptz not null,
    recorded_at timestamptz not null,
    file_name text,
    media_type text,
    sha256 text,
    content bytea,
    position bigint generated always as identity
);

create index evidence_of_promotion on evidence (promotion_id, position);

create table payers (
    promotion_id uuid not null references promotions (id),
    uid text not null,
    payments int not null,
    amount_oks bigint not null,
    primary key (promotion_id, uid)
) with (fillfactor = 80);

-- The one call that pays. `attempted_at` is committed before it, what came back before anything else; a row with an
-- attempt is never attempted again.
create table draws (
    promotion_id uuid primary key references promotions (id),
    begun_at timestamptz not null,
    begun_by text not null,
    attempted_at timestamptz,
    attempted_by int,
    answered_at timestamptz,
    status int,
    invocation_error text,
    content_type text,
    body bytea
);

create index draws_to_attempt on draws (begun_at) where attempted_at is null;

create table winners (
    promotion_id uuid not null references promotions (id),
    place int not null,
    uid text not null,
    prize_oks int not null,
    drawn_at timestamptz not null,
    name text,
    profile_url text,
    is_payer boolean,
    named_at timestamptz,
    primary key (promotion_id, place)
);

create index winners_to_name on winners (drawn_at) where named_at is null;

-- Numbers of processes; each holds an advisory lock on its own for as long as it lives.
create sequence presences as int;
