//! Files on web servers: read as one file each, never written.

use std::time::Duration;

use pipectl_connections::{Call, HttpClient, Patience};
use pipectl_engine::operator::{Complaints, TaskContext, TaskError};

use super::{Files, Location, Temporary};
use crate::support::{
    api::{self, unless_cancelled, with_caller},
    files::Found,
};

/// How long a server may send nothing, how often it is asked again, how long it may ask us to wait, and more than any
/// file has.
const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(60),
    retries: 5,
    longest_wait: Duration::from_secs(300),
    max_bytes: 1 << 40,
};

/// A file on a web server.
#[derive(Debug)]
pub(super) struct Page {
    client: HttpClient,
    call: Call,
}

impl Page {
    /// The one at a location, when that is one of a web server: an address, or what is below the connection of an API.
    ///
    /// # Errors
    /// When the address is none, or a pattern.
    pub(super) async fn of(
        context: &TaskContext,
        location: &Location,
    ) -> Result<Option<Self>, TaskError> {
        let project = &context.project;
        let name;
        let place = match location {
            Location::Web(address) => api::Place {
                connection: None,
                path: "",
                url: Some(address),
            },
            Location::Connection(connection, key) if is_web(context, connection) => {
                name = pipectl_engine::operator::ConnectionName(connection.clone());
                api::Place {
                    connection: Some(&name),
                    path: key,
                    url: None,
                }
            }
            _ => return Ok(None),
        };
        let (client, target) = place.open(project, &context.services).await?;
        if let Some(address) = pattern(place.url.unwrap_or(place.path)) {
            return Err(TaskError::user(no_pattern(address)).hint(ONE_EACH));
        }
        let call = Call::get(target);
        Ok(Some(Self { client, call }))
    }

    /// Brings it here.
    ///
    /// # Errors
    /// When there is no such file, the server cannot be reached, or the disk is full.
    pub(super) async fn fetched(&self, context: &TaskContext) -> Result<Files, TaskError> {
        let temporary = Temporary::new(context)?;
        let work = with_caller(context, async |caller| {
            let fetch = self
                .client
                .fetch(&self.call, &temporary.0, &PATIENCE, caller);
            fetch.await
        });
        let fetched = unless_cancelled(context, work).await?;
        let html = |kind: &str| kind.starts_with("text/html");
        if fetched.kind.as_deref().is_some_and(html) {
            return Err(TaskError::user(format!(
                "`{}` is a page for people (HTML), not a file",
                fetched.shown
            ))
            .hint(
                "does it ask for a login? `connection:` with an API's connection sends credentials",
            ));
        }
        let modified = fetched.modified.unwrap_or_else(|| context.clock.now());
        let found = Found {
            path: temporary.0.clone(),
            shown: fetched.shown,
            size: fetched.size,
            modified,
            unchanged: modified,
            tag: fetched.tag.unwrap_or_default(),
        };
        Ok(Files::temporary(found, temporary))
    }
}

const ONE_EACH: &str =
    "a web server does not list its files: name one, or repeat the task with `foreach:`";

fn is_web(context: &TaskContext, connection: &str) -> bool {
    let known = context.project.connections.get(connection);
    known.is_some_and(|known| matches!(&*known.scheme(), "http" | "https"))
}

/// The address, when its path is a pattern. What follows a `?` is for the server.
fn pattern(address: &str) -> Option<&str> {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.contains('*').then_some(path)
}

fn no_pattern(address: &str) -> String {
    format!("`{address}` is a pattern, and the address of a web server names one file")
}

fn is_web_address(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

/// Looks for a path that names nothing.
pub(crate) fn check_named(path: &str, found: &mut Complaints) {
    if path.trim().is_empty() {
        found.error(&["path"], "the path is empty");
    }
}

/// Looks for a path that cannot be read, as the setting `path`: an empty one, a pattern at a web server.
pub(crate) fn check_read(path: &str, found: &mut Complaints) {
    check_named(path, found);
    if is_web_address(path)
        && let Some(address) = pattern(path)
    {
        found.error(&["path"], no_pattern(address)).hint(ONE_EACH);
    }
}

/// Looks for a path to which nothing can be written, as the setting `path`: an empty one, a web address.
pub(crate) fn check_write(path: &str, found: &mut Complaints) {
    check_named(path, found);
    if is_web_address(path) {
        let complaint = found.error(&["path"], not_written(path));
        complaint.hint(NOT_WRITTEN);
    }
}

const NOT_WRITTEN: &str =
    "write to a path of the project or to a bucket; `run: http` sends rows to an API";

fn not_written(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or(address);
    format!("files are read from web addresses like `{address}`, not written there")
}

/// That nothing is written to a web address.
pub(super) fn only_read(address: &str) -> TaskError {
    TaskError::user(not_written(address)).hint(NOT_WRITTEN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pipectl_connections::Connector;
    use pipectl_engine::operator::{
        ConnectionName, Fault,
        testing::{TestProject, complaints},
    };
    use pipectl_test_support::{ApiOptions, ApiTrouble, TestApi};

    use super::*;
    use crate::support::location::{Wanted, open_files};

    fn project() -> TestProject {
        TestProject::new().with_service(Arc::new(Connector::default()))
    }

    async fn read(
        context: &TaskContext,
        connection: Option<&str>,
        path: &str,
    ) -> Result<Files, TaskError> {
        let connection = connection.map(|name| ConnectionName(name.to_owned()));
        let wanted = Wanted {
            connection: connection.as_ref(),
            path,
            hive: None,
            condition: None,
        };
        open_files(context, wanted).await
    }

    #[tokio::test]
    async fn a_file_is_brought_here_and_removed_afterwards() {
        let api = TestApi::start();
        let content: Vec<u8> = (0..=250_u8).cycle().take(3_000_000).collect();
        api.serve_file("a.bin", content.clone(), None);
        api.trouble([ApiTrouble::Reset, ApiTrouble::Status(503)]);
        let project = project();
        let context = project.context();
        let path = format!("{}/files/a.bin?version=3", api.url());
        let files = read(&context, None, &path).await.unwrap();
        let (found, _) = files.found[0].clone();
        assert_eq!(std::fs::read(&found.path).unwrap(), content);
        assert_eq!(found.shown, format!("{}/files/a.bin", api.url()));
        assert_eq!((found.size, &*found.tag), (3_000_000, "\"v1\""));
        assert_eq!(found.modified.to_rfc3339(), "2026-03-01T11:00:00+00:00");
        let calls = api.calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[2].query["version"], "3");
        assert_eq!(calls[2].headers["accept-encoding"], "identity");
        drop(files);
        assert!(!found.path.exists());
    }

    #[tokio::test]
    async fn a_connection_lends_its_credentials() {
        let api = TestApi::with(ApiOptions {
            authorization: Some("Basic bWU6czNjcmV0".to_owned()),
            ..ApiOptions::default()
        });
        api.serve_file("a.csv", "a,b\n1,2\n", None);
        let address = api.url().replace("//", "//me:s3cret@");
        let project = project().with_connection("shop", &address);
        let context = project.context();
        for (connection, path) in [
            (None, "shop://files/a.csv"),
            (Some("shop"), "files/a.csv"),
            (None, &*format!("{address}/files/a.csv")),
        ] {
            let files = read(&context, connection, path).await.unwrap();
            assert_eq!(files.found[0].0.size, 8, "{path}");
            assert!(!files.found[0].0.shown.contains("s3cret"), "{path}");
        }
        let path = format!("{}/files/a.csv", api.url());
        let error = read(&context, None, &path).await.unwrap_err();
        assert!(
            error.message.contains("401 Unauthorized"),
            "{}",
            error.message
        );
    }

    #[tokio::test]
    async fn what_is_no_file_is_told() {
        let api = TestApi::start();
        api.serve_file(
            "packed.csv",
            "not gzip at all, whatever it says",
            Some("gzip"),
        );
        api.serve_file("other.csv", "x", Some("br"));
        let project = project();
        let context = project.context();
        let url = api.url();
        for (path, message) in [
            (
                format!("{url}/files/none.csv"),
                "answered 404 Not Found: no such file",
            ),
            (
                format!("{url}/files/*.csv"),
                "/files/*.csv` is a pattern, and the address of a web server names one file",
            ),
            (
                format!("{url}/files/other.csv"),
                "is packed by `br`, which nobody has asked for",
            ),
            (
                format!("{url}/away?to=http://169.254.169.254/x"),
                "`169.254.169.254` is a link-local address, which is not called",
            ),
            (
                "http://169.254.169.254/latest".to_owned(),
                "`169.254.169.254` is a link-local address, which is not called",
            ),
            ("https://".to_owned(), "`https://` is no address"),
        ] {
            let error = read(&context, None, &path).await.unwrap_err();
            assert_eq!(error.fault, Fault::User, "{path}");
            let text = error.full_message();
            assert!(text.contains(message), "{path}: {text}");
        }
        api.trouble([ApiTrouble::Html]);
        let error = read(&context, None, &format!("{url}/files/a.csv")).await;
        let text = error.unwrap_err().message;
        assert!(
            text.ends_with("is a page for people (HTML), not a file"),
            "{text}"
        );
        let temporary = context.artifacts.temporary();
        let left = std::fs::read_dir(temporary.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[tokio::test]
    async fn what_is_packed_on_the_way_is_unpacked() {
        use std::io::Write as _;
        let api = TestApi::start();
        let content = b"a,b\n1,2\n".repeat(1_000_000);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&content).unwrap();
        api.serve_file("a.csv", encoder.finish().unwrap(), Some("gzip"));
        let project = project();
        let context = project.context();
        let path = format!("{}/files/a.csv", api.url());
        let files = read(&context, None, &path).await.unwrap();
        assert_eq!(std::fs::read(&files.found[0].0.path).unwrap(), content);
    }

    #[tokio::test]
    async fn nothing_is_written_there() {
        let project = project();
        let context = project.context();
        let location = Location::read(None, "https://host/a.csv?key=s3cret").unwrap();
        let error = location.open(&context).await.unwrap_err();
        assert_eq!(
            error.message,
            "files are read from web addresses like `https://host/a.csv`, not written there"
        );
        let settings = serde_json::json!({"path": "http://host/a.csv"});
        for complaints in [
            complaints::<crate::load::csv::Csv>(settings.clone()),
            complaints::<crate::load::json::Json>(settings.clone()),
            complaints::<crate::load::parquet::Parquet>(settings),
        ] {
            let expected = "path: files are read from web addresses like `http://host/a.csv`, not written there";
            assert_eq!(complaints, [expected]);
        }
    }
}
