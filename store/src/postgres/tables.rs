//! The part of a commit's statement for each table: rows as columns, each an array.

use indexmap::IndexMap;
use pipectl_engine::{
    id::{RunId, TaskKey},
    plan::AlertKind,
};

use super::{create::column, statement::Statement};
use crate::batch::{Batch, Output, Rows, Slot, element, json, output_json, text};

/// The statement that writes `rows` of `batch`.
pub(super) fn statement(batch: &Batch<'_>, rows: &Rows<'_>) -> Statement {
    let mut statement = Statement::new(batch);
    runs(&mut statement, rows);
    tasks(&mut statement, rows);
    settings(&mut statement, rows);
    attempts(&mut statement, rows);
    outputs(&mut statement, rows);
    states(&mut statement, rows);
    events(&mut statement, rows);
    mails(&mut statement, rows);
    statement
}

fn runs(statement: &mut Statement, Rows { runs, .. }: &Rows<'_>) {
    if runs.is_empty() {
        return;
    }
    let update = "update pipectl.runs r set state = c.state, started = coalesce(c.started, r.started),
            ended = case when c.keep_ended then coalesce(c.ended, r.ended) else c.ended end,
            error = case when c.keep_error then coalesce(c.error, r.error) else c.error end,
            outputs = coalesce(c.outputs::json, r.outputs), redo = coalesce(c.redo, r.redo),
            requeued = case when c.keep_requeued then r.requeued end, cancelling = c.keep_cancelling and r.cancelling
        from unnest($?::int[], $?::text[], $?::timestamptz[], $?::timestamptz[], $?::bool[], $?::text[], $?::bool[],
            $?::text[], $?::bigint[], $?::bool[], $?::bool[])
            as c (slot, state, started, ended, keep_ended, error, keep_error, outputs, redo, keep_requeued,
                keep_cancelling)
        join fenced f using (slot) where r.id = f.run";
    statement
        .part("write_runs", update)
        .bind(column!(runs, (slot, _) => *slot))
        .bind(column!(runs, (_, row) => row.state.name()))
        .bind(column!(runs, (_, row) => row.started))
        .bind(column!(runs, (_, row) => row.ended))
        .bind(column!(runs, (_, row) => row.keep_ended))
        .bind(column!(runs, (_, row) => row.error.map(text)))
        .bind(column!(runs, (_, row) => row.keep_error))
        .bind(column!(runs, (_, row) => row.outputs.map(json)))
        .bind(column!(runs, (_, row) => row.redo.map(i64::from)))
        .bind(column!(runs, (_, row) => row.keep_requeued))
        .bind(column!(runs, (_, row) => row.keep_cancelling));
    if runs.values().any(|row| row.state.is_final()) {
        statement.tell();
    }
}

fn tasks(statement: &mut Statement, Rows { tasks, .. }: &Rows<'_>) {
    if tasks.is_empty() {
        return;
    }
    let insert = "insert into pipectl.tasks
            (run, task, element, state, attempt, tries, losses, started, ended, note, elements, error, wait, retry_at)
        select f.run, t.task, t.element, t.state, t.attempt, t.tries, t.losses, t.started, t.ended, t.note, t.elements,
            t.error::json, t.wait::json, t.retry_at
        from unnest($?::int[], $?::text[], $?::bigint[], $?::text[], $?::bigint[], $?::bigint[], $?::bigint[],
            $?::timestamptz[], $?::timestamptz[], $?::text[], $?::bigint[], $?::text[], $?::text[], $?::timestamptz[])
            as t (slot, task, element, state, attempt, tries, losses, started, ended, note, elements, error, wait, retry_at)
        join fenced f using (slot)
        on conflict (run, task, element) do update set state = excluded.state, attempt = excluded.attempt,
            tries = excluded.tries, losses = excluded.losses, started = excluded.started, ended = excluded.ended, note = excluded.note,
            elements = excluded.elements, error = excluded.error, wait = excluded.wait, retry_at = excluded.retry_at";
    statement
        .part("write_tasks", insert)
        .bind(column!(tasks, ((slot, ..), _) => *slot))
        .bind(column!(tasks, ((_, task, _), _) => *task))
        .bind(column!(tasks, ((.., element), _) => *element))
        .bind(column!(tasks, (_, task) => task.state.name()))
        .bind(column!(tasks, (_, task) => i64::from(task.attempt)))
        .bind(column!(tasks, (_, task) => i64::from(task.tries)))
        .bind(column!(tasks, (_, task) => i64::from(task.losses)))
        .bind(column!(tasks, (_, task) => task.started))
        .bind(column!(tasks, (_, task) => task.ended))
        .bind(column!(tasks, (_, task) => task.note.as_deref().map(text)))
        .bind(column!(tasks, (_, task) => task.elements.map(i64::from)))
        .bind(column!(tasks, (_, task) => task.error.as_ref().map(json)))
        .bind(column!(tasks, (_, task) => task.wait.as_ref().map(json)))
        .bind(column!(tasks, (_, task) => task.retry_at));
}

fn settings(statement: &mut Statement, Rows { settings, .. }: &Rows<'_>) {
    if settings.is_empty() {
        return;
    }
    let insert = "insert into pipectl.task_settings (run, task, element, settings)
        select f.run, t.task, t.element, t.settings::json
        from unnest($?::int[], $?::text[], $?::bigint[], $?::text[]) as t (slot, task, element, settings)
        join fenced f using (slot) on conflict (run, task, element) do update set settings = excluded.settings";
    statement
        .part("write_settings", insert)
        .bind(column!(settings, ((slot, _), _) => *slot))
        .bind(column!(settings, ((_, key), _) => key.task.as_str()))
        .bind(column!(settings, ((_, key), _) => element(key.element)))
        .bind(column!(settings, (_, settings) => json(settings)));
}

fn attempts(statement: &mut Statement, Rows { attempts, .. }: &Rows<'_>) {
    if attempts.is_empty() {
        return;
    }
    let insert = "insert into pipectl.attempts (run, task, element, number, state, started, ended, error)
        select f.run, t.task, t.element, t.number, t.state, t.started, t.ended, t.error::json
        from unnest($?::int[], $?::text[], $?::bigint[], $?::bigint[], $?::text[], $?::timestamptz[],
            $?::timestamptz[], $?::text[]) as t (slot, task, element, number, state, started, ended, error)
        join fenced f using (slot) on conflict (run, task, element, number)
        do update set state = excluded.state, started = excluded.started, ended = excluded.ended, error = excluded.error";
    statement
        .part("write_attempts", insert)
        .bind(column!(attempts, ((slot, ..), _) => *slot))
        .bind(column!(attempts, ((_, key, _), _) => key.task.as_str()))
        .bind(column!(attempts, ((_, key, _), _) => element(key.element)))
        .bind(column!(attempts, ((.., number), _) => i64::from(*number)))
        .bind(column!(attempts, (_, attempt) => attempt.state.name()))
        .bind(column!(attempts, (_, attempt) => attempt.started))
        .bind(column!(attempts, (_, attempt) => attempt.ended))
        .bind(column!(attempts, (_, attempt) => attempt.error.as_ref().map(json)));
}

fn outputs(statement: &mut Statement, Rows { outputs, .. }: &Rows<'_>) {
    if outputs.is_empty() {
        return;
    }
    let insert = "insert into pipectl.task_outputs (run, task, element, attempt, written, output)
        select f.run, t.task, t.element, t.attempt, t.written, t.output::json
        from unnest($?::int[], $?::text[], $?::bigint[], $?::bigint[], $?::timestamptz[], $?::text[])
            as t (slot, task, element, attempt, written, output)
        join fenced f using (slot) on conflict (run, task, element)
        do update set attempt = excluded.attempt, written = excluded.written, output = excluded.output";
    statement
        .part("write_outputs", insert)
        .bind(column!(outputs, ((slot, _), _) => *slot))
        .bind(column!(outputs, ((_, key), _) => key.task.as_str()))
        .bind(column!(outputs, ((_, key), _) => element(key.element)))
        .bind(column!(outputs, (_, output) => i64::from(output.attempt)))
        .bind(column!(outputs, (_, output) => output.at))
        .bind(column!(outputs, (_, output) => output_json(output.record)));
    metrics(statement, outputs);
    artifacts(statement, outputs);
    datasets(statement, outputs);
}

type Outputs<'a> = IndexMap<(Slot, &'a TaskKey), Output<'a>>;

/// Binds the columns that name the task and attempt of each piece of an output.
macro_rules! bind_pieces {
    ($statement:expr, $pieces:expr) => {
        $statement
            .bind(column!($pieces, ((slot, _), _, _) => *slot))
            .bind(column!($pieces, ((_, key), _, _) => key.task.as_str()))
            .bind(column!($pieces, ((_, key), _, _) => element(key.element)))
            .bind(column!($pieces, (_, output, _) => i64::from(output.attempt)))
    };
}

fn metrics(statement: &mut Statement, outputs: &Outputs<'_>) {
    let pieces = outputs.iter().flat_map(|(key, output)| {
        output
            .record
            .metrics
            .iter()
            .map(move |piece| (key, output, piece))
    });
    let pieces: Vec<_> = pieces
        .filter(|(.., (_, value))| value.is_finite())
        .collect();
    if pieces.is_empty() {
        return;
    }
    let insert = "insert into pipectl.metrics (run, task, element, attempt, name, value)
        select f.run, t.task, t.element, t.attempt, t.name, t.value
        from unnest($?::int[], $?::text[], $?::bigint[], $?::bigint[], $?::text[], $?::double precision[])
            as t (slot, task, element, attempt, name, value)
        join fenced f using (slot) on conflict (run, task, element, attempt, name) do update set value = excluded.value";
    bind_pieces!(statement.part("write_metrics", insert), pieces)
        .bind(column!(pieces, (.., (name, _)) => text(name)))
        .bind(column!(pieces, (.., (_, value)) => **value));
}

fn artifacts(statement: &mut Statement, outputs: &Outputs<'_>) {
    let pieces = outputs.iter().flat_map(|(key, output)| {
        output
            .record
            .artifacts
            .iter()
            .map(move |piece| (key, output, piece))
    });
    let pieces: Vec<_> = pieces.collect();
    if pieces.is_empty() {
        return;
    }
    let insert = "insert into pipectl.artifacts (run, task, element, attempt, name, key, media_type, bytes, path)
        select f.run, t.task, t.element, t.attempt, t.name, t.key, t.media_type, t.bytes, t.path
        from unnest($?::int[], $?::text[], $?::bigint[], $?::bigint[], $?::text[], $?::text[], $?::text[],
            $?::bigint[], $?::text[]) as t (slot, task, element, attempt, name, key, media_type, bytes, path)
        join fenced f using (slot) on conflict (run, task, element, attempt, name)
        do update set key = excluded.key, media_type = excluded.media_type, bytes = excluded.bytes, path = excluded.path";
    bind_pieces!(statement.part("write_artifacts", insert), pieces)
        .bind(column!(pieces, (.., artifact) => text(&artifact.name)))
        .bind(column!(pieces, (.., artifact) => artifact.key.as_str()))
        .bind(column!(pieces, (.., artifact) => artifact.media_type.as_str()))
        .bind(column!(pieces, (.., artifact) => i64::try_from(artifact.bytes).unwrap_or(i64::MAX)))
        .bind(column!(pieces, (.., artifact) => artifact.path.as_deref().map(text)));
}

fn datasets(statement: &mut Statement, outputs: &Outputs<'_>) {
    let pieces = outputs.iter().flat_map(|(key, output)| {
        output
            .record
            .datasets
            .iter()
            .map(move |piece| (key, output, piece))
    });
    let pieces: Vec<_> = pieces.collect();
    if pieces.is_empty() {
        return;
    }
    let insert = "insert into pipectl.datasets
            (run, task, element, attempt, name, key, rows, bytes, columns, fingerprint)
        select f.run, t.task, t.element, t.attempt, t.name, t.key, t.rows, t.bytes, t.columns::json, t.fingerprint
        from unnest($?::int[], $?::text[], $?::bigint[], $?::bigint[], $?::text[], $?::text[], $?::bigint[],
            $?::bigint[], $?::text[], $?::text[])
            as t (slot, task, element, attempt, name, key, rows, bytes, columns, fingerprint)
        join fenced f using (slot) on conflict (run, task, element, attempt, name)
        do update set key = excluded.key, rows = excluded.rows, bytes = excluded.bytes, columns = excluded.columns,
            fingerprint = excluded.fingerprint";
    bind_pieces!(statement.part("write_datasets", insert), pieces)
        .bind(column!(pieces, (.., dataset) => text(&dataset.name)))
        .bind(column!(pieces, (.., dataset) => dataset.key.as_str()))
        .bind(column!(pieces, (.., dataset) => i64::try_from(dataset.rows).unwrap_or(i64::MAX)))
        .bind(column!(pieces, (.., dataset) => i64::try_from(dataset.bytes).unwrap_or(i64::MAX)))
        .bind(column!(pieces, (.., dataset) => json(&dataset.columns)))
        .bind(column!(pieces, (.., dataset) => dataset.fingerprint.as_str()));
}

fn states(statement: &mut Statement, Rows { states, .. }: &Rows<'_>) {
    if states.is_empty() {
        return;
    }
    // Several runs of a pipeline may have left a state of one task; one statement must not write a row twice.
    let insert = "insert into pipectl.task_states (pipeline, task, element, state)
        select distinct on (r.pipeline, t.task, t.element) r.pipeline, t.task, t.element, t.state::json
        from unnest($?::int[], $?::text[], $?::bigint[], $?::text[]) with ordinality
            as t (slot, task, element, state, place)
        join fenced f using (slot) join pipectl.runs r on r.id = f.run
        order by r.pipeline, t.task, t.element, t.place desc
        on conflict (pipeline, task, element) do update set state = excluded.state";
    statement
        .part("write_states", insert)
        .bind(column!(states, ((slot, _), _) => *slot))
        .bind(column!(states, ((_, key), _) => key.task.as_str()))
        .bind(column!(states, ((_, key), _) => element(key.element)))
        .bind(column!(states, (_, state) => json(state)));
}

fn events(statement: &mut Statement, Rows { events, .. }: &Rows<'_>) {
    if events.is_empty() {
        return;
    }
    let insert = "insert into pipectl.events (run, number, happened, kind, task, element, data)
        select f.run, t.number, t.happened, t.kind, t.task, t.element, t.data::json
        from unnest($?::int[], $?::bigint[], $?::timestamptz[], $?::text[], $?::text[], $?::bigint[], $?::text[])
            as t (slot, number, happened, kind, task, element, data)
        join fenced f using (slot) on conflict (run, number) do update set happened = excluded.happened,
            kind = excluded.kind, task = excluded.task, element = excluded.element, data = excluded.data";
    statement
        .part("write_events", insert)
        .bind(column!(events, ((slot, _), _) => *slot))
        .bind(column!(events, ((_, number), _) => i64::try_from(*number).unwrap_or(i64::MAX)))
        .bind(column!(events, (_, event) => event.at))
        .bind(column!(events, (_, event) => event.kind.as_str()))
        .bind(column!(events, (_, event) => event.key.as_ref().map(|key| key.task.as_str())))
        .bind(
            column!(events, (_, event) => element(event.key.as_ref().and_then(|key| key.element))),
        )
        .bind(column!(events, (_, event) => json(&event.data)));
}

fn mails(statement: &mut Statement, Rows { mails, .. }: &Rows<'_>) {
    if mails.is_empty() {
        return;
    }
    let insert = "insert into pipectl.outbox (id, run, kind, recipients, content, created, state, attempts, due)
        select t.id, t.run, t.kind, t.recipients::json, t.content::json, t.created, 'pending', 0, t.created
        from unnest($?::int[], $?::uuid[], $?::uuid[], $?::text[], $?::text[], $?::text[], $?::timestamptz[])
            as t (slot, id, run, kind, recipients, content, created)
        join fenced f using (slot) on conflict (id) do nothing";
    statement
        .part("write_mails", insert)
        .bind(column!(mails, ((slot, _), _) => *slot))
        .bind(column!(mails, ((_, id), _) => *id))
        .bind(column!(mails, (_, mail) => mail.run.map(RunId::uuid)))
        .bind(column!(mails, (_, mail) => AlertKind::name(mail.kind)))
        .bind(column!(mails, (_, mail) => json(&mail.to)))
        .bind(column!(mails, (_, mail) => json(&mail.content)))
        .bind(column!(mails, (_, mail) => mail.created));
}
