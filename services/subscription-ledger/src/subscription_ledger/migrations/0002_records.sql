-- What a batch changes, each as one array of records, as the log takes its events.
create type changed_player as (
    application_key text,
    uid text,
    version bigint,
    lapses_due_at timestamptz
);

create type changed_subscription as (
    application_key text,
    uid text,
    product text,
    phase text,
    since timestamptz,
    until timestamptz,
    lapses_at timestamptz,
    last_at timestamptz,
    last_rank int,
    last_id uuid,
    tolerance interval,
    runs_to_end boolean,
    told_at timestamptz
);
