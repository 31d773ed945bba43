//! The history's runs in SQLite.

use pipectl_engine::store::{RunWrite, StoreError, WriteOutcome};

use super::{SqliteStore, values};

pub(super) const SELECT_RUN: &str = "select r.id, r.pipeline, r.version, r.kind, r.trigger_key,
    r.trigger_data, r.params, r.interval_start,
    r.interval_end, r.parent_run, r.parent_task, r.parent_element,
    r.created, r.state, r.started,
    r.ended, r.error, r.outputs, r.owner, r.fence, r.redo,
    coalesce((select max(number) from events e where e.run = r.id), 0) as last_event,
    r.enqueued, r.max_active, r.backfill, r.requeued, r.cancelling
    from runs r";

crate::shared::runs!(SqliteStore, values, sql);

impl SqliteStore {
    pub(super) async fn commit_all(
        &self,
        writes: &[RunWrite],
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        let outcomes = self.write(writes).await?;
        if crate::batch::ends_a_run(writes) {
            self.changed.notify_waiters();
        }
        Ok(outcomes)
    }
}

pub(super) mod sql {
    pub(super) use super::SELECT_RUN;

    /// The parameters of a listing.
    pub(super) const LISTING: [&str; 4] = ["$1", "$2", "$3", "$4"];

    pub(super) const SELECT_TASKS: &str = "select task, element, t.state, t.attempt, t.tries, t.losses, t.started,
    t.ended, t.note, t.elements, t.error, t.wait,
    t.retry_at, s.settings, o.output
    from (select * from tasks where run = $1) t
    full join (select task, element, settings from task_settings where run = $1) s using (task, element)
    full join (select task, element, output from task_outputs where run = $1) o using (task, element)
    order by task, element";

    /// Of a pipeline's versions the one that was put last is never pruned.
    /// It is later than all others, also within one tick of the clock, or when that was set back.
    pub(super) const PUT_VERSION: &str =
        "insert into pipeline_versions (hash, pipeline, path, source, kept)
        values ($1, $2, $3, $4, max(cast(unixepoch('subsec') * 1000000 as integer),
            coalesce((select max(kept) + 1 from pipeline_versions where pipeline = $2), 0)))
        on conflict (hash) do update set kept = excluded.kept where exists (
            select 1 from pipeline_versions n where n.pipeline = pipeline_versions.pipeline
                and n.kept >= pipeline_versions.kept and n.hash <> pipeline_versions.hash)";

    pub(super) const VERSION: &str =
        "select hash, pipeline, path, source from pipeline_versions where hash = $1";

    pub(in super::super) const CLAIM: &str = "update runs set fence = fence + 1, owner = $2, leased_until = clock.now + $3
        from (select cast(unixepoch('subsec') * 1000000 as integer) as now) as clock
        where id = $1 and (leased_until is null or leased_until <= clock.now or owner = $2)
            and (state <> 'queued' or not enqueued or coalesce(leased_until > clock.now, 1)) returning fence";

    pub(super) const KNOWN: &str = "select 1 from runs where id = $1";

    pub(super) const RENEW: &str =
        "update runs set leased_until = clock.now + $2
        from (select cast(unixepoch('subsec') * 1000000 as integer) as now) as clock
        where owner = $1 and leased_until is not null
            and (state = 'running' or state = 'queued' and (not enqueued or leased_until > clock.now))";

    pub(super) const RELEASE: &str =
        "update runs set leased_until = null where id = $1 and fence = $2";

    pub(super) const ATTEMPTS: &str = "select task, element, number, state, started,
        ended, error from attempts a where run = $1
        order by a.started, task, element, number";

    pub(super) const EVENTS: &str = "select number, happened, kind, task, element, data
        from events where run = $1 and number > $2 order by number limit $3";

    pub(super) const SUCCESSES: &str = "select r.id as run, t.ended, o.output from runs r
        join tasks t on t.run = r.id and t.task = $2 and t.element = $3 and t.state = 'success'
        left join task_outputs o on o.run = r.id and o.task = $2 and o.element = $3
        where r.pipeline = $1 and t.ended is not null order by r.id desc limit $4";

    pub(super) const CACHED: &str = "select run, written, output from task_outputs
        where output ->> 'cache' = $1 order by written desc limit 1";

    pub(super) const WARNINGS: &str = "select o.run, sum(json_array_length(o.output, '$.warnings')) as warnings
        from json_each($1) j cross join task_outputs o on o.run = unhex(j.value) group by o.run having warnings > 0";

    pub(super) const PREVIOUS_STATE: &str =
        "select state from runs where pipeline = $1 and id <> $2 and ended is not null
        and state in ('success', 'failed', 'cancelled') order by ended desc, id desc limit 1";

    pub(super) const CHECKPOINT: &str =
        "select value from checkpoints where run = $1 and task = $2 and element = $3";

    pub(super) const PUT_CHECKPOINT: &str = "insert into checkpoints (run, task, element, value)
        select id, $3, $4, $5 from runs where id = $1 and fence = $2
        on conflict (run, task, element) do update set value = excluded.value";

    pub(super) const STATE: &str =
        "select state from task_states where pipeline = $1 and task = $2 and element = $3";
}
