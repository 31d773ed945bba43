-- Runs that a backfill does again start what runs `after` them only when the backfill cascades.

alter table backfills add column cascades integer not null default 0;
