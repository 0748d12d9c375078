-- What books are read by, day by day. Callbacks come in about the order of their times, so the smallest of indexes is
-- enough; one that has each row would take a sixth of the time in which a callback is written.
create index callbacks_by_time on callbacks using brin (transaction_time) with (pages_per_range = 16, autosummarize = on);
