-- A notification that players see is taken back when its promotion is cancelled; what OK is just being asked to publish,
-- when its outcome is known.
alter table posts add column cancelled_at timestamptz;

alter table posts drop constraint posts_state_check;
alter table posts add constraint posts_state_check
    check (state in ('proposed', 'approved', 'attempted', 'published', 'stopping', 'stopped', 'draft', 'cancelled'));
alter table posts drop constraint posts_check;
alter table posts add constraint posts_published_at_check
    check ((state in ('published', 'stopping', 'stopped')) = (published_at is not null));
alter table posts drop constraint posts_check1;
alter table posts add constraint posts_reason_check check (state <> 'draft' or reason is not null);

create index posts_stopping on posts (coalesce(retry_at, published_at)) where state = 'stopping';
