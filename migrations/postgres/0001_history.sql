-- Rows below a run carry no foreign key: each is written together with a check of the run's fencing token, under a lock
-- on the run, which proves that the run is there. `json` and not `jsonb`: settings read back as they were written, with
-- the order of their keys.

create function pipectl.micros(timestamptz) returns bigint
    language sql immutable parallel safe
    return (extract(epoch from $1) * 1000000)::bigint;

create table pipectl.pipeline_versions (
    hash text primary key,
    pipeline text not null,
    path text not null,
    source text not null,
    kept timestamptz not null default now()
);

create table pipectl.runs (
    id uuid primary key,
    pipeline text not null,
    version text not null,
    kind text not null,
    trigger_key text,
    trigger_data json not null,
    params json not null,
    interval_start timestamptz,
    interval_end timestamptz,
    parent_run uuid,
    parent_task text,
    parent_element bigint,
    created timestamptz not null,
    state text not null,
    started timestamptz,
    ended timestamptz,
    error text,
    outputs json,
    owner text,
    fence bigint not null default 0,
    leased_until timestamptz,
    redo bigint not null default 0
) with (fillfactor = 80);

create unique index runs_trigger on pipectl.runs (pipeline, trigger_key) where trigger_key is not null;
create index runs_pipeline on pipectl.runs (pipeline, id);
create index runs_state on pipectl.runs (state, id);
create index runs_ended on pipectl.runs (pipeline, ended) where ended is not null;
create index runs_parent on pipectl.runs (parent_run) where parent_run is not null;
create index runs_leased on pipectl.runs (owner) where leased_until is not null;

-- `element` is -1 for a task that is not repeated. What changes often is kept narrow, and apart from what is written once.
create table pipectl.tasks (
    run uuid not null,
    task text not null,
    element bigint not null,
    state text not null,
    attempt bigint not null,
    tries bigint not null,
    started timestamptz,
    ended timestamptz,
    note text,
    elements bigint,
    error json,
    wait json,
    retry_at timestamptz,
    primary key (run, task, element)
) with (fillfactor = 80);

create table pipectl.task_settings (
    run uuid not null,
    task text not null,
    element bigint not null,
    settings json not null,
    primary key (run, task, element)
);

create table pipectl.task_outputs (
    run uuid not null,
    task text not null,
    element bigint not null,
    attempt bigint not null,
    written timestamptz not null,
    output json not null,
    primary key (run, task, element)
);

create table pipectl.attempts (
    run uuid not null,
    task text not null,
    element bigint not null,
    number bigint not null,
    state text not null,
    started timestamptz not null,
    ended timestamptz,
    error json,
    primary key (run, task, element, number)
) with (fillfactor = 80);

create table pipectl.events (
    run uuid not null,
    number bigint not null,
    happened timestamptz not null,
    kind text not null,
    task text,
    element bigint not null,
    data json not null,
    primary key (run, number)
);

-- What attempts put out, listed piece by piece; `task_outputs` has the last of it as a whole.
create table pipectl.metrics (
    run uuid not null,
    task text not null,
    element bigint not null,
    attempt bigint not null,
    name text not null,
    value double precision not null,
    primary key (run, task, element, attempt, name)
);

create table pipectl.artifacts (
    run uuid not null,
    task text not null,
    element bigint not null,
    attempt bigint not null,
    name text not null,
    key text not null,
    media_type text not null,
    bytes bigint not null,
    path text,
    primary key (run, task, element, attempt, name)
);

create table pipectl.datasets (
    run uuid not null,
    task text not null,
    element bigint not null,
    attempt bigint not null,
    name text not null,
    key text not null,
    rows bigint not null,
    bytes bigint not null,
    columns json not null,
    fingerprint text not null,
    primary key (run, task, element, attempt, name)
);

create table pipectl.checkpoints (
    run uuid not null,
    task text not null,
    element bigint not null,
    value json not null,
    primary key (run, task, element)
);

-- A version is reserved before it is registered; `reservation` names the task that gets it again when it asks.
create table pipectl.models (
    name text not null,
    version bigint not null,
    run uuid not null,
    task text not null,
    element bigint not null,
    reservation text,
    registered timestamptz,
    artifact text,
    digest text,
    bytes bigint,
    metrics json,
    card json,
    primary key (name, version)
);

create unique index models_reservation on pipectl.models (name, reservation) where reservation is not null;
create index models_run on pipectl.models (run, task);

create table pipectl.model_aliases (
    name text not null,
    alias text not null,
    version bigint not null,
    note text not null,
    changed timestamptz not null,
    primary key (name, alias)
);

create table pipectl.model_alias_changes (
    id bigint generated always as identity primary key,
    name text not null,
    alias text not null,
    version bigint not null,
    note text not null,
    changed timestamptz not null
);

create index model_alias_changes_alias on pipectl.model_alias_changes (name, alias, id);

create table pipectl.outbox (
    id uuid primary key,
    run uuid,
    kind text not null,
    recipients json not null,
    content json not null,
    created timestamptz not null,
    state text not null,
    attempts bigint not null,
    due timestamptz not null,
    error text,
    settled timestamptz
);

create index outbox_waiting on pipectl.outbox (created, id) where state in ('pending', 'unconfigured');
create index outbox_state on pipectl.outbox (state);
