-- What daemons share: the queue, who is alive, what triggers have seen. `kept` of a pipeline version is when it was last
-- put while it was not its pipeline's newest.

alter table pipectl.runs add column enqueued boolean not null default false;
alter table pipectl.runs add column max_active bigint;
alter table pipectl.runs add column backfill uuid;
alter table pipectl.runs add column requeued text;
alter table pipectl.runs add column cancelling boolean not null default false;
alter table pipectl.tasks add column losses bigint not null default 0;

-- A lease is renewed often: no index may depend on it, or each renewal would touch them all.
drop index pipectl.runs_leased;
create index runs_unfinished on pipectl.runs (owner) where state in ('queued', 'running');
create index runs_queue on pipectl.runs (pipeline, id) where state = 'queued' and enqueued and backfill is null;
create index runs_queue_backfill on pipectl.runs (backfill, id) where state = 'queued' and enqueued and backfill is not null;
create index runs_backfill on pipectl.runs (backfill, state) where backfill is not null;
create index runs_success on pipectl.runs (pipeline, ended, id) where state = 'success';
create index runs_interval on pipectl.runs (pipeline, interval_start, interval_end) where state = 'success' and interval_start is not null;
create index pipeline_versions_kept on pipectl.pipeline_versions (pipeline, kept);

-- `alive_until` is null when it has left. A row stays while the daemon owns an unfinished run.
create table pipectl.daemons (
    name text primary key,
    started timestamptz not null,
    heard timestamptz not null,
    alive_until timestamptz
) with (fillfactor = 50);

create table pipectl.pool_slots (
    pool text not null,
    run uuid not null,
    task text not null,
    element bigint not null,
    slots bigint not null,
    primary key (pool, run, task, element)
);

create table pipectl.schedules (
    pipeline text primary key,
    cursor timestamptz not null,
    paused boolean not null
);

create table pipectl.sensors (
    pipeline text not null,
    task text not null,
    since timestamptz not null,
    looked timestamptz,
    failures bigint not null,
    error text,
    primary key (pipeline, task)
);

-- The ledger of sensed things outlives their runs. `key` is the identity, shortened when it is too long for an index.
create table pipectl.things (
    pipeline text not null,
    task text not null,
    key text not null,
    identity text not null,
    name text not null,
    details json not null,
    size bigint not null,
    modified timestamptz not null,
    state text not null,
    seen timestamptz not null,
    run uuid,
    primary key (pipeline, task, key)
);

create index things_seen on pipectl.things (pipeline, task, seen);
create index things_taken on pipectl.things (pipeline, task, seen) where state = 'taken';
create index things_run on pipectl.things (run) where state = 'taken';

create table pipectl.backfills (
    id uuid primary key,
    pipeline text not null,
    first timestamptz not null,
    past timestamptz not null,
    max_active bigint not null,
    reprocess text not null,
    state text not null,
    created timestamptz not null
);

create index backfills_created on pipectl.backfills (created, id);
create index backfills_running on pipectl.backfills (id) where state = 'running';

-- Wakes those who wait for a change, once the transaction has committed.
create function pipectl.tell() returns boolean
    language sql
as $$
    select pg_notify('pipectl', '');
    select true;
$$;

-- Takes runs from the queue. One at a time: each statement sees what the claimer before has taken, so that limits hold.
-- Rows that somebody has locked are left out, and the next ones are chosen.
create function pipectl.claim_queued(claimer text, lease interval, only_backfill uuid, wanted bigint)
    returns table (run uuid, fence bigint)
    language plpgsql
as $$
#variable_conflict use_column
declare
    passed uuid[] := '{}';
    chosen uuid[];
    taken uuid[];
    fences bigint[];
begin
    perform pg_advisory_xact_lock(hashtextextended('pipectl queue', 0));
    loop
        chosen := array(
            with recursive active as materialized (
                select pipeline, backfill, kind from pipectl.runs
                where state in ('queued', 'running') and owner is not null
                    and (state = 'running' or leased_until > now())
            ), busy as materialized (
                select pipeline, count(*) as runs from active where kind <> 'child' group by pipeline
            ), pipelines as (
                (select pipeline from pipectl.runs
                where state = 'queued' and enqueued and backfill is null and only_backfill is null
                order by pipeline limit 1)
                union all
                select (select r.pipeline from pipectl.runs r
                    where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline > p.pipeline
                    order by r.pipeline limit 1)
                from pipelines p where p.pipeline is not null
            ), candidates as (
                select c.* from pipelines p cross join lateral (
                    select id, pipeline, kind, max_active from pipectl.runs r
                    where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline = p.pipeline
                        and (r.leased_until is null or r.leased_until <= now()) and r.id <> all (passed)
                    order by r.id limit wanted
                ) c
                union all
                select c.* from pipectl.backfills b cross join lateral (
                    select id, pipeline, kind, max_active from pipectl.runs r
                    where r.state = 'queued' and r.enqueued and r.backfill is not null and r.backfill = b.id
                        and (r.leased_until is null or r.leased_until <= now()) and r.id <> all (passed)
                    order by r.id
                    limit greatest(0, least(wanted, b.max_active - (select count(*) from active a where a.backfill = b.id)))
                ) c
                where b.state = 'running' and (only_backfill is null or b.id = only_backfill)
            ), placed as (
                select c.id, c.max_active, coalesce(b.runs, 0)
                    + count(*) filter (where c.kind <> 'child') over (partition by c.pipeline order by c.id) as place
                from candidates c left join busy b on b.pipeline = c.pipeline
            )
            select id from placed where max_active is null or place <= max_active order by place, id limit wanted
        );
        with free as (
            select r.id from pipectl.runs r
            where r.id = any (chosen) and r.state = 'queued' and (r.leased_until is null or r.leased_until <= now())
            for no key update skip locked
        ), claimed as (
            update pipectl.runs r set owner = claimer, fence = r.fence + 1, leased_until = now() + lease
            from free where r.id = free.id returning r.id, r.fence
        )
        select coalesce(array_agg(c.id), '{}'), coalesce(array_agg(c.fence), '{}') into taken, fences from claimed c;
        return query select t.run, t.fence from unnest(taken, fences) as t (run, fence)
            order by array_position(chosen, t.run);
        wanted := wanted - cardinality(taken);
        exit when wanted <= 0 or cardinality(taken) = cardinality(chosen);
        passed := passed || array(select unnest(chosen) except select unnest(taken));
    end loop;
end
$$;

-- Takes slots of a pool, one claimer at a time. What is held by a run that is over or lost is free.
create function pipectl.take_pool(wanted text, capacity bigint, more bigint, holder uuid, part text, piece bigint)
    returns boolean
    language plpgsql
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('pipectl pool ' || wanted, 0));
    delete from pipectl.pool_slots s where s.pool = wanted and not exists (
        select 1 from pipectl.runs r
        where r.id = s.run and r.state in ('queued', 'running') and r.leased_until is not null
            and (r.leased_until > now()
                or exists (select 1 from pipectl.daemons d where d.name = r.owner and d.alive_until > now()))
    );
    if exists (
        select 1 from pipectl.pool_slots s
        where s.pool = wanted and s.run = holder and s.task = part and s.element = piece
    ) then
        return true;
    end if;
    if (select coalesce(sum(s.slots), 0) from pipectl.pool_slots s where s.pool = wanted) + more > capacity then
        return false;
    end if;
    insert into pipectl.pool_slots (pool, run, task, element, slots) values (wanted, holder, part, piece, more);
    return true;
end
$$;
