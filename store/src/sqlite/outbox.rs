//! The outbox in SQLite.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use pipectl_engine::{
    id::RunId,
    store::{MailState, NewMail, Outbox, PendingMail, StoreError, UNCONFIGURED_KEPT},
    time::Timestamp,
};
use uuid::Uuid;

use super::{SqliteStore, commit::micros};
use crate::{
    batch::json,
    error::failed,
    mails::{mail_counts, settlement},
    rows::{MailRow, records},
};

#[async_trait]
impl Outbox for SqliteStore {
    async fn take_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<PendingMail>, StoreError> {
        let wrong = |error| failed("read the outbox", error);
        let mut writer = self.writer().await.map_err(wrong)?;
        let sql = "update outbox set state = 'expired', settled = $1 where state = 'unconfigured' and created <= $2";
        let expire = sqlx::query(sql)
            .bind(micros(now))
            .bind(micros(now - UNCONFIGURED_KEPT));
        expire
            .execute(&mut writer.connection)
            .await
            .map_err(wrong)?;
        let sql = "update outbox set due = $2 where id in (
                select id from outbox where state in ('pending', 'unconfigured') and due <= $1
                order by created, id limit $3)
            returning id, run, kind, recipients, content, created, attempts";
        let taken = sqlx::query_as::<_, MailRow>(sql)
            .bind(micros(now))
            .bind(micros(now + lease))
            .bind(i64::from(limit))
            .fetch_all(&mut writer.connection)
            .await;
        let mut taken: Vec<PendingMail> = records(taken.map_err(wrong)?)?;
        // `returning` keeps no order.
        taken.sort_by_key(|pending| (pending.mail.created, pending.mail.id));
        Ok(taken)
    }

    async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
        let wrong = |error| failed("write the outbox", error);
        let sql =
            "insert into outbox (id, run, kind, recipients, content, created, state, attempts, due)
            values ($1, $2, $3, $4, $5, $6, 'pending', 0, $6) on conflict (id) do nothing";
        let mut writer = self.writer().await.map_err(wrong)?;
        let insert = sqlx::query(sql)
            .bind(mail.id)
            .bind(mail.run.map(RunId::uuid))
            .bind(mail.kind.name())
            .bind(json(&mail.to))
            .bind(json(&mail.content))
            .bind(micros(mail.created));
        insert
            .execute(&mut writer.connection)
            .await
            .map(drop)
            .map_err(wrong)
    }

    async fn settle(
        &self,
        mail: Uuid,
        state: &MailState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let wrong = |error| failed("write the outbox", error);
        let (name, due, error, tried) = settlement(state, now);
        let mut writer = self.writer().await.map_err(wrong)?;
        let sql = "update outbox set state = $2, due = coalesce($3, due), error = $4, attempts = attempts + $5,
            settled = $6 where id = $1 and state in ('pending', 'unconfigured')";
        let update = sqlx::query(sql)
            .bind(mail)
            .bind(name)
            .bind(due.map(micros))
            .bind(error)
            .bind(tried)
            .bind(micros(now));
        if update
            .execute(&mut writer.connection)
            .await
            .map_err(wrong)?
            .rows_affected()
            > 0
        {
            return Ok(());
        }
        let known = sqlx::query("select 1 from outbox where id = $1")
            .bind(mail)
            .fetch_optional(&mut writer.connection)
            .await;
        known
            .map_err(wrong)?
            .map(drop)
            .ok_or_else(|| StoreError::NotFound(format!("mail {mail}")))
    }

    async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let query =
            sqlx::query_as::<_, (String, i64)>("select state, count(*) from outbox group by state");
        let counts = query
            .fetch_all(&self.readers)
            .await
            .map_err(|error| failed("read the outbox", error))?;
        Ok(mail_counts(counts))
    }
}
