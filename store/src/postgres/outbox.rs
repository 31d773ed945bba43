//! The outbox on Postgres.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use pipectl_engine::{
    id::RunId,
    store::{MailState, NewMail, Outbox, PendingMail, StoreError, UNCONFIGURED_KEPT},
    time::Timestamp,
};
use uuid::Uuid;

use super::PostgresStore;
use crate::{
    batch::json,
    error::failed,
    mails::{mail_counts, settlement},
    rows::{MailRow, records},
};

#[async_trait]
impl Outbox for PostgresStore {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        let wrong = |error| failed("read the outbox", error);
        let sql = "update pipectl.outbox set state = 'expired', settled = $1
            where state = 'unconfigured' and created <= $2";
        let expire = sqlx::query(sql).bind(now).bind(now - UNCONFIGURED_KEPT);
        expire.execute(&self.pool).await.map_err(wrong)?;
        let sql = "with taken as (
                update pipectl.outbox o set due = $2 from (
                    select id from pipectl.outbox where state in ('pending', 'unconfigured') and due <= $1
                    order by created, id limit $3 for update skip locked
                ) d where o.id = d.id
                returning o.id, o.run, o.kind, o.recipients, o.content, o.created, o.attempts
            )
            select id, run, kind, recipients::text as recipients, content::text as content,
                pipectl.micros(created) as created, attempts from taken order by taken.created, id";
        let taken = sqlx::query_as::<_, MailRow>(sql)
            .bind(now)
            .bind(now + lease)
            .bind(i64::from(limit));
        records(taken.fetch_all(&self.pool).await.map_err(wrong)?)
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        let sql = "insert into pipectl.outbox (id, run, kind, recipients, content, created, state, attempts, due)
            values ($1, $2, $3, $4::text::json, $5::text::json, $6, 'pending', 0, $6) on conflict (id) do nothing";
        let insert = sqlx::query(sql)
            .bind(mail.id)
            .bind(mail.run.map(RunId::uuid))
            .bind(mail.kind.name())
            .bind(json(&mail.to))
            .bind(json(&mail.content))
            .bind(mail.created);
        insert
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| failed("write the outbox", error))
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wrong = |error| failed("write the outbox", error);
        let (name, due, error, tried) = settlement(state, now);
        let sql = "update pipectl.outbox set state = $2, due = coalesce($3, due), error = $4, attempts = attempts + $5,
            settled = $6 where id = $1 and state in ('pending', 'unconfigured')";
        let update = sqlx::query(sql)
            .bind(mail)
            .bind(name)
            .bind(due)
            .bind(error)
            .bind(tried)
            .bind(now);
        if update
            .execute(&self.pool)
            .await
            .map_err(wrong)?
            .rows_affected()
            > 0
        {
            return Ok(());
        }
        let known = sqlx::query("select 1 from pipectl.outbox where id = $1")
            .bind(mail)
            .fetch_optional(&self.pool)
            .await;
        known
            .map_err(wrong)?
            .map(drop)
            .ok_or_else(|| StoreError::NotFound(format!("mail {mail}")))
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64)>(
            "select state, count(*) from pipectl.outbox group by state",
        );
        let counts = query
            .fetch_all(&self.pool)
            .await
            .map_err(|error| failed("read the outbox", error))?;
        Ok(mail_counts(counts))
    }
}
