//! Backfills on Postgres.

use pipectl_engine::{
    id::RunId,
    store::{Backfill, BackfillState, NewRun, Redo, StoreError},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    PostgresStore,
    create::insert,
    queue::{cancel, requeue},
};
use crate::{error::writing, rows::name_of};

pub(super) const SELECT: &str = "select b.id, b.pipeline, pipectl.micros(b.first) as first, pipectl.micros(b.past) as past,
    b.max_active, b.reprocess, b.backwards, b.cascades, b.state, pipectl.micros(b.created) as created, p.*
    from pipectl.backfills b cross join lateral (
        select count(*) filter (where r.state = 'queued') as queued, count(*) filter (where r.state = 'running') as running,
            count(*) filter (where r.state = 'success') as success, count(*) filter (where r.state = 'failed') as failed,
            count(*) filter (where r.state = 'cancelled') as cancelled
        from pipectl.runs r where r.backfill = b.id
    ) p";

impl PostgresStore {
    pub(super) async fn insert_backfill(
        &self,
        backfill: &Backfill,
        runs: &[NewRun],
        again: &[(RunId, Redo)],
        version: &str,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let sql = "insert into pipectl.backfills (id, pipeline, first, past, max_active, reprocess, state, created,
                backwards, cascades) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing";
        let new = sqlx::query(sql)
            .bind(backfill.id)
            .bind(&backfill.pipeline)
            .bind(backfill.from)
            .bind(backfill.to)
            .bind(i64::from(backfill.max_active))
            .bind(name_of(&backfill.reprocess))
            .bind(name_of(&backfill.state))
            .bind(backfill.created)
            .bind(backfill.backwards)
            .bind(backfill.cascade)
            .execute(&mut *transaction);
        if new.await?.rows_affected() > 0 {
            insert(&mut transaction, &runs.iter().collect::<Vec<_>>()).await?;
            requeue(&mut *transaction, again, Some(backfill.id), Some(version)).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn change_backfill(
        &self,
        id: Uuid,
        state: BackfillState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        let sql = "update pipectl.backfills set state = $2 where id = $1 returning pipectl.tell()";
        let known = sqlx::query(sql)
            .bind(id)
            .bind(name_of(&state))
            .fetch_optional(&mut *transaction);
        let known = known.await.map_err(writing)?;
        known.ok_or_else(|| StoreError::NotFound(format!("backfill {id}")))?;
        if state == BackfillState::Cancelled {
            cancel(&mut *transaction, "r.backfill = $1", id, now)
                .await
                .map_err(writing)?;
        }
        transaction.commit().await.map_err(writing)
    }
}
