-- Lanes and pending deliveries are queues: mostly empty, and full after a storm. While they are empty, all ways to find
-- a row of them look equally quick, and a plan that was made then may be kept. So each thing that is looked for has one
-- index that fits: lanes by their key never those by due time, pending deliveries of a lane never those by state.
drop index lanes_due;
create index lanes_due on lanes ((endpoint_id::text), due_at);

drop index deliveries_pending;
create index deliveries_pending on deliveries (endpoint_id, uid, position) where finished_at is null;
