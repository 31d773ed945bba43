//! A paging API within the test's process: records by day, five ways to page, limits, credentials, and troubles on demand.

mod pages;
mod serve;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::oneshot;

/// How an API behaves.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// How long it takes for each answer.
    pub latency: Duration,
    /// How many records a day has.
    pub records_per_day: u32,
    /// More calls in a second than these are answered with 429.
    pub per_second: Option<usize>,
    /// The `Authorization` that it wants.
    pub authorization: Option<String>,
    /// One call of so many, as a seed decides, meets a trouble.
    pub trouble_in: Option<u64>,
    /// The port; 0 for any that is free.
    pub port: u16,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            records_per_day: 10,
            per_second: None,
            authorization: None,
            trouble_in: None,
            port: 0,
        }
    }
}

/// Something that goes wrong, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiTrouble {
    /// 429 with this `Retry-After`.
    TooMany(String),
    /// This status.
    Status(u16),
    /// The connection breaks in the middle of the answer.
    Reset,
    /// The answer's second half comes so much later.
    Slow(Duration),
    /// A page for people.
    Html,
    /// This text, as JSON.
    Text(String),
}

/// A call that the API has heard.
#[derive(Clone, Debug)]
pub struct ApiCall {
    /// `GET`, `POST`, ….
    pub method: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// When it was heard.
    pub at: Instant,
}

/// A paging API on 127.0.0.1, until it is dropped.
///
/// Below `/records/` are `page` (`page`, `per_page`), `offset` (`offset`, `limit`), `cursor` (`cursor`, `limit`), `link` (a
/// `Link` header) and `next` (the next address in the body), each with `start` and `end`, two days. Its records are
/// [`TestApi::record`]. `/echo` answers with what is posted, `/status/<code>` with that code, `/value` with what
/// [`TestApi::set_value`] has set, `/files/<name>` with what [`TestApi::serve_file`] has put there, `/token` with a token for the client `pipectl` with the secret `correct horse`.
#[derive(Debug)]
pub struct TestApi {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    options: ApiOptions,
    calls: Mutex<Vec<ApiCall>>,
    troubles: Mutex<VecDeque<ApiTrouble>>,
    recent: Mutex<VecDeque<Instant>>,
    value: Mutex<(u16, Value)>,
    files: Mutex<BTreeMap<String, File>>,
    under_way: Mutex<(usize, usize)>,
}

#[derive(Clone, Debug)]
struct File {
    content: Vec<u8>,
    packing: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TestApi {
    /// Starts an API that always goes well.
    pub fn start() -> Self {
        Self::with(ApiOptions::default())
    }

    /// Starts an API.
    ///
    /// # Panics
    /// When the port is not free.
    pub fn with(options: ApiOptions) -> Self {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            options,
            calls: Mutex::default(),
            troubles: Mutex::default(),
            recent: Mutex::default(),
            value: Mutex::new((200, Value::Null)),
            files: Mutex::default(),
            under_way: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(serve::serve(listener, shared, stopped));
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<ApiCall> {
        lock(&self.state.calls).clone()
    }

    /// How many calls have been under way at once at most.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state.under_way).1
    }

    /// The next calls meet these troubles, one each.
    pub fn trouble(&self, troubles: impl IntoIterator<Item = ApiTrouble>) {
        lock(&self.state.troubles).extend(troubles);
    }

    /// What `/value` answers from now on.
    pub fn set_value(&self, status: u16, value: Value) {
        *lock(&self.state.value) = (status, value);
    }

    /// What `/files/<name>` answers from now on, and its `Content-Encoding`.
    pub fn serve_file(&self, name: &str, content: impl Into<Vec<u8>>, packing: Option<&str>) {
        let file = File {
            content: content.into(),
            packing: packing.map(ToOwned::to_owned),
        };
        lock(&self.state.files).insert(name.to_owned(), file);
    }

    /// A record of a day.
    pub fn record(day: &str, number: u32) -> Value {
        pages::record(day, number)
    }

    /// Waits for its end, which is that of the process.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // It panics only when the runtime cannot be made.
            let _ended = thread.join();
        }
    }
}

impl Drop for TestApi {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _told = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
