//! Makes the changes of many writes durable in one transaction.

use std::collections::BTreeMap;

use pipectl_engine::store::{
    CHAMPION, Contender, NO_RUN, RegisterModel, RunWrite, StoreError, Verdict, WriteOutcome,
    promotion,
};
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{SqliteStore, Writing, statement::Script, tables::add, values::moment};
use crate::{
    batch::{self, Batch, Slot, Step, element, finite, outcomes},
    error::{failed, writing},
    rows::maybe_json,
};

impl SqliteStore {
    pub(super) async fn write(&self, writes: &[RunWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let (batch, slots) = Batch::of(writes);
        if batch.fences.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.writer().await.map_err(writing)?;
        let answer = transact(&mut connection, &batch).await;
        if answer.is_err() {
            connection.clean().await.map_err(writing)?;
        }
        let good = answer?;
        Ok(outcomes(slots, &good))
    }
}

/// Does the whole batch, and gives the slots whose token holds.
async fn transact(writer: &mut Writing, batch: &Batch<'_>) -> Result<Vec<Slot>, StoreError> {
    let mut script = Script::default();
    script.begin(batch);
    script.slots();
    writer.open = true;
    let single = match batch.steps.as_slice() {
        [] => true,
        [Step::Rows(rows)] => {
            add(&mut script, rows);
            true
        }
        _ => false,
    };
    if single {
        script.commit();
    }
    let good = script
        .execute(&mut writer.connection)
        .await
        .map_err(writing)?;
    if !single {
        for step in &batch.steps {
            take(&mut writer.connection, batch, &good, step).await?;
        }
        writer.commit().await.map_err(writing)?;
    }
    writer.open = false;
    Ok(good)
}

async fn take(
    connection: &mut SqliteConnection,
    batch: &Batch<'_>,
    good: &[Slot],
    step: &Step<'_>,
) -> Result<(), StoreError> {
    let run = |slot: &Slot| batch.run(*slot).filter(|_| good.contains(slot));
    match step {
        Step::Rows(rows) => {
            let mut script = Script::default();
            add(&mut script, rows);
            script.execute(connection).await.map_err(writing)?;
        }
        Step::Reset(slot, task) => {
            if let Some(run) = run(slot) {
                reset(connection, run, task).await.map_err(writing)?;
            }
        }
        Step::Register(slot, model) => {
            if let Some(run) = run(slot) {
                register(connection, run, model).await?;
            }
        }
    }
    Ok(())
}

async fn reset(
    connection: &mut SqliteConnection,
    run: Uuid,
    task: &str,
) -> Result<(), sqlx::Error> {
    for sql in [
        "update tasks set state = 'none', tries = 0, losses = 0, started = null, ended = null, note = null, elements = null,
            error = null, wait = null, retry_at = null where run = $1 and task = $2",
        "delete from task_outputs where run = $1 and task = $2",
        "delete from checkpoints where run = $1 and task = $2",
        "update models set reservation = null where run = $1 and task = $2 and registered is not null",
    ] {
        sqlx::query(sql).bind(run).bind(task).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Registers a version, and decides whether it becomes champion.
pub(super) async fn register(
    connection: &mut SqliteConnection,
    run: Uuid,
    model: &RegisterModel,
) -> Result<(), StoreError> {
    let wrong = |error| failed("register the model", error);
    let sql = "select m.metrics, m.card from model_aliases a join models m on m.name = a.name and m.version = a.version
        where a.name = $1 and a.alias = $2";
    let champion: Option<(Option<String>, Option<String>)> = sqlx::query_as(sql)
        .bind(&model.name)
        .bind(CHAMPION)
        .fetch_optional(&mut *connection)
        .await
        .map_err(wrong)?;
    let (metrics, card) = champion.unwrap_or_default();
    let metrics: Option<BTreeMap<String, f64>> = maybe_json(metrics.as_deref())?;
    let card: Option<Value> = maybe_json(card.as_deref())?;
    let card = card.unwrap_or_default();
    let champion = metrics.as_ref().map(|metrics| Contender {
        metrics,
        card: &card,
    });
    let sql = "select 1 from models where name = $1 and version = $2 and registered is not null";
    let known = sqlx::query(sql)
        .bind(&model.name)
        .bind(i64::from(model.version))
        .fetch_optional(&mut *connection)
        .await
        .map_err(wrong)?
        .is_some();
    let sql = "insert into models
            (name, version, run, task, element, reservation, registered, artifact, digest, bytes, metrics, card)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict (name, version) do update set registered = excluded.registered, artifact = excluded.artifact,
            digest = excluded.digest, bytes = excluded.bytes, metrics = excluded.metrics, card = excluded.card";
    let insert = sqlx::query(sql)
        .bind(&model.name)
        .bind(i64::from(model.version))
        .bind(run)
        .bind(&model.key.task)
        .bind(element(model.key.element))
        // What no run has made nobody has reserved.
        .bind((run != NO_RUN.uuid()).then(|| batch::reservation(run, &model.key)))
        .bind(moment(model.created))
        .bind(&model.artifact)
        .bind(&model.digest)
        .bind(i64::try_from(model.bytes).unwrap_or(i64::MAX))
        .bind(batch::json(&finite(&model.metrics)))
        .bind(batch::json(&model.card));
    insert.execute(&mut *connection).await.map_err(wrong)?;
    // What is written twice is decided once: somebody may have been promoted since.
    if known {
        return Ok(());
    }
    match promotion(&model.promote, model.contender(), champion) {
        Verdict::Champion(note) => {
            let alias = (model.name.as_str(), CHAMPION);
            let version = i64::from(model.version);
            super::models::point(connection, alias, version, &note, model.created)
                .await
                .map_err(wrong)?;
        }
        verdict => {
            if let Some(note) = verdict.note(model.version) {
                let alias = (model.name.as_str(), CHAMPION);
                super::models::remember(connection, alias, &note, model.created)
                    .await
                    .map_err(wrong)?;
            }
        }
    }
    Ok(())
}
