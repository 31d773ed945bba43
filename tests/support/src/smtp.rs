//! An SMTP server within the test's process: STARTTLS or TLS by an authority of its own, with a user and a password, and
//! troubles on demand.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// The user that the server knows.
pub const USER: &str = "pipectl";
/// That user's password.
pub const PASSWORD: &str = "correct horse";

/// How a server wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear, by anybody.
    None,
    /// In the clear until STARTTLS, then by [`USER`].
    StartTls,
    /// By TLS from the start, by [`USER`].
    Tls,
}

/// Something that goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The next connection is closed at once.
    CutOff,
    /// The next connection never hears anything.
    Silence,
    /// The next mail's recipients are refused with this code.
    RefuseRecipient(u16),
    /// The next mail is refused with this code when it is complete.
    RefuseMail(u16),
    /// The next mail is taken, and the connection is closed before that is said.
    LoseAnswer,
}

/// A mail that the server has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and body as they were sent.
    pub content: String,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// Who has sent it, when he said so.
    pub user: Option<String>,
}

/// An SMTP server on 127.0.0.1, until it is dropped.
#[derive(Debug)]
pub struct TestSmtp {
    address: SocketAddr,
    authority: PathBuf,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

#[derive(Debug, Default)]
struct State {
    mails: Mutex<Vec<ReceivedMail>>,
    troubles: Mutex<VecDeque<Trouble>>,
}

impl TestSmtp {
    /// Starts a server.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(security: Security) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (tls, certificate) = identity();
        let authority = directory.path().join("authority.pem");
        std::fs::write(&authority, certificate).expect("the directory is ours");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let server = Server {
            security,
            tls,
            state: Arc::clone(&state),
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(server.listen(listener, stopped));
        });
        Self {
            address,
            authority,
            state,
            stop: Some(stop),
            thread: Some(thread),
            _directory: directory,
        }
    }

    /// Its port; the certificate is for `localhost`.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A file with the certificate of its authority.
    pub fn ca_file(&self) -> &Path {
        &self.authority
    }

    /// The mails that it has taken so far.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        lock(&self.state.mails).clone()
    }

    /// Lets the next mails or connections meet these troubles, one after the other.
    pub fn expect_trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        lock(&self.state.troubles).extend(troubles);
    }
}

impl Drop for TestSmtp {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A certificate for `localhost` that signs itself, as PEM too.
fn identity() -> (TlsAcceptor, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let identity = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let pem = identity.cert.pem();
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .expect("a certificate with its key");
    (TlsAcceptor::from(Arc::new(config)), pem)
}

#[derive(Clone)]
struct Server {
    security: Security,
    tls: TlsAcceptor,
    state: Arc<State>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Server {
    async fn listen(self, listener: std::net::TcpListener, mut stopped: oneshot::Receiver<()>) {
        let listener = TcpListener::from_std(listener).expect("a socket");
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let server = self.clone();
                    // A connection that breaks is the client's to report.
                    connections.spawn(async move { drop(server.serve(stream).await) });
                }
            }
        }
    }

    fn next_trouble(&self, wanted: impl Fn(Trouble) -> bool) -> Option<Trouble> {
        let mut troubles = lock(&self.state.troubles);
        troubles
            .front()
            .copied()
            .filter(|trouble| wanted(*trouble))?;
        troubles.pop_front()
    }

    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        match self.next_trouble(|trouble| matches!(trouble, Trouble::CutOff | Trouble::Silence)) {
            Some(Trouble::CutOff) => return Ok(()),
            Some(_) => std::future::pending().await,
            None => {}
        }
        let mut builder = SessionBuilder::new("localhost");
        if self.security != Security::None {
            builder
                .enable_auth(AuthMechanism::Plain)
                .enable_auth(AuthMechanism::Login);
        }
        let mut stream: BufReader<Box<dyn Stream>> = match self.security {
            Security::Tls => {
                builder.insecure_enable_plaintext_auth();
                BufReader::new(Box::new(self.tls.accept(stream).await?))
            }
            Security::StartTls => {
                builder.enable_start_tls();
                BufReader::new(Box::new(stream))
            }
            Security::None => BufReader::new(Box::new(stream)),
        };
        let (encrypted, cut) = (
            Arc::new(AtomicBool::new(self.security == Security::Tls)),
            Arc::new(AtomicBool::new(false)),
        );
        let receiver = Receiver::new(self.clone(), Arc::clone(&encrypted), Arc::clone(&cut));
        let mut session = builder.build(IpAddr::V4(Ipv4Addr::LOCALHOST), receiver);
        stream.write_all(&session.greeting().buffer()?).await?;
        loop {
            let response = line(&mut stream, &mut session).await?;
            if cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            stream.write_all(&response.buffer()?).await?;
            stream.flush().await?;
            match response.action {
                Action::Close => return Ok(()),
                Action::UpgradeTls => {
                    stream = BufReader::new(Box::new(self.tls.accept(stream.into_inner()).await?));
                    encrypted.store(true, Ordering::SeqCst);
                    session.tls_active();
                }
                Action::NoReply | Action::Reply => {}
            }
        }
    }
}

async fn line(
    stream: &mut BufReader<Box<dyn Stream>>,
    session: &mut Session<Receiver>,
) -> io::Result<Response> {
    let mut line = Vec::new();
    match stream.read_until(b'\n', &mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(session.process(&line)),
    }
}

/// Receives the mails of one connection.
struct Receiver {
    server: Server,
    encrypted: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    trouble: Option<Trouble>,
    user: Option<String>,
    from: String,
    to: Vec<String>,
    content: Vec<u8>,
}

impl Receiver {
    fn new(server: Server, encrypted: Arc<AtomicBool>, cut: Arc<AtomicBool>) -> Self {
        let (from, to, content) = (String::new(), Vec::new(), Vec::new());
        Self {
            server,
            encrypted,
            cut,
            trouble: None,
            user: None,
            from,
            to,
            content,
        }
    }

    fn authenticate(&mut self, user: &str, password: &str) -> Response {
        if (user, password) == (USER, PASSWORD) {
            self.user = Some(user.to_owned());
            return mailin::response::AUTH_OK;
        }
        mailin::response::INVALID_CREDENTIALS
    }
}

fn refused(code: u16) -> Response {
    Response::custom(code, "not today".to_owned())
}

impl Handler for Receiver {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.trouble = self
            .server
            .next_trouble(|trouble| !matches!(trouble, Trouble::CutOff | Trouble::Silence));
        from.clone_into(&mut self.from);
        self.to.clear();
        self.content.clear();
        mailin::response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if let Some(Trouble::RefuseRecipient(code)) = self.trouble {
            return refused(code);
        }
        self.to.push(to.to_owned());
        mailin::response::OK
    }

    fn data(&mut self, part: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(part);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if let Some(Trouble::RefuseMail(code)) = self.trouble {
            return refused(code);
        }
        let mail = ReceivedMail {
            from: self.from.clone(),
            to: self.to.clone(),
            content: String::from_utf8_lossy(&self.content).into_owned(),
            encrypted: self.encrypted.load(Ordering::SeqCst),
            user: self.user.clone(),
        };
        lock(&self.server.state.mails).push(mail);
        self.cut
            .store(self.trouble == Some(Trouble::LoseAnswer), Ordering::SeqCst);
        mailin::response::OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        self.authenticate(user, password)
    }

    fn auth_login(&mut self, user: &str, password: &str) -> Response {
        self.authenticate(user, password)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpStream,
    };

    use super::*;

    /// Says lines, and gives the codes of the answers.
    fn talk(server: &TestSmtp, lines: &[&str]) -> Vec<String> {
        let mut stream = BufReader::new(TcpStream::connect(server.address).unwrap());
        let mut codes = vec![answer(&mut stream)];
        for line in lines {
            stream
                .get_mut()
                .write_all(format!("{line}\r\n").as_bytes())
                .unwrap();
            codes.push(answer(&mut stream));
        }
        codes
    }

    fn answer(stream: &mut BufReader<TcpStream>) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).unwrap() == 0 {
                return "end".to_owned();
            }
            if let Some((code, _)) = line.split_once(' ')
                && code.len() == 3
            {
                return code.to_owned();
            }
        }
    }

    const MAIL: [&str; 5] = [
        "ehlo test",
        "mail from:<a@example.com>",
        "rcpt to:<b@example.com>",
        "data",
        "Subject: x\r\n\r\nhello\r\n.",
    ];

    #[test]
    fn a_mail_is_taken() {
        let server = TestSmtp::start(Security::None);
        assert_eq!(
            talk(&server, &MAIL),
            ["220", "250", "250", "250", "354", "250"]
        );
        let mails = server.mails();
        assert_eq!(
            (mails.len(), mails[0].from.as_str(), mails[0].encrypted),
            (1, "a@example.com", false)
        );
        assert_eq!(
            (&mails[0].to, mails[0].content.contains("hello")),
            (&vec!["b@example.com".to_owned()], true)
        );
    }

    #[test]
    fn troubles_come_once_and_in_order() {
        let server = TestSmtp::start(Security::None);
        server.expect_trouble([
            Trouble::RefuseRecipient(450),
            Trouble::RefuseMail(554),
            Trouble::LoseAnswer,
            Trouble::CutOff,
        ]);
        assert_eq!(talk(&server, &MAIL[..3]).last().unwrap(), "450");
        assert_eq!(talk(&server, &MAIL).last().unwrap(), "554");
        assert!(server.mails().is_empty());
        assert_eq!(talk(&server, &MAIL).last().unwrap(), "end");
        assert_eq!(server.mails().len(), 1);
        assert_eq!(talk(&server, &[]), ["end"]);
        assert_eq!(talk(&server, &MAIL).last().unwrap(), "250");
    }

    #[test]
    fn a_stranger_is_refused() {
        let server = TestSmtp::start(Security::StartTls);
        let refused = talk(&server, &MAIL[..2]);
        assert!(refused.last().unwrap().starts_with('5'), "{refused:?}");
        assert!(server.mails().is_empty());
    }
}
