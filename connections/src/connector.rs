//! Pools of database connections, opened once and shared by all attempts of a process.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use pipectl_engine::{
    connection::Connection,
    operator::{TaskError, connection_of},
    project::Project,
};
use sqlx::{
    ConnectOptions, Connection as _, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    bucket::Bucket,
    failure::database_error,
    http::{HttpClient, Turns},
    mlflow::Mlflow,
    object::{is_object_store, object_place},
    odbc::{OdbcDatabase, OdbcManager},
    pattern::Pattern,
    place::described,
};

/// How long a server may take to answer the first connection.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// How long an attempt waits for a connection that others use.
const FREE_CONNECTION: Duration = Duration::from_secs(60);
/// How long a writer waits for another one on the same SQLite file.
const LOCKED_FILE: Duration = Duration::from_secs(30);

/// An open database.
#[derive(Clone, Debug)]
pub enum Database {
    /// PostgreSQL.
    Postgres(PgPool),
    /// A SQLite file.
    Sqlite(SqlitePool),
    /// What a driver of ODBC speaks to.
    Odbc(OdbcDatabase),
}

/// Keeps one pool for each connection. Put one into the [`Services`](pipectl_engine::services::Services).
#[derive(Debug, Default)]
pub struct Connector {
    /// Each is opened by the first who asks for it; meanwhile others open theirs.
    pools: Mutex<HashMap<String, Arc<OnceCell<Database>>>>,
    buckets: Mutex<HashMap<String, Bucket>>,
    apis: Mutex<HashMap<String, HttpClient>>,
    /// What speaks to drivers of ODBC, in a build that has it.
    odbc: Option<Arc<dyn OdbcManager>>,
    /// Who shares rate limits with other processes.
    turns: Option<Turns>,
    /// The patterns that sensors look for again and again.
    patterns: Mutex<HashMap<String, Arc<Pattern>>>,
}

/// How many patterns are remembered.
const PATTERNS: usize = 10_000;

/// How many clients of APIs are kept open.
const APIS: usize = 1_000;

impl Connector {
    /// The database behind a connection, opened at the first call.
    ///
    /// # Errors
    /// When the address is none of a database, or the server does not let us in.
    pub async fn database(
        &self,
        project: &Project,
        connection: &Connection,
    ) -> Result<Database, TaskError> {
        // The key holds the address, and so a secret: it never leaves this map.
        let key = format!(
            "{} {} {:?}",
            connection.name,
            connection.url.expose(),
            connection.settings
        );
        let pool = Arc::clone(self.pools.lock().await.entry(key).or_default());
        let database = pool
            .get_or_try_init(|| self.open(project, connection))
            .await?;
        Ok(database.clone())
    }

    async fn open(
        &self,
        project: &Project,
        connection: &Connection,
    ) -> Result<Database, TaskError> {
        match connection.scheme().as_str() {
            "postgres" | "postgresql" => postgres(project, connection).await,
            "sqlite" => sqlite(project, connection).await,
            "odbc" => Ok(Database::Odbc(
                OdbcDatabase::open(self.odbc.as_ref(), connection).await?,
            )),
            other => Err(TaskError::user(no_database(&connection.name, other)).hint(DATABASES)),
        }
    }

    /// The bucket or directory behind a connection, opened at the first call. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no such connection, its address is none of a bucket or a directory, or there are no keys.
    pub async fn bucket(&self, project: &Project, name: &str) -> Result<Bucket, TaskError> {
        let connection = connection_of(project, name)?;
        let address = connection.url.expose();
        // The key holds the address, and so perhaps a secret: it never leaves this map.
        let key = format!(
            "{name} {address} {:?} {}",
            connection.settings,
            project.root.display()
        );
        let mut buckets = self.buckets.lock().await;
        if let Some(bucket) = buckets.get(&key) {
            return Ok(bucket.clone());
        }
        let bucket = open_bucket(project, connection)?;
        buckets.insert(key, bucket.clone());
        Ok(bucket)
    }

    /// The bucket at an address like `s3://bucket?region=name`, with keys from the environment. Nothing is sent yet.
    ///
    /// # Errors
    /// When the address cannot be read, or there are no keys.
    pub async fn bucket_at(&self, project: &Project, address: &str) -> Result<Bucket, TaskError> {
        let key = format!("{address} {}", project.root.display());
        let mut buckets = self.buckets.lock().await;
        if let Some(bucket) = buckets.get(&key) {
            return Ok(bucket.clone());
        }
        let name = address.split('?').next().unwrap_or(address);
        let bucket = Bucket::objects(name, object_place(address, None, &project.env)?);
        buckets.insert(key, bucket.clone());
        Ok(bucket)
    }

    /// The same, sharing the rate limits of APIs with other processes.
    #[must_use]
    pub fn with_turns(mut self, turns: Turns) -> Self {
        self.turns = Some(turns);
        self
    }

    /// The same, with what speaks to drivers of ODBC.
    #[must_use]
    pub fn with_odbc(mut self, manager: Arc<dyn OdbcManager>) -> Self {
        self.odbc = Some(manager);
        self
    }

    /// The client of the API behind a connection, made at the first call. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no such connection, its address is none of an API, or its settings do not go together.
    pub async fn api(&self, project: &Project, name: &str) -> Result<HttpClient, TaskError> {
        self.api_behind(project, connection_of(project, name)?)
            .await
    }

    /// The project's MLflow server; `None` when it has none. Nothing is sent yet.
    ///
    /// # Errors
    /// When the settings beside its address do not go together.
    pub async fn mlflow(&self, project: &Project) -> Result<Option<Mlflow>, TaskError> {
        let Some(connection) = &project.mlflow else {
            return Ok(None);
        };
        let client = self.api_behind(project, connection).await?;
        Ok(Some(Mlflow::new(client)))
    }

    async fn api_behind(
        &self,
        project: &Project,
        connection: &Connection,
    ) -> Result<HttpClient, TaskError> {
        let key = format!(
            "{} {} {:?}",
            connection.name,
            connection.url.expose(),
            connection.settings
        );
        let mut apis = self.apis.lock().await;
        if let Some(client) = apis.get(&key) {
            return Ok(client.clone());
        }
        let client = HttpClient::of(project, connection, self.turns.clone())?;
        apis.insert(key, client.clone());
        Ok(client)
    }

    /// The client of an API that a pipeline names by its address.
    ///
    /// # Errors
    /// When the address is none of an API.
    pub async fn api_at(&self, address: &str) -> Result<HttpClient, TaskError> {
        let mut apis = self.apis.lock().await;
        if let Some(client) = apis.get(address) {
            return Ok(client.clone());
        }
        let client = HttpClient::plain(address)?;
        if apis.len() >= APIS {
            apis.clear();
        }
        apis.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// A pattern of a sensor, read at the first call.
    pub(crate) async fn pattern(
        &self,
        bucket: &Bucket,
        text: &str,
    ) -> Result<Arc<Pattern>, TaskError> {
        let mut patterns = self.patterns.lock().await;
        if let Some(pattern) = patterns.get(text) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(bucket.pattern(text)?);
        if patterns.len() >= PATTERNS {
            patterns.clear();
        }
        patterns.insert(text.to_owned(), Arc::clone(&pattern));
        Ok(pattern)
    }

    /// Closes all pools, so that nothing is left open when the process ends.
    pub async fn close(&self) {
        let pools: Vec<_> = self.pools.lock().await.drain().collect();
        for (_, pool) in pools {
            match pool.get() {
                Some(Database::Postgres(pool)) => pool.close().await,
                Some(Database::Sqlite(pool)) => pool.close().await,
                // Each piece of work has a session of its own.
                Some(Database::Odbc(_)) | None => {}
            }
        }
    }
}

/// Whether addresses of this scheme are those of databases.
pub fn is_database(scheme: &str) -> bool {
    matches!(scheme, "postgres" | "postgresql" | "sqlite" | "odbc")
}

/// What is said of a connection that is no database.
pub fn no_database(name: &str, scheme: &str) -> String {
    format!("connection `{name}` is no database: its address begins with `{scheme}:`")
}

/// What databases there are.
pub const DATABASES: &str = "databases are `postgres://user:password@host/database`, `sqlite:path/to/file.db` and `odbc:Driver={…};Server=…`";

/// The directory behind a connection, when it is one that is used like a bucket.
pub fn local_directory(project: &Project, name: &str) -> Option<PathBuf> {
    let address = project.connections.get(name)?.url.expose();
    let path = address.strip_prefix("file:")?;
    Some(project.path(path.strip_prefix("//").unwrap_or(path)))
}

fn open_bucket(project: &Project, connection: &Connection) -> Result<Bucket, TaskError> {
    let (name, address) = (&connection.name, connection.url.expose());
    if is_object_store(address) {
        let authority = connection.settings.get("ca_file");
        let authority = authority.map(|file| project.path(file));
        let place = object_place(address, authority.as_deref(), &project.env)?;
        return Ok(Bucket::objects(name, place));
    }
    if let Some(root) = local_directory(project, name) {
        return Ok(Bucket::directory(name, root));
    }
    Err(TaskError::user(format!(
        "connection `{name}` is no bucket: its address begins with `{}:`",
        connection.scheme()
    ))
    .hint("buckets are `s3://bucket/prefix?endpoint=…&region=…`, `gs://…` and `az://…`; a directory is `file:path`"))
}

fn number<T: FromStr>(connection: &Connection, setting: &str) -> Result<Option<T>, TaskError> {
    let wrong = |_| {
        TaskError::user(format!(
            "`{setting}` of connection `{}` is no number",
            connection.name
        ))
    };
    connection
        .settings
        .get(setting)
        .map(|text| text.parse().map_err(wrong))
        .transpose()
}

async fn postgres(project: &Project, connection: &Connection) -> Result<Database, TaskError> {
    let reach = format!("reach {}", described(connection));
    let mut options = PgConnectOptions::from_str(connection.url.expose())
        .map_err(|error| {
            database_error(&format!("read the address of `{}`", connection.name), error)
        })?
        .application_name("pipectl")
        .log_statements(tracing::log::LevelFilter::Off);
    if let Some(file) = connection.settings.get("ca_file") {
        options = options
            .ssl_root_cert(project.path(file))
            .ssl_mode(sqlx::postgres::PgSslMode::VerifyFull);
    }
    if let Some(capacity) = number(connection, "statement_cache")? {
        options = options.statement_cache_capacity(capacity);
    }
    // The pool would try a refused connection again and again until it runs out of time, and then say only that.
    let first =
        tokio::time::timeout(FIRST_CONTACT, sqlx::PgConnection::connect_with(&options)).await;
    let first = first.unwrap_or_else(|_| {
        Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            "no answer within 10 s",
        )))
    });
    first
        .map_err(|error| database_error(&reach, error))?
        .close()
        .await
        .map_err(|error| database_error(&reach, error))?;
    let pool = PgPoolOptions::new()
        .max_connections(number(connection, "max_connections")?.unwrap_or(8))
        .acquire_timeout(FREE_CONNECTION)
        .idle_timeout(Duration::from_secs(60))
        .connect_lazy_with(options);
    Ok(Database::Postgres(pool))
}

async fn sqlite(project: &Project, connection: &Connection) -> Result<Database, TaskError> {
    let open = format!("open {}", described(connection));
    let mut options = SqliteConnectOptions::from_str(connection.url.expose()).map_err(|error| {
        database_error(&format!("read the address of `{}`", connection.name), error)
    })?;
    let in_memory = connection.url.expose().contains(":memory:")
        || connection.url.expose().contains("mode=memory");
    let path = project.path(options.get_filename());
    if !in_memory {
        options = options.filename(&path);
        if !connection.url.expose().contains("mode=") {
            options = options.create_if_missing(true);
        }
        if let Some(wrong) = prepare_directory(&path, &connection.name) {
            return Err(wrong);
        }
        // A database that others have made keeps its own way of writing.
        if !path.exists() {
            options = options.journal_mode(SqliteJournalMode::Wal);
        }
    }
    options = options
        .busy_timeout(LOCKED_FILE)
        .synchronous(SqliteSynchronous::Full)
        .log_statements(tracing::log::LevelFilter::Off);
    let pool = SqlitePoolOptions::new()
        .max_connections(number(connection, "max_connections")?.unwrap_or(4))
        .acquire_timeout(FREE_CONNECTION)
        .connect_with(options)
        .await
        .map_err(|error| database_error(&open, error))?;
    Ok(Database::Sqlite(pool))
}

fn prepare_directory(path: &Path, name: &str) -> Option<TaskError> {
    let directory = path.parent()?;
    let error = std::fs::create_dir_all(directory).err()?;
    let message = format!(
        "cannot make the directory {} for connection `{name}`",
        directory.display()
    );
    Some(TaskError::external(message).retryable(false).because(error))
}

#[cfg(test)]
mod tests {
    use pipectl_engine::operator::{Fault, testing::TestProject};

    use super::*;

    async fn open(url: &str) -> Result<Database, TaskError> {
        let project = TestProject::new().with_connection("warehouse", url);
        let context = project.context();
        Connector::default()
            .database(&context.project, context.connection("warehouse").unwrap())
            .await
    }

    #[tokio::test]
    async fn a_sqlite_file_hangs_on_the_project_and_is_opened_once() {
        let project = TestProject::new().with_connection("warehouse", "sqlite:data/deep/a.db");
        let (context, connector) = (project.context(), Connector::default());
        for _ in 0..2 {
            connector
                .database(&context.project, context.connection("warehouse").unwrap())
                .await
                .unwrap();
        }
        assert_eq!(connector.pools.lock().await.len(), 1);
        assert!(project.root().join("data/deep/a.db").exists());
        connector.close().await;
    }

    #[tokio::test]
    async fn a_database_that_does_not_answer_keeps_nobody_waiting() {
        // It takes the connection and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("postgres://me@{}/shop", silent.local_addr().unwrap());
        let project = TestProject::new()
            .with_connection("silent", &address)
            .with_connection("warehouse", "sqlite:a.db");
        let (context, connector) = (project.context(), Connector::default());
        let open = |name: &str| {
            let connection = context.connection(name).unwrap();
            connector.database(&context.project, connection)
        };
        tokio::select! {
            biased;
            _ = open("silent") => panic!("the other one was waited for"),
            opened = open("warehouse") => drop(opened.unwrap()),
        }
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_why_and_keeps_the_secret() {
        for (url, fault, message) in [
            (
                "s3://bucket",
                Fault::User,
                "connection `warehouse` is no database: its address begins with `s3:`",
            ),
            (
                "postgres://me:s3cret@127.0.0.1:1/shop",
                Fault::External,
                "cannot reach `warehouse` (127.0.0.1:1/shop)",
            ),
            (
                "sqlite:/dev/null/a.db",
                Fault::External,
                "cannot make the directory /dev/null",
            ),
        ] {
            let error = open(url).await.unwrap_err();
            assert_eq!(error.fault, fault, "{url}");
            assert!(
                error.full_message().starts_with(message),
                "{}",
                error.full_message()
            );
            assert!(
                !error.full_message().contains("s3cret"),
                "{}",
                error.full_message()
            );
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_the_users_fault() {
        let project = TestProject::new();
        project.write("a.db", "this is text, and long enough to be read as a header: 0123456789 0123456789 0123456789 0123456789");
        let project = project.with_connection("warehouse", "sqlite:a.db");
        let context = project.context();
        let error = Connector::default()
            .database(&context.project, context.connection("warehouse").unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User, "{}", error.full_message());
        assert!(
            error.full_message().contains("not a database"),
            "{}",
            error.full_message()
        );
    }

    #[tokio::test]
    async fn a_wrong_password_is_the_users_fault() {
        let server = pipectl_test_support::TestPostgres::shared();
        let error = open(&server.guarded_database("hunter2")).await.unwrap_err();
        let text = error.full_message();
        assert_eq!((error.fault, error.retryable), (Fault::User, false));
        assert!(
            text.ends_with("password authentication failed for user \"guarded\""),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(
            error.hint.as_deref(),
            Some("check user and password in the connection's address")
        );
        let right = server.guarded_database("the right one");
        assert!(open(&right).await.is_ok());
    }
}
