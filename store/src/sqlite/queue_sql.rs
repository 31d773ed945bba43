//! The statements of the queue. `{now}` stands for the present moment, `{}` for a condition.

/// The runs that may be taken from the queue, the first ones of each pipeline looked up by themselves: `$1` is the only backfill to take from, `$2` how many are wanted.
pub(super) const QUEUE: &str = "with recursive clock (now) as materialized (select {now}), active as materialized (
        select r.pipeline, r.backfill, r.kind from clock cross join runs r indexed by runs_unfinished
        where r.state in ('queued', 'running') and r.owner is not null
            and (r.state = 'running' or r.leased_until > clock.now)
    ), busy as materialized (
        select pipeline, count(*) as runs from active where kind <> 'child' group by pipeline
    ), pipelines (pipeline) as (
        select min(pipeline) from runs indexed by runs_queue
        where state = 'queued' and enqueued and backfill is null
        union all
        select (select min(r.pipeline) from runs r indexed by runs_queue
            where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline > p.pipeline)
        from pipelines p where p.pipeline is not null
    ), candidates as (
        select c.id, c.pipeline, c.kind, c.max_active, c.created as made, 0 as turn, 1 as place, 1 as room
        from pipelines p cross join json_each((select json_group_array(hex(f.id)) from (
            select r.id from runs r cross join clock
            where r.state = 'queued' and r.enqueued and r.backfill is null and r.pipeline = p.pipeline
                and ($1 is null or $1 in (with recursive up (parent_run, backfill) as (
                    select u.parent_run, u.backfill from runs u where u.id = r.parent_run
                    union all
                    select u.parent_run, u.backfill from up join runs u on u.id = up.parent_run
                ) select backfill from up))
                and (r.leased_until is null or r.leased_until <= clock.now)
            order by r.id limit $2) f)) j cross join runs c on c.id = unhex(j.value)
        union all
        select c.id, c.pipeline, c.kind, c.max_active, b.created, iif(b.backwards, -1, 1) * c.interval_start,
            row_number() over (partition by b.id order by iif(b.backwards, -1, 1) * c.interval_start, c.id),
            b.max_active - (select count(*) from active a where a.backfill = b.id)
        from backfills b cross join json_each((select json_group_array(hex(f.id)) from (
            select * from (select r.id from runs r indexed by runs_queue_backfill cross join clock
            where r.state = 'queued' and r.enqueued and r.backfill is not null and r.backfill = b.id
                and (r.leased_until is null or r.leased_until <= clock.now) and not b.backwards
            order by r.interval_start, r.id limit $2)
            union all
            select * from (select r.id from runs r indexed by runs_queue_backfill cross join clock
            where r.state = 'queued' and r.enqueued and r.backfill is not null and r.backfill = b.id
                and (r.leased_until is null or r.leased_until <= clock.now) and b.backwards
            order by r.interval_start desc, r.id desc limit $2)) f)) j cross join runs c on c.id = unhex(j.value)
        where b.state = 'running' and ($1 is null or b.id = $1)
    ), placed as (
        select c.id, c.max_active, c.made, c.turn, coalesce(b.runs, 0) + count(*) filter (where c.kind <> 'child')
            over (partition by c.pipeline order by c.made, c.turn, c.id) as place
        from candidates c left join busy b on b.pipeline = c.pipeline where c.place <= c.room
    )
    select id from placed where max_active is null or place <= max_active order by place, made, turn, id limit $2";

pub(super) const LOST: &str = "select r.id from runs r join daemons d on d.name = r.owner
        cross join (select {now} as now) as clock
    where r.state in ('queued', 'running')
        and (r.state = 'running' or not r.enqueued or r.leased_until > clock.now)
        and (r.leased_until is null or d.alive_until is null or d.name in (select value from json_each($1))
            or (r.leased_until <= clock.now and d.alive_until <= clock.now))
    order by r.id limit $2";

/// Gives the runs whose identities stand in `$3` to `$1` for `$2` microseconds.
pub(super) const GIVE: &str =
    "update runs set owner = $1, fence = fence + 1, leased_until = {now} + $2
    where id in (select unhex(value) from json_each($3)) returning id, fence";

/// How many other runs of a run's pipeline are under way.
pub(super) const OTHERS: &str = "select count(*) from runs r
    cross join runs o indexed by runs_unfinished cross join (select {now} as now) as clock
    where r.id = $1 and o.pipeline = r.pipeline and o.id <> r.id and o.kind <> 'child'
        and o.state in ('queued', 'running') and o.owner is not null
        and (o.state = 'running' or o.leased_until > clock.now)
        and o.owner not in (select value from json_each($2))";

pub(super) const FOREGROUND: &str =
    "select r.id, r.owner, r.leased_until is null or r.leased_until <= clock.now
    from runs r cross join (select {now} as now) as clock
    where r.state in ('queued', 'running') and r.owner is not null
        and (r.state = 'running' or not r.enqueued or r.leased_until > clock.now)
        and not exists (select 1 from daemons d where d.name = r.owner)
    order by r.id";

pub(super) const REQUEUE: &str = "update runs set was_state = state, was_ended = ended, was_error = error, was_backfill = backfill,
        was_version = version, version = iif($3 = 'anew', coalesce($4, version), version), state = 'queued', ended = null, error = null, owner = null, leased_until = null,
        fence = fence + 1, requeued = $3, enqueued = 1, backfill = coalesce($2,
            (select b.id from backfills b where b.id = runs.backfill and b.state = 'running'))
    where id = $1 and state in ('success', 'failed', 'cancelled')";

/// The runs for which a condition on `$1` holds and that nobody works on are stopped.
pub(super) const STOP: &str =
    "update runs set state = 'cancelled', ended = $2, requeued = null, cancelling = 0,
        leased_until = null, fence = fence + 1
    where {} and state = 'queued' and (leased_until is null or leased_until <= {now})
        and (requeued is null or was_state is null) returning id";

/// Those that were to be done again are what they were.
pub(super) const RESTORE: &str =
    "update runs set state = was_state, ended = was_ended, error = was_error, backfill = was_backfill,
        version = coalesce(was_version, version),
        requeued = null, cancelling = 0, leased_until = null, fence = fence + 1
    where {} and state = 'queued' and (leased_until is null or leased_until <= {now})
        and requeued is not null and was_state is not null returning id";

pub(super) const STOPPED: &str = "insert into events (run, number, happened, kind, element, data)
    select n.run, coalesce((select max(e.number) from events e where e.run = n.run), 0) + 1, $2, 'run', -1,
        json_object('state', n.state, 'error', n.error)
    from (select r.id as run, r.state, r.error from json_each($1) j cross join runs r on r.id = unhex(j.value)) n";

pub(super) const ASK: &str =
    "update runs set cancelling = 1 where {} and state in ('queued', 'running')";
