-- The bytes of reports, each once however often it was attached.
create table report_contents (
    sha256 text primary key,
    content bytea not null
);

-- A file of a REPORT task: what JIRA shows is fetched and kept, what a person brings is kept at once.
create table report_files (
    id uuid primary key,
    issue_id uuid not null,
    attachment_id text not null,
    application_key text not null default '',
    month text,
    state text not null,
    sha256 text references report_contents (sha256),
    tries int not null default 0,
    next_at timestamptz,
    problem text,
    kept_at timestamptz,
    position bigint generated always as identity,
    foreign key (issue_id, attachment_id) references attachments (issue_id, id)
);

create index report_files_next on report_files (next_at) where next_at is not null;
create index report_files_by_content on report_files (sha256, position) where sha256 is not null;
create index report_files_in_order on report_files (position);
