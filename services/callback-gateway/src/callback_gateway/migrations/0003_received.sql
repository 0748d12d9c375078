-- What the journal is given for each callback; the last three columns are of the event that it tells.
create type received as (
    id uuid,
    application_key text,
    uid text,
    product text,
    event_type text,
    content text,
    query text,
    caller text,
    transaction_time timestamptz,
    partition int,
    key text,
    data text
);
