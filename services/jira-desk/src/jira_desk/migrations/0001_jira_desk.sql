-- An issue of OK's JIRA as we know it. `jira_id` is JIRA's own and stays when an issue is moved; it is null where only a
-- person told us of the issue.
create table issues (
    id uuid primary key,
    jira_id text unique,
    key text not null unique,
    task text not null,
    application_key text not null,
    promotion_id uuid,
    request_id uuid,
    expected_oks bigint,
    title text not null,
    url text not null,
    status text not null,
    verdict text,
    fund_oks bigint,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    position bigint generated always as identity
) with (fillfactor = 80);

create index issues_in_order on issues (position);
create index issues_of_promotion on issues (promotion_id) where promotion_id is not null;

-- What happened to an issue, in the order in which we told of it. Never changed.
create table history (
    issue_id uuid not null references issues (id),
    position bigint generated always as identity,
    id uuid not null unique,
    kind text not null,
    subject text not null,
    author text not null,
    old text,
    new text,
    happened_at timestamptz not null,
    recorded_at timestamptz not null,
    primary key (issue_id, position)
);

create table comments (
    issue_id uuid not null references issues (id),
    id text not null,
    author text not null,
    is_ours boolean not null,
    text text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    primary key (issue_id, id)
);

create table attachments (
    issue_id uuid not null references issues (id),
    id text not null,
    file_name text not null,
    media_type text not null,
    size bigint not null,
    author text not null,
    created_at timestamptz not null,
    removed_at timestamptz,
    primary key (issue_id, id)
);

-- A line of OK's remarks, to be ticked off.
create table remarks (
    issue_id uuid not null references issues (id),
    comment_id text not null,
    text text not null,
    place int not null,
    is_withdrawn boolean not null default false,
    done_at timestamptz,
    done_by text,
    primary key (issue_id, comment_id, text)
);

-- A comment that may tell the prize fund. `amount_oks` is what we read, null where there are several or none.
create table funds (
    issue_id uuid not null references issues (id),
    comment_id text not null,
    amount_oks bigint,
    is_certain boolean not null,
    state text not null,
    decided_by text,
    decided_at timestamptz,
    primary key (issue_id, comment_id)
);

create table files (
    id uuid primary key,
    file_name text not null,
    media_type text not null,
    sha256 text not null,
    content bytea not null
);

-- What we want done in JIRA. `must_look` is committed before each try and taken back only where JIRA surely did nothing.
create table errands (
    id uuid primary key,
    kind text not null,
    task text not null,
    application_key text not null,
    promotion_id uuid,
    issue_id uuid references issues (id),
    after_id uuid references errands (id),
    request_kind text,
    title text,
    text text not null,
    fields jsonb not null,
    file_name text,
    media_type text,
    sha256 text,
    evidence_id uuid,
    due_by timestamptz,
    created_at timestamptz not null,
    created_by text not null,
    state text not null,
    must_look boolean not null default false,
    tries int not null default 0,
    tried_at timestamptz,
    next_at timestamptz,
    problem text,
    result text,
    done_at timestamptz,
    position bigint generated always as identity
) with (fillfactor = 80);

create index errands_next on errands (next_at) where next_at is not null;
create index errands_of_promotion on errands (promotion_id) where promotion_id is not null;
create index errands_of_issue on errands (issue_id) where issue_id is not null;
create index errands_after on errands (after_id) where after_id is not null;
create index errands_in_order on errands (position);

-- How far each project was read. `since` is JIRA's time, never ours; `version` lets one of two readers win.
create table cursors (
    project text primary key,
    since timestamptz,
    start_at int not null default 0,
    last_key text,
    next_at timestamptz not null,
    read_at timestamptz,
    failures int not null default 0,
    problem text,
    version bigint not null default 0
) with (fillfactor = 50);

-- Who of ours may use which kinds of tasks.
create table access (
    id uuid primary key,
    name text not null,
    email text not null,
    tasks text[] not null,
    asked_at timestamptz not null,
    asked_by text not null,
    granted_at timestamptz,
    ended_at timestamptz
);
