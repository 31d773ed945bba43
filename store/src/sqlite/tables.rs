//! The statement of a commit for each table, and the rows for it.

use indexmap::IndexMap;
use pipectl_engine::{
    id::TaskKey,
    store::{AttemptRecord, EventRecord, NewMail, TaskChange},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{statement::Script, values::moment};
use crate::batch::{self, Output, Rows, RunRow, Slot, element, output_json, text};

const RUNS: &str = "update runs set state = c.state, started = coalesce(c.started, runs.started),
        ended = iif(c.keep_ended, coalesce(c.ended, runs.ended), c.ended),
        error = iif(c.keep_error, coalesce(c.error, runs.error), c.error),
        outputs = coalesce(c.outputs, runs.outputs), redo = coalesce(c.redo, runs.redo),
        requeued = iif(c.keep_requeued, runs.requeued, null), cancelling = c.keep_cancelling and runs.cancelling
    from (select f.run, j.value ->> 1 as state, j.value ->> 2 as started, j.value ->> 3 as ended,
            j.value ->> 4 as keep_ended, j.value ->> 5 as error, j.value ->> 6 as keep_error, j.value ->> 7 as outputs,
            j.value ->> 8 as redo, j.value ->> 9 as keep_requeued, j.value ->> 10 as keep_cancelling
        from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0) as c
    where runs.id = c.run;";

const TASKS: &str = "insert into tasks
        (run, task, element, state, attempt, tries, losses, started, ended, note, elements, error, wait, retry_at)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
        j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, j.value ->> 11, j.value ->> 12, j.value ->> 13
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element) do update set state = excluded.state, attempt = excluded.attempt,
        tries = excluded.tries, losses = excluded.losses, started = excluded.started, ended = excluded.ended, note = excluded.note,
        elements = excluded.elements, error = excluded.error, wait = excluded.wait, retry_at = excluded.retry_at;";

const SETTINGS: &str = "insert into task_settings (run, task, element, settings)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element) do update set settings = excluded.settings;";

const ATTEMPTS: &str = "insert into attempts (run, task, element, number, state, started, ended, error)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
        j.value ->> 7
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element, number) do update set state = excluded.state, started = excluded.started,
        ended = excluded.ended, error = excluded.error;";

const OUTPUTS: &str = "insert into task_outputs (run, task, element, attempt, written, output)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element) do update set attempt = excluded.attempt, written = excluded.written,
        output = excluded.output;";

const METRICS: &str = "insert into metrics (run, task, element, attempt, name, value)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element, attempt, name) do update set value = excluded.value;";

const ARTIFACTS: &str = "insert into artifacts (run, task, element, attempt, name, key, media_type, bytes, path)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
        j.value ->> 7, j.value ->> 8
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element, attempt, name) do update set key = excluded.key,
        media_type = excluded.media_type, bytes = excluded.bytes, path = excluded.path;";

const DATASETS: &str = "insert into datasets
        (run, task, element, attempt, name, key, rows, bytes, columns, fingerprint)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
        j.value ->> 7, j.value ->> 8, j.value ->> 9
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, task, element, attempt, name) do update set key = excluded.key, rows = excluded.rows,
        bytes = excluded.bytes, columns = excluded.columns, fingerprint = excluded.fingerprint;";

const STATES: &str = "insert into task_states (pipeline, task, element, state)
    select r.pipeline, j.value ->> 1, j.value ->> 2, j.value ->> 3
    from json_each(?) j cross join temp.fenced f cross join runs r where f.slot = j.value ->> 0 and r.id = f.run
    on conflict (pipeline, task, element) do update set state = excluded.state;";

const EVENTS: &str = "insert into events (run, number, happened, kind, task, element, data)
    select f.run, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (run, number) do update set happened = excluded.happened, kind = excluded.kind, task = excluded.task,
        element = excluded.element, data = excluded.data;";

const MAILS: &str = "insert into outbox (id, run, kind, recipients, content, created, state, attempts, due)
    select unhex(j.value ->> 1), unhex(j.value ->> 2), j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
        'pending', 0, j.value ->> 6
    from json_each(?) j cross join temp.fenced f where f.slot = j.value ->> 0
    on conflict (id) do nothing;";

/// Adds all rows to the script. The order of the values is that of the statements above.
pub(super) fn add(script: &mut Script, rows: &Rows<'_>) {
    script.rows(RUNS, &rows.runs.iter().map(run).collect::<Vec<_>>());
    script.rows(TASKS, &rows.tasks.iter().map(task).collect::<Vec<_>>());
    let list = rows.settings.iter().map(|((slot, key), settings)| {
        json!([slot, key.task, element(key.element), batch::json(settings)])
    });
    script.rows(SETTINGS, &list.collect::<Vec<_>>());
    script.rows(
        ATTEMPTS,
        &rows.attempts.iter().map(attempt).collect::<Vec<_>>(),
    );
    add_outputs(script, &rows.outputs);
    let list = rows.states.iter().map(|((slot, key), state)| {
        json!([slot, key.task, element(key.element), batch::json(state)])
    });
    script.rows(STATES, &list.collect::<Vec<_>>());
    script.rows(EVENTS, &rows.events.iter().map(event).collect::<Vec<_>>());
    script.rows(MAILS, &rows.mails.iter().map(mail).collect::<Vec<_>>());
}

fn run((slot, row): (&Slot, &RunRow<'_>)) -> Value {
    let (started, ended) = (row.started.map(moment), row.ended.map(moment));
    let (error, outputs) = (row.error.map(text), row.outputs.map(batch::json));
    let state = row.state.name();
    json!([
        slot,
        state,
        started,
        ended,
        row.keep_ended,
        error,
        row.keep_error,
        outputs,
        row.redo,
        row.keep_requeued,
        row.keep_cancelling
    ])
}

fn task(((slot, name, element), task): (&(Slot, &str, i64), &&TaskChange)) -> Value {
    let times = [task.started, task.ended, task.retry_at].map(|time| time.map(moment));
    let [started, ended, retry_at] = times;
    let (state, note) = (task.state.name(), task.note.as_deref().map(text));
    let (error, wait) = (
        task.error.as_ref().map(batch::json),
        task.wait.as_ref().map(batch::json),
    );
    let (number, tries, losses, elements) = (task.attempt, task.tries, task.losses, task.elements);
    json!([
        slot, name, element, state, number, tries, losses, started, ended, note, elements, error,
        wait, retry_at
    ])
}

fn attempt(((slot, key, number), attempt): (&(Slot, &TaskKey, u32), &&AttemptRecord)) -> Value {
    let (started, ended) = (moment(attempt.started), attempt.ended.map(moment));
    let (state, error) = (
        attempt.state.name(),
        attempt.error.as_ref().map(batch::json),
    );
    json!([
        slot,
        key.task,
        element(key.element),
        number,
        state,
        started,
        ended,
        error
    ])
}

fn event(((slot, number), event): (&(Slot, u64), &&EventRecord)) -> Value {
    let task = event.key.as_ref().map(|key| &key.task);
    let element = element(event.key.as_ref().and_then(|key| key.element));
    json!([
        slot,
        number,
        moment(event.at),
        event.kind,
        task,
        element,
        batch::json(&event.data)
    ])
}

fn mail(((slot, id), mail): (&(Slot, Uuid), &&NewMail)) -> Value {
    let (to, content) = (batch::json(&mail.to), batch::json(&mail.content));
    let run = mail.run.map(|run| run.uuid().simple().to_string());
    let (id, kind) = (id.simple().to_string(), mail.kind.name());
    json!([slot, id, run, kind, to, content, moment(mail.created)])
}

fn add_outputs(script: &mut Script, outputs: &IndexMap<(Slot, &TaskKey), Output<'_>>) {
    let (mut whole, mut metrics, mut artifacts, mut datasets) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (
        (slot, key),
        Output {
            attempt,
            record: output,
            at,
        },
    ) in outputs
    {
        let (task, element) = (&key.task, element(key.element));
        whole.push(json!([
            slot,
            task,
            element,
            attempt,
            moment(*at),
            output_json(output)
        ]));
        for (name, value) in output.metrics.iter().filter(|(_, value)| value.is_finite()) {
            metrics.push(json!([slot, task, element, attempt, text(name), value]));
        }
        for file in &output.artifacts {
            let (name, path) = (text(&file.name), file.path.as_deref().map(text));
            artifacts.push(json!([
                slot,
                task,
                element,
                attempt,
                name,
                file.key,
                file.media_type,
                file.bytes,
                path
            ]));
        }
        for table in &output.datasets {
            let (name, columns) = (text(&table.name), batch::json(&table.columns));
            let (rows, bytes) = (table.rows, table.bytes);
            datasets.push(json!([
                slot,
                task,
                element,
                attempt,
                name,
                table.key,
                rows,
                bytes,
                columns,
                table.fingerprint
            ]));
        }
    }
    for (sql, rows) in [
        (OUTPUTS, whole),
        (METRICS, metrics),
        (ARTIFACTS, artifacts),
        (DATASETS, datasets),
    ] {
        script.rows(sql, &rows);
    }
}
