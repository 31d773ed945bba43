//! The memory of triggers in SQLite.

use super::{SqliteStore, values};

crate::shared::triggers!(SqliteStore, values, sql);

mod sql {
    pub(super) use crate::sqlite::{backfills::SELECT as SELECT_BACKFILL, runs::SELECT_RUN};

    pub(super) const SCHEDULES: &str =
        "select pipeline, cursor, paused from schedules order by pipeline";

    /// The update changes nothing: it makes a row that is there come back.
    pub(super) const SCHEDULE: &str = "insert into schedules (pipeline, cursor, paused) values ($1, $2, 0)
        on conflict (pipeline) do update set cursor = schedules.cursor returning pipeline, cursor, paused";

    pub(super) const ADVANCE: &str = "insert into schedules (pipeline, cursor, paused) values ($1, $2, 0)
        on conflict (pipeline) do update set cursor = excluded.cursor where schedules.cursor < excluded.cursor";

    pub(super) const PAUSE: &str = "insert into schedules (pipeline, cursor, paused) values ($1, $2, $3)
        on conflict (pipeline) do update set paused = excluded.paused,
            cursor = case when schedules.paused and not excluded.paused then max(schedules.cursor, excluded.cursor)
                else schedules.cursor end";

    pub(super) const SUCCESSES_SINCE: &str = "where r.id in (
            select unhex(j.value) from (select distinct value as pipeline from json_each($1)) p
            cross join json_each((select json_group_array(hex(f.id)) from (
                select c.id from runs c where c.pipeline = p.pipeline and c.state = 'success' and c.ended >= $2
                    and (c.ended, c.id) > ($2, $4)
                order by c.ended, c.id limit $3) f)) j
        ) order by r.ended, r.id limit $3";

    pub(super) const SUCCESS_OF: &str = "select id from runs
        where pipeline = $1 and interval_start = $2 and interval_end = $3 and state = 'success'
        order by id desc limit 1";

    /// The update changes nothing: it makes a row that is there come back.
    pub(super) const SENSOR: &str =
        "insert into sensors (pipeline, task, since, failures) values ($1, $2, $3, 0)
        on conflict (pipeline, task) do update set since = sensors.since";

    pub(super) const SENSOR_COLUMNS: &str = "pipeline, task, since, looked, failures, error";

    pub(super) const SENSORS: &str = "from sensors order by pipeline, task";

    pub(super) const LOOKED: &str =
        "insert into sensors (pipeline, task, since, looked, failures, error)
        values ($1, $2, $3, case when $4 is null then $3 end, case when $4 is null then 0 else 1 end, $4)
        on conflict (pipeline, task) do update set error = excluded.error,
            looked = case when excluded.error is null or sensors.looked is not null then $3 end,
            failures = case when excluded.error is null then 0 else sensors.failures + 1 end
        returning failures";

    pub(super) const UNSEEN: &str = "select n.key from json_each($3) n where not exists (
            select 1 from things t where t.pipeline = $1 and t.task = $2 and t.key = n.value
        ) order by n.key";

    pub(super) const THING_COLUMNS: &str =
        "t.identity, t.name, t.details, t.size, t.modified, t.state, t.seen, t.run";

    pub(super) const TO_SETTLE: &str = "from things t join runs r on r.id = t.run
        where t.pipeline = $1 and t.task = $2 and t.state = 'taken' and r.state = 'success'
        order by t.seen, t.key limit $3";

    pub(super) const SETTLED: &str = "update things set state = 'settled'
        where pipeline = $1 and task = $2 and key = $3 and state = 'taken'";

    pub(super) const NEWEST_THINGS: &str = "from things t where t.pipeline = $1 and t.task = $2
        order by t.seen desc, t.key desc limit $3";
}
