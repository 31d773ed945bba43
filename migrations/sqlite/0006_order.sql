-- A backfill's runs come by their intervals. What a run was before it was put into the queue to be done again, it is
-- again when it is cancelled before anybody begins; `was_state` counts only while `requeued` is set.

alter table backfills add column backwards integer not null default 0;
alter table runs add column was_state text;
alter table runs add column was_ended integer;
alter table runs add column was_error text;
alter table runs add column was_backfill blob;

drop index runs_queue_backfill;
create index runs_queue_backfill on runs (backfill, interval_start, id) where state = 'queued' and enqueued and backfill is not null;
