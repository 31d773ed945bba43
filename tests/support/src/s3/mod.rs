//! An S3 server within the test's process: it checks signatures, writes under conditions, and tells of new objects as
//! MinIO does. With `PIPECTL_TEST_S3_URL` and `AWS_*` in the environment (or `PIPECTL_TEST_AZURE_URL` and `AZURE_*`) the tests use that bucket instead.

mod mended;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

use self::mended::{Mended, State};

/// The key that the server knows.
pub const ACCESS_KEY: &str = "pipectl";
/// That key's secret.
pub const SECRET_KEY: &str = "correct horse battery staple";

/// The bucket of all tests that do not care.
const BUCKET: &str = "tests";

/// An S3 server on 127.0.0.1, until it is dropped.
#[derive(Debug)]
pub struct TestS3 {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    root: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl TestS3 {
    /// Starts a server with a bucket.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().to_owned();
        std::fs::create_dir(root.join(BUCKET)).expect("the directory is ours");
        Self::listen(
            root,
            (Ipv4Addr::LOCALHOST, 0).into(),
            Arc::default(),
            Some(directory),
        )
    }

    fn listen(
        root: PathBuf,
        address: SocketAddr,
        state: Arc<State>,
        directory: Option<tempfile::TempDir>,
    ) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let mut service =
            S3ServiceBuilder::new(Mended::new(&root, Arc::clone(&state)).expect("a directory"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve(listener, service, stopped));
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
            root,
            _directory: directory,
        }
    }

    /// Stops the server, does something, and starts it again with all that it held.
    ///
    /// # Panics
    /// When somebody has taken the port meanwhile.
    pub fn while_away<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.halt();
        let result = work();
        let mut again = Self::listen(
            self.root.clone(),
            self.address,
            Arc::clone(&self.state),
            None,
        );
        self.stop = again.stop.take();
        self.thread = again.thread.take();
        result
    }

    /// The server's bucket.
    pub fn bucket(&self) -> TestBucket {
        TestBucket::at(format!(
            "s3://{BUCKET}?endpoint=http://{}&region=us-east-1",
            self.address
        ))
    }

    /// The address of the server, as `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many listings were asked for so far.
    pub fn listings(&self) -> u64 {
        self.state.listings.load(Ordering::Relaxed)
    }

    /// From now on tells `http://<hook>` of each new object, as MinIO does: `127.0.0.1:4747/hook`.
    ///
    /// # Panics
    /// Never.
    pub fn notify(&self, hook: &str) {
        *mended::lock(&self.state.hook) = Some(hook.to_owned());
    }

    /// Makes a folder as consoles do: an empty object whose key, without the slash at its end, is this.
    ///
    /// # Panics
    /// Never.
    pub fn folder(&self, key: &str) {
        mended::lock(&self.state.folders).push(format!("{key}/"));
    }

    fn halt(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for TestS3 {
    fn drop(&mut self) {
        self.halt();
    }
}

async fn serve(
    listener: std::net::TcpListener,
    service: S3Service,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // A body behind its headers is not to wait for their receipt.
                drop(stream.set_nodelay(true));
                let service = service.clone();
                // A connection that breaks is the client's to report.
                connections.spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        }
    }
}

/// A place in a bucket that no other test uses.
#[derive(Clone, Debug)]
pub struct TestBucket {
    address: String,
    environment: Vec<(String, String)>,
}

impl Default for TestBucket {
    fn default() -> Self {
        Self::new()
    }
}

impl TestBucket {
    /// A new prefix in the bucket of `PIPECTL_TEST_S3_URL` or `PIPECTL_TEST_AZURE_URL`, else in that of a server which all tests of this process
    /// share.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn new() -> Self {
        static SERVER: LazyLock<TestS3> = LazyLock::new(TestS3::start);
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let given = environment()
            .find(|(name, _)| name == "PIPECTL_TEST_S3_URL" || name == "PIPECTL_TEST_AZURE_URL");
        let bucket = match given {
            None => SERVER.bucket(),
            Some((_, address)) => Self {
                address,
                environment: environment()
                    .filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("AZURE_"))
                    .collect(),
            },
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unique = tempfile::tempdir().expect("a temporary directory");
        let unique = unique.path().file_name().unwrap_or_default();
        bucket.below(&format!("{}-{number}", unique.to_string_lossy()))
    }

    fn at(address: String) -> Self {
        let environment = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            address,
            environment: environment.into(),
        }
    }

    /// A place below a prefix.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Self {
        let (place, query) = self
            .address
            .split_once('?')
            .unwrap_or((&self.address, "region=us-east-1"));
        Self {
            address: format!("{}/{prefix}?{query}", place.trim_end_matches('/')),
            environment: self.environment.clone(),
        }
    }

    /// Its address, as a connection has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The variables with its keys.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "which server the tests use is the environment's to say"
)]
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
}
