create schema if not exists event_log;

create table event_log.events (
    topic text not null,
    partition int not null,
    position bigint generated always as identity,
    id uuid not null,
    type text not null,
    key text not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    data text not null,
    primary key (topic, partition, position)
);

create table event_log.cursors (
    reader_group text not null,
    topic text not null,
    partition int not null,
    position bigint not null,
    primary key (topic, partition, reader_group)
);

-- Up to where events were deleted, so that whoever keeps a cursor of its own can tell that it has missed some.
create table event_log.pruned (
    topic text not null,
    partition int not null,
    position bigint not null,
    primary key (topic, partition)
);

-- Positions are handed out before the commit, so without the lock a reader that has seen position 7 may find 6
-- committed later and never read it. The lock is held to the end of the transaction: within a partition the order
-- of positions is the order of commits.
create function event_log.append(
    of_topic text, partitions int[], ids uuid[], types text[], keys text[], times timestamptz[], bodies text[]
) returns void language plpgsql as $$
begin
    if current_setting('event_log.appended', true) = 'yes' then
        raise exception 'append may be called once in a transaction'
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    perform set_config('event_log.appended', 'yes', true);

    perform pg_advisory_xact_lock(hashtext('event_log:' || of_topic), sorted.partition)
    from (select distinct unnest(partitions) as partition order by 1) as sorted;

    insert into event_log.events (topic, partition, id, type, key, occurred_at, data)
    select of_topic, e.partition, e.id, e.type, e.key, e.occurred_at, e.data
    from unnest(partitions, ids, types, keys, times, bodies) with ordinality
        as e (partition, id, type, key, occurred_at, data, place)
    order by e.place;

    perform pg_notify('event_log', of_topic);
end
$$;
