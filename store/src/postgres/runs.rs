//! The history's runs on Postgres.

use pipectl_engine::store::{RunWrite, StoreError, WriteOutcome};

use super::{PostgresStore, values};

pub(super) const SELECT_RUN: &str = "select r.id, r.pipeline, r.version, r.kind, r.trigger_key,
    r.trigger_data::text as trigger_data, r.params::text as params, pipectl.micros(r.interval_start) as interval_start,
    pipectl.micros(r.interval_end) as interval_end, r.parent_run, r.parent_task, r.parent_element,
    pipectl.micros(r.created) as created, r.state, pipectl.micros(r.started) as started,
    pipectl.micros(r.ended) as ended, r.error, r.outputs::text as outputs, r.owner, r.fence, r.redo,
    coalesce((select max(number) from pipectl.events e where e.run = r.id), 0) as last_event,
    r.enqueued, r.max_active, r.backfill, r.requeued, r.cancelling
    from pipectl.runs r";

crate::shared::runs!(PostgresStore, values, sql);

impl PostgresStore {
    pub(super) async fn commit_all(
        &self,
        writes: &[RunWrite],
    ) -> Result<Vec<WriteOutcome>, StoreError> {
        match self.write(writes).await {
            Err(error) => Err(self.explained("write the history", error).await),
            written => written,
        }
    }
}

pub(super) mod sql {
    pub(super) use super::SELECT_RUN;

    /// The parameters of a listing.
    pub(super) const LISTING: [&str; 4] = ["$1::text", "$2::text", "$3::uuid", "$4::bigint"];

    pub(super) const SELECT_TASKS: &str = "select task, element, t.state, t.attempt, t.tries, t.losses, pipectl.micros(t.started) as started,
    pipectl.micros(t.ended) as ended, t.note, t.elements, t.error::text as error, t.wait::text as wait,
    pipectl.micros(t.retry_at) as retry_at, s.settings::text as settings, o.output::text as output
    from (select * from pipectl.tasks where run = $1) t
    full join (select task, element, settings from pipectl.task_settings where run = $1) s using (task, element)
    full join (select task, element, output from pipectl.task_outputs where run = $1) o using (task, element)
    order by task collate \"C\", element";

    /// Of a pipeline's versions the one that was put last is never pruned.
    /// It is later than all others, also within one tick of the clock, or when that was set back.
    pub(super) const PUT_VERSION: &str = "insert into pipectl.pipeline_versions as v (hash, pipeline, path, source, kept)
        values ($1, $2, $3, $4, greatest(now(),
            (select max(kept) + interval '1 microsecond' from pipectl.pipeline_versions where pipeline = $2)))
        on conflict (hash) do update set kept = excluded.kept where exists (
            select 1 from pipectl.pipeline_versions n where n.pipeline = v.pipeline and n.kept >= v.kept and n.hash <> v.hash)";

    pub(super) const VERSION: &str =
        "select hash, pipeline, path, source from pipectl.pipeline_versions where hash = $1";

    pub(in super::super) const CLAIM: &str = "update pipectl.runs set fence = fence + 1, owner = $2, leased_until = now() + $3
        where id = $1 and (leased_until is null or leased_until <= now() or owner = $2)
            and (state <> 'queued' or not enqueued or coalesce(leased_until > now(), true)) returning fence";

    pub(super) const KNOWN: &str = "select 1 from pipectl.runs where id = $1";

    pub(super) const RENEW: &str = "update pipectl.runs set leased_until = now() + $2
        where owner = $1 and leased_until is not null
            and (state = 'running' or state = 'queued' and (not enqueued or leased_until > now()))";

    pub(super) const RELEASE: &str =
        "update pipectl.runs set leased_until = null where id = $1 and fence = $2";

    pub(super) const ATTEMPTS: &str =
        "select task, element, number, state, pipectl.micros(started) as started,
        pipectl.micros(ended) as ended, error::text as error from pipectl.attempts a where run = $1
        order by a.started, task collate \"C\", element, number";

    pub(super) const EVENTS: &str = "select number, pipectl.micros(happened) as happened, kind, task, element, data::text as data
        from pipectl.events where run = $1 and number > $2 order by number limit $3";

    pub(super) const SUCCESSES: &str = "select r.id as run, pipectl.micros(t.ended) as ended, o.output::text as output from pipectl.runs r
        join pipectl.tasks t on t.run = r.id and t.task = $2 and t.element = $3 and t.state = 'success'
        left join pipectl.task_outputs o on o.run = r.id and o.task = $2 and o.element = $3
        where r.pipeline = $1 and t.ended is not null order by r.id desc limit $4";

    pub(super) const CACHED: &str = "select run, pipectl.micros(written) as written, output::text as output from pipectl.task_outputs
        where output ->> 'cache' = $1 order by written desc limit 1";

    pub(super) const WARNINGS: &str =
        "select run, sum(json_array_length(output -> 'warnings'))::bigint
        from pipectl.task_outputs where run = any($1) group by run
        having sum(json_array_length(output -> 'warnings')) > 0";

    pub(super) const PREVIOUS_STATE: &str =
        "select state from pipectl.runs where pipeline = $1 and id <> $2 and ended is not null
        and state in ('success', 'failed', 'cancelled') order by ended desc, id desc limit 1";

    pub(super) const CHECKPOINT: &str =
        "select value::text from pipectl.checkpoints where run = $1 and task = $2 and element = $3";

    pub(super) const PUT_CHECKPOINT: &str = "with fenced as (select id from pipectl.runs where id = $1 and fence = $2 for share)
        insert into pipectl.checkpoints (run, task, element, value) select id, $3, $4, $5::text::json from fenced
        on conflict (run, task, element) do update set value = excluded.value";

    pub(super) const STATE: &str = "select state::text from pipectl.task_states where pipeline = $1 and task = $2 and element = $3";
}
