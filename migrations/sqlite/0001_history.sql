-- Rows below a run carry no foreign key: each is written together with a check of the run's fencing token, under a lock
-- on the database, which proves that the run is there. Times are microseconds since 1970 in UTC, identities are the 16
-- bytes of the UUID, documents are JSON as text.

create table pipeline_versions (
    hash text primary key,
    pipeline text not null,
    path text not null,
    source text not null,
    kept integer not null default (cast(unixepoch('subsec') * 1000000 as integer))
) strict;

create table runs (
    id blob primary key,
    pipeline text not null,
    version text not null,
    kind text not null,
    trigger_key text,
    trigger_data text not null,
    params text not null,
    interval_start integer,
    interval_end integer,
    parent_run blob,
    parent_task text,
    parent_element integer,
    created integer not null,
    state text not null,
    started integer,
    ended integer,
    error text,
    outputs text,
    owner text,
    fence integer not null default 0,
    leased_until integer,
    redo integer not null default 0
) strict;

create unique index runs_trigger on runs (pipeline, trigger_key) where trigger_key is not null;
create index runs_pipeline on runs (pipeline, id);
create index runs_state on runs (state, id);
create index runs_ended on runs (pipeline, ended) where ended is not null;
create index runs_parent on runs (parent_run) where parent_run is not null;
create index runs_leased on runs (owner) where leased_until is not null;

-- `element` is -1 for a task that is not repeated. What changes often is kept narrow, and apart from what is written once.
create table tasks (
    run blob not null,
    task text not null,
    element integer not null,
    state text not null,
    attempt integer not null,
    tries integer not null,
    started integer,
    ended integer,
    note text,
    elements integer,
    error text,
    wait text,
    retry_at integer,
    primary key (run, task, element)
) strict, without rowid;

create table task_settings (
    run blob not null,
    task text not null,
    element integer not null,
    settings text not null,
    primary key (run, task, element)
) strict, without rowid;

create table task_outputs (
    run blob not null,
    task text not null,
    element integer not null,
    attempt integer not null,
    written integer not null,
    output text not null,
    primary key (run, task, element)
) strict, without rowid;

create table attempts (
    run blob not null,
    task text not null,
    element integer not null,
    number integer not null,
    state text not null,
    started integer not null,
    ended integer,
    error text,
    primary key (run, task, element, number)
) strict, without rowid;

create table events (
    run blob not null,
    number integer not null,
    happened integer not null,
    kind text not null,
    task text,
    element integer not null,
    data text not null,
    primary key (run, number)
) strict, without rowid;

-- What attempts put out, listed piece by piece; `task_outputs` has the last of it as a whole.
create table metrics (
    run blob not null,
    task text not null,
    element integer not null,
    attempt integer not null,
    name text not null,
    value real not null,
    primary key (run, task, element, attempt, name)
) strict, without rowid;

create table artifacts (
    run blob not null,
    task text not null,
    element integer not null,
    attempt integer not null,
    name text not null,
    key text not null,
    media_type text not null,
    bytes integer not null,
    path text,
    primary key (run, task, element, attempt, name)
) strict, without rowid;

create table datasets (
    run blob not null,
    task text not null,
    element integer not null,
    attempt integer not null,
    name text not null,
    key text not null,
    rows integer not null,
    bytes integer not null,
    columns text not null,
    fingerprint text not null,
    primary key (run, task, element, attempt, name)
) strict, without rowid;

create table checkpoints (
    run blob not null,
    task text not null,
    element integer not null,
    value text not null,
    primary key (run, task, element)
) strict, without rowid;

-- A version is reserved before it is registered; `reservation` names the task that gets it again when it asks.
create table models (
    name text not null,
    version integer not null,
    run blob not null,
    task text not null,
    element integer not null,
    reservation text,
    registered integer,
    artifact text,
    digest text,
    bytes integer,
    metrics text,
    card text,
    primary key (name, version)
) strict, without rowid;

create unique index models_reservation on models (name, reservation) where reservation is not null;
create index models_run on models (run, task);

create table model_aliases (
    name text not null,
    alias text not null,
    version integer not null,
    note text not null,
    changed integer not null,
    primary key (name, alias)
) strict, without rowid;

create table model_alias_changes (
    id integer primary key,
    name text not null,
    alias text not null,
    version integer not null,
    note text not null,
    changed integer not null
) strict;

create index model_alias_changes_alias on model_alias_changes (name, alias, id);

create table outbox (
    id blob primary key,
    run blob,
    kind text not null,
    recipients text not null,
    content text not null,
    created integer not null,
    state text not null,
    attempts integer not null,
    due integer not null,
    error text,
    settled integer
) strict;

create index outbox_waiting on outbox (created, id) where state in ('pending', 'unconfigured');
create index outbox_state on outbox (state);
