-- A run that a backfill does again takes the version that the backfill is made with, and has its own back when it is
-- cancelled before anybody begins.

alter table pipectl.runs add column was_version text;
