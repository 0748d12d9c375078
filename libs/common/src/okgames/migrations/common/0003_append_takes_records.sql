-- One array of records costs the server less than a JSON text does.
create type event_log.new_event as (
    partition int,
    id uuid,
    type text,
    key text,
    occurred_at timestamptz,
    data text
);

-- The one with an array for each column stays: gateways started before this migration call it until they are
-- restarted, and what they cannot write costs a player a purchase. This one does the same, under the same locks.
create function event_log.append(of_topic text, news event_log.new_event[]) returns void language plpgsql as $$
begin
    if current_setting('event_log.appended', true) = 'yes' then
        raise exception 'append may be called once in a transaction'
            using errcode = 'object_not_in_prerequisite_state';
    end if;

    perform set_config('event_log.appended', 'yes', true), pg_notify('event_log', of_topic),
        pg_advisory_xact_lock(hashtext('event_log:' || of_topic), sorted.partition)
    from (select distinct partition from unnest(news) order by partition) as sorted;

    insert into event_log.events (topic, partition, id, type, key, occurred_at, data)
    select of_topic, e.partition, e.id, e.type, e.key, e.occurred_at, e.data
    from unnest(news) with ordinality as e (partition, id, type, key, occurred_at, data, place)
    order by e.place;
end
$$;
