//! The registered models.

/// Implements [`ModelRegistry`](pipectl_engine::store::ModelRegistry). Versions and aliases the store gives itself.
macro_rules! models {
    ($store:ident, $sql:ident) => {
        const _: () = {
            use pipectl_engine::{
                id::{RunId, TaskKey},
                store::{AliasChange, ImportedModel, ModelRegistry, ModelVersion, StoreError},
                time::Timestamp,
            };
            use sqlx::AssertSqlSafe;

            use $crate::{
                error::failed,
                model_rows::{AliasChangeRow, ModelRow},
                rows::records,
            };

            fn reading(error: sqlx::Error) -> StoreError {
                failed("read the registered models", error)
            }

            #[async_trait::async_trait]
            impl ModelRegistry for $store {
                async fn reserve_version(
                    &self,
                    name: &str,
                    run: RunId,
                    key: &TaskKey,
                ) -> Result<u32, StoreError> {
                    self.reserve(name, run, key).await
                }

                async fn models(&self) -> Result<Vec<String>, StoreError> {
                    let names = sqlx::query_scalar($sql::NAMES).fetch_all(self.reader());
                    names.await.map_err(reading)
                }

                async fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, StoreError> {
                    let sql = format!("{} order by m.version desc", $sql::SELECT);
                    let query = sqlx::query_as::<_, ModelRow>(AssertSqlSafe(sql)).bind(name);
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn model(
                    &self,
                    name: &str,
                    version: u32,
                ) -> Result<Option<ModelVersion>, StoreError> {
                    let sql = format!("{} and m.version = $2", $sql::SELECT);
                    let row = sqlx::query_as::<_, ModelRow>(AssertSqlSafe(sql))
                        .bind(name)
                        .bind(i64::from(version))
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?.map(TryInto::try_into).transpose()
                }

                async fn aliased(
                    &self,
                    name: &str,
                    alias: &str,
                ) -> Result<Option<ModelVersion>, StoreError> {
                    let sql = format!("{} and m.version = ({})", $sql::SELECT, $sql::ALIASED);
                    let row = sqlx::query_as::<_, ModelRow>(AssertSqlSafe(sql))
                        .bind(name)
                        .bind(alias)
                        .fetch_optional(self.reader())
                        .await;
                    row.map_err(reading)?.map(TryInto::try_into).transpose()
                }

                async fn set_alias(
                    &self,
                    name: &str,
                    alias: &str,
                    version: u32,
                    note: &str,
                    now: Timestamp,
                ) -> Result<(), StoreError> {
                    self.point_to((name, alias), version, note, now).await
                }

                async fn remove_alias(
                    &self,
                    name: &str,
                    alias: &str,
                    note: &str,
                    now: Timestamp,
                ) -> Result<bool, StoreError> {
                    self.remove((name, alias), note, now).await
                }

                async fn alias_changes(
                    &self,
                    name: &str,
                    limit: u32,
                ) -> Result<Vec<AliasChange>, StoreError> {
                    let query = sqlx::query_as::<_, AliasChangeRow>($sql::ALIAS_CHANGES)
                        .bind(name)
                        .bind(i64::from(limit));
                    records(query.fetch_all(self.reader()).await.map_err(reading)?)
                }

                async fn import_model(&self, model: &ImportedModel) -> Result<u32, StoreError> {
                    self.import(model).await
                }
            }
        };
    };
}

pub(crate) use models;
