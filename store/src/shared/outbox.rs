//! The outbox.

/// Implements [`Outbox`](pipectl_engine::store::Outbox).
macro_rules! outbox {
    ($store:ident, $values:ident, $sql:ident) => {
        const _: () = {
            use std::{collections::BTreeMap, time::Duration};

            use pipectl_engine::{
                id::RunId,
                store::{MailState, NewMail, Outbox, PendingMail, StoreError, UNCONFIGURED_KEPT},
                time::Timestamp,
            };
            use sqlx::Error;
            use uuid::Uuid;

            use $crate::{
                batch::json,
                error::failed,
                mails::{mail_counts, settlement},
                rows::{MailRow, records},
            };

            fn reading(error: Error) -> StoreError {
                failed("read the outbox", error)
            }

            fn writing(error: Error) -> StoreError {
                failed("write the outbox", error)
            }

            #[async_trait::async_trait]
            impl Outbox for $store {
                async fn take_due(
                    &self,
                    now: Timestamp,
                    lease: Duration,
                    limit: u32,
                ) -> Result<Vec<PendingMail>, StoreError> {
                    let mut writer = self.writer().await.map_err(reading)?;
                    let expire = sqlx::query($sql::EXPIRE)
                        .bind($values::moment(now))
                        .bind($values::moment(now - UNCONFIGURED_KEPT));
                    expire.execute(writer.as_mut()).await.map_err(reading)?;
                    let taken = sqlx::query_as::<_, MailRow>($sql::TAKE_DUE)
                        .bind($values::moment(now))
                        .bind($values::moment(now + lease))
                        .bind(i64::from(limit))
                        .fetch_all(writer.as_mut())
                        .await;
                    let mut taken: Vec<PendingMail> = records(taken.map_err(reading)?)?;
                    // `returning` keeps no order.
                    taken.sort_by_key(|pending| (pending.mail.created, pending.mail.id));
                    Ok(taken)
                }

                async fn post(&self, mail: &NewMail) -> Result<(), StoreError> {
                    let insert = sqlx::query($sql::POST)
                        .bind(mail.id)
                        .bind(mail.run.map(RunId::uuid))
                        .bind(mail.kind.name())
                        .bind(json(&mail.to))
                        .bind(json(&mail.content))
                        .bind($values::moment(mail.created));
                    let mut writer = self.writer().await.map_err(writing)?;
                    let inserted = insert.execute(writer.as_mut()).await;
                    inserted.map(drop).map_err(writing)
                }

                async fn settle(
                    &self,
                    mail: Uuid,
                    state: &MailState,
                    now: Timestamp,
                ) -> Result<(), StoreError> {
                    let (name, due, error, tried) = settlement(state, now);
                    let update = sqlx::query($sql::SETTLE)
                        .bind(mail)
                        .bind(name)
                        .bind(due.map($values::moment))
                        .bind(error)
                        .bind(tried)
                        .bind($values::moment(now));
                    let mut writer = self.writer().await.map_err(writing)?;
                    let updated = update.execute(writer.as_mut()).await.map_err(writing)?;
                    if updated.rows_affected() > 0 {
                        return Ok(());
                    }
                    let known = sqlx::query($sql::KNOWN)
                        .bind(mail)
                        .fetch_optional(writer.as_mut())
                        .await;
                    known
                        .map_err(writing)?
                        .map(drop)
                        .ok_or_else(|| StoreError::NotFound(format!("mail {mail}")))
                }

                async fn counts(&self) -> Result<BTreeMap<String, u64>, StoreError> {
                    let counts = sqlx::query_as::<_, (String, i64)>($sql::COUNTS);
                    let counts = counts.fetch_all(self.reader()).await.map_err(reading)?;
                    Ok(mail_counts(counts))
                }
            }
        };
    };
}

pub(crate) use outbox;
