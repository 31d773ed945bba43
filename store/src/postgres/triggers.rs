//! The memory of triggers on Postgres.

use super::{PostgresStore, values};

crate::shared::triggers!(PostgresStore, values, sql);

mod sql {
    pub(super) use crate::postgres::{backfills::SELECT as SELECT_BACKFILL, runs::SELECT_RUN};

    pub(super) const SCHEDULES: &str = "select pipeline, pipectl.micros(cursor), paused from pipectl.schedules order by pipeline collate \"C\"";

    pub(super) const SCHEDULE: &str = "with new as (
            insert into pipectl.schedules (pipeline, cursor, paused) values ($1, $2, false)
            on conflict do nothing returning pipeline, cursor, paused
        )
        select pipeline, pipectl.micros(cursor), paused from new
        union all select pipeline, pipectl.micros(cursor), paused from pipectl.schedules where pipeline = $1";

    pub(super) const ADVANCE: &str = "insert into pipectl.schedules as s (pipeline, cursor, paused) values ($1, $2, false)
        on conflict (pipeline) do update set cursor = excluded.cursor where s.cursor < excluded.cursor";

    pub(super) const PAUSE: &str = "insert into pipectl.schedules as s (pipeline, cursor, paused) values ($1, $2, $3)
        on conflict (pipeline) do update set paused = excluded.paused,
            cursor = case when s.paused and not excluded.paused then greatest(s.cursor, excluded.cursor)
                else s.cursor end";

    pub(super) const SUCCESSES_SINCE: &str = "join (
            select s.id from (select distinct unnest($1::text[]) as pipeline) p cross join lateral (
                select id, ended from pipectl.runs
                where pipeline = p.pipeline and state = 'success' and ended >= $2 and (ended, id) > ($2, $4) order by ended, id limit $3
            ) s order by s.ended, s.id limit $3
        ) s on s.id = r.id order by r.ended, r.id";

    pub(super) const SUCCESS_OF: &str = "select id from pipectl.runs
        where pipeline = $1 and interval_start = $2 and interval_end = $3 and state = 'success'
        order by id desc limit 1";

    /// The update changes nothing: it makes a row that is there come back.
    pub(super) const SENSOR: &str =
        "insert into pipectl.sensors as s (pipeline, task, since, failures) values ($1, $2, $3, 0)
        on conflict (pipeline, task) do update set since = s.since";

    pub(super) const SENSOR_COLUMNS: &str = "pipeline, task, pipectl.micros(since) as since, pipectl.micros(looked) as looked, failures, error";

    pub(super) const SENSORS: &str =
        "from pipectl.sensors s order by pipeline collate \"C\", task collate \"C\"";

    pub(super) const LOOKED: &str =
        "insert into pipectl.sensors as s (pipeline, task, since, looked, failures, error)
        values ($1, $2, $3, case when $4::text is null then $3 end, case when $4::text is null then 0 else 1 end, $4)
        on conflict (pipeline, task) do update set error = excluded.error,
            looked = case when excluded.error is null or s.looked is not null then $3 end,
            failures = case when excluded.error is null then 0 else s.failures + 1 end
        returning failures";

    pub(super) const UNSEEN: &str =
        "select n.place - 1 from unnest($3::text[]) with ordinality as n (key, place) where not exists (
            select 1 from pipectl.things t where t.pipeline = $1 and t.task = $2 and t.key = n.key
        ) order by n.place";

    pub(super) const THING_COLUMNS: &str = "t.identity, t.name, t.details::text as details, t.size,
        pipectl.micros(t.modified) as modified, t.state, pipectl.micros(t.seen) as seen, t.run";

    pub(super) const TO_SETTLE: &str = "from pipectl.things t join pipectl.runs r on r.id = t.run
        where t.pipeline = $1 and t.task = $2 and t.state = 'taken' and r.state = 'success'
        order by t.seen, t.key collate \"C\" limit $3";

    pub(super) const SETTLED: &str = "update pipectl.things set state = 'settled'
        where pipeline = $1 and task = $2 and key = $3 and state = 'taken'";

    pub(super) const NEWEST_THINGS: &str =
        "from pipectl.things t where t.pipeline = $1 and t.task = $2
        order by t.seen desc, t.key collate \"C\" desc limit $3";
}
