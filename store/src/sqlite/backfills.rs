//! Backfills in SQLite.

use pipectl_engine::{
    id::RunId,
    store::{Backfill, BackfillState, NewRun, Redo, StoreError},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    SqliteStore, Writing,
    create::insert,
    queue::{requeue, stop},
    values::moment,
};
use crate::{error::writing, rows::name_of};

pub(super) const SELECT: &str = "select b.id, b.pipeline, b.first, b.past,
    b.max_active, b.reprocess, b.backwards, b.cascades, b.state, b.created,
    (select count(*) from runs r where r.backfill = b.id and r.state = 'queued') as queued,
    (select count(*) from runs r where r.backfill = b.id and r.state = 'running') as running,
    (select count(*) from runs r where r.backfill = b.id and r.state = 'success') as success,
    (select count(*) from runs r where r.backfill = b.id and r.state = 'failed') as failed,
    (select count(*) from runs r where r.backfill = b.id and r.state = 'cancelled') as cancelled
    from backfills b";

impl SqliteStore {
    pub(super) async fn insert_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
        version: &str,
    ) -> Result<(), sqlx::Error> {
        let mut writer = self.writer().await?;
        let inserted = insert_backfill(&mut writer, backfill, runs, again, version).await;
        writer.end(inserted).await?;
        self.changed.notify_waiters();
        Ok(())
    }

    pub(super) async fn change_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer().await.map_err(writing)?;
        let changed = change(&mut writer, id, state, now).await;
        let known = writer.end(changed).await.map_err(writing)?;
        self.changed.notify_waiters();
        known
            .then_some(())
            .ok_or_else(|| StoreError::NotFound(format!("backfill {id}")))
    }
}

async fn insert_backfill(
    writer: &mut Writing,
    backfill: &Backfill,
    runs: &[NewRun],
    again: &[(RunId, Redo)],
    version: &str,
) -> Result<(), sqlx::Error> {
    let connection = writer.begin().await?;
    let sql =
        "insert into backfills (id, pipeline, first, past, max_active, reprocess, state, created,
            backwards, cascades) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing";
    let new = sqlx::query(sql)
        .bind(backfill.id)
        .bind(&backfill.pipeline)
        .bind(moment(backfill.from))
        .bind(moment(backfill.to))
        .bind(backfill.max_active)
        .bind(name_of(&backfill.reprocess))
        .bind(name_of(&backfill.state))
        .bind(moment(backfill.created))
        .bind(backfill.backwards)
        .bind(backfill.cascade);
    if new.execute(&mut *connection).await?.rows_affected() > 0 {
        insert(connection, &runs.iter().collect::<Vec<_>>()).await?;
        requeue(connection, again, Some(backfill.id), Some(version)).await?;
    }
    Ok(())
}

/// Says how a backfill stands, and whether it is known.
async fn change(
    writer: &mut Writing,
    id: Uuid,
    state: BackfillState,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let connection = writer.begin().await?;
    let sql = "update backfills set state = $2 where id = $1";
    let update = sqlx::query(sql).bind(id).bind(name_of(&state));
    let known = update.execute(&mut *connection).await?.rows_affected() > 0;
    if state == BackfillState::Cancelled {
        stop(connection, "backfill = $1", id, now).await?;
    }
    Ok(known)
}
