//! The promises of a store, kept by SQLite and by Postgres.

#![allow(clippy::unwrap_used, reason = "a test")]

use pipectl_engine::{each_store_promise, store::conformance};

macro_rules! databases {
    ($($module:ident::$promise:ident),* $(,)?) => {
        mod sqlite {
            use super::conformance;

            $(#[tokio::test]
            async fn $promise() {
                let directory = tempfile::tempdir().unwrap();
                let store = pipectl_store::open(None, directory.path()).await.unwrap();
                conformance::$module::$promise(&*store).await;
            })*
        }

        mod postgres {
            use pipectl_engine::secret::Secret;
            use pipectl_test_support::TestPostgres;

            use super::conformance;

            $(#[tokio::test]
            async fn $promise() {
                let address = Secret::new(TestPostgres::shared().database());
                let store = pipectl_store::open(Some(&address), "/nowhere".as_ref()).await.unwrap();
                conformance::$module::$promise(&*store).await;
            })*
        }
    };
}
each_store_promise!(databases);
