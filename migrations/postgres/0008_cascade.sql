-- Runs that a backfill does again start what runs `after` them only when the backfill cascades.

alter table pipectl.backfills add column cascades boolean not null default false;
