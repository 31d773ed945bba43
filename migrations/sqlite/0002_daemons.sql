-- What daemons share: the queue, who is alive, what triggers have seen. `kept` of a pipeline version is when it was last
-- put while it was not its pipeline's newest.

alter table runs add column enqueued integer not null default 0;
alter table runs add column max_active integer;
alter table runs add column backfill blob;
alter table runs add column requeued text;
alter table runs add column cancelling integer not null default 0;
alter table tasks add column losses integer not null default 0;

drop index runs_leased;
create index runs_unfinished on runs (owner) where state in ('queued', 'running');
create index runs_queue on runs (pipeline, id) where state = 'queued' and enqueued and backfill is null;
create index runs_queue_backfill on runs (backfill, id) where state = 'queued' and enqueued and backfill is not null;
create index runs_backfill on runs (backfill, state) where backfill is not null;
create index runs_success on runs (pipeline, ended, id) where state = 'success';
create index runs_interval on runs (pipeline, interval_start, interval_end) where state = 'success' and interval_start is not null;
create index pipeline_versions_kept on pipeline_versions (pipeline, kept);

-- `alive_until` is null when it has left. A row stays while the daemon owns an unfinished run.
create table daemons (
    name text primary key,
    started integer not null,
    heard integer not null,
    alive_until integer
) strict, without rowid;

create table pool_slots (
    pool text not null,
    run blob not null,
    task text not null,
    element integer not null,
    slots integer not null,
    primary key (pool, run, task, element)
) strict, without rowid;

create table schedules (
    pipeline text primary key,
    cursor integer not null,
    paused integer not null
) strict, without rowid;

create table sensors (
    pipeline text not null,
    task text not null,
    since integer not null,
    looked integer,
    failures integer not null,
    error text,
    primary key (pipeline, task)
) strict, without rowid;

-- The ledger of sensed things outlives their runs. `key` is the identity, shortened when it is too long for an index.
create table things (
    pipeline text not null,
    task text not null,
    key text not null,
    identity text not null,
    name text not null,
    details text not null,
    size integer not null,
    modified integer not null,
    state text not null,
    seen integer not null,
    run blob,
    primary key (pipeline, task, key)
) strict, without rowid;

create index things_seen on things (pipeline, task, seen);
create index things_taken on things (pipeline, task, seen) where state = 'taken';
create index things_run on things (run) where state = 'taken';

create table backfills (
    id blob primary key,
    pipeline text not null,
    first integer not null,
    past integer not null,
    max_active integer not null,
    reprocess text not null,
    state text not null,
    created integer not null
) strict, without rowid;

create index backfills_created on backfills (created, id);
create index backfills_running on backfills (id) where state = 'running';
