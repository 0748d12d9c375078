-- Texts for players: posts in a game's group, and notifications on OK's portal.
create table posts (
    id uuid primary key,
    position bigint generated always as identity,
    kind text not null check (kind in ('conditions', 'winner', 'rehearsal', 'notification')),
    application_key text not null,
    promotion_id uuid not null,
    text text not null,
    state text not null
        check (state in ('proposed', 'approved', 'attempted', 'published', 'draft', 'cancelled')),
    not_before timestamptz not null,
    due_by timestamptz not null,
    expires_at timestamptz,
    created_at timestamptz not null,
    approved_at timestamptz,
    approved_by text,
    attempts int not null default 0,
    attempted_at timestamptz,
    retry_at timestamptz,
    ok_id text,
    url text,
    published_at timestamptz,
    published_by text,
    reason text,
    -- Of the database's own time: until then whoever wrote "attempted" may still be waiting for OK's answer.
    leased_until timestamptz,
    check ((state = 'published') = (published_at is not null)),
    check ((state = 'draft') = (reason is not null)),
    check (state <> 'attempted' or attempted_at is not null)
);

create unique index posts_position on posts (position);
create index posts_of_promotion on posts (promotion_id);
create index posts_due on posts (coalesce(retry_at, not_before)) where state = 'approved';
create index posts_attempted on posts (leased_until) where state = 'attempted';
create index posts_notifications on posts (application_key, attempted_at) where kind in ('rehearsal', 'notification');

-- When each application's access token was last used, which makes it last for another 30 days.
create table access_tokens (
    application_key text primary key,
    touch_at timestamptz not null,
    refused_at timestamptz,
    reason text
);
