-- Who works off a backfill takes the runs, too, that its runs have started.

-- Whether a run, or one that it was started by, belongs to a backfill.
create function pipectl.is_for_backfill(run uuid, wanted uuid) returns boolean
    language sql stable
as $$
    with recursive up as (
        select r.parent_run, r.backfill from pipectl.runs r where r.id = is_for_backfill.run
        union all
        select r.parent_run, r.backfill from up join pipectl.runs r on r.id = up.parent_run
    )
    select exists (select 1 from up where up.backfill = wanted);
$$;

-- Takes runs from the queue. One at a time: each statement sees what the claimer before has taken, so that limits hold.
-- Rows that somebody has locked are left out, and the next ones are chosen.
create or replace function pipectl.claim_queued(claimer text, lease interval, only_backfill uuid, wanted bigint)
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
                where state = 'queued' and enqueued and backfill is null
                order by pipeline limit 1)
                union all
                select (select r.pipeline from pipectl.runs r
                    where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline > p.pipeline
                    order by r.pipeline limit 1)
                from pipelines p where p.pipeline is not null
            ), candidates as (
                select c.* from pipelines p cross join lateral (
                    select id, pipeline, kind, max_active, created as made, 0::numeric as turn from pipectl.runs r
                    where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline = p.pipeline
                        and (only_backfill is null or pipectl.is_for_backfill(r.parent_run, only_backfill))
                        and (r.leased_until is null or r.leased_until <= now()) and r.id <> all (passed)
                    order by r.id limit wanted
                ) c
                union all
                select c.id, c.pipeline, c.kind, c.max_active, b.created, c.turn
                from pipectl.backfills b cross join lateral (
                    select greatest(0, least(wanted, b.max_active - (select count(*) from active a where a.backfill = b.id))) as runs
                ) room cross join lateral (
                    (select id, pipeline, kind, max_active, extract(epoch from interval_start) as turn from pipectl.runs r
                    where not b.backwards
                        and r.state = 'queued' and r.enqueued and r.backfill is not null and r.backfill = b.id
                        and (r.leased_until is null or r.leased_until <= now()) and r.id <> all (passed)
                    order by r.interval_start, r.id limit room.runs)
                    union all
                    (select id, pipeline, kind, max_active, -extract(epoch from interval_start) from pipectl.runs r
                    where b.backwards
                        and r.state = 'queued' and r.enqueued and r.backfill is not null and r.backfill = b.id
                        and (r.leased_until is null or r.leased_until <= now()) and r.id <> all (passed)
                    order by r.interval_start desc, r.id desc limit room.runs)
                ) c
                where b.state = 'running' and (only_backfill is null or b.id = only_backfill)
            ), placed as (
                select c.id, c.max_active, c.made, c.turn, coalesce(b.runs, 0)
                    + count(*) filter (where c.kind <> 'child')
                        over (partition by c.pipeline order by c.made, c.turn, c.id) as place
                from candidates c left join busy b on b.pipeline = c.pipeline
            )
            select id from placed where max_active is null or place <= max_active order by place, made, turn, id limit wanted
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
