//! A throwaway Postgres server.
//!
//! A child process watches over it: when the test's process is gone, however it went, the server is stopped and its
//! files are removed.

use std::{
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::pooler;

/// A Postgres server that lives as long as this value, or as the process.
#[derive(Debug)]
pub struct TestPostgres {
    bin: PathBuf,
    directory: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    /// Where clients connect: the server itself, or the pooler before it.
    asked: u16,
    options: String,
    databases: AtomicU32,
    watch: Child,
}

impl TestPostgres {
    /// The server that all tests of this process share. It does not wait for the disk.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestPostgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::start(&[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
            ])
        })
    }

    /// A server of its own that waits for the disk as one in production does, for measurements and for killing.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn durable() -> Self {
        Self::start(&["fsync=on", "synchronous_commit=on"])
    }

    fn start(settings: &[&str]) -> Self {
        let bin = installed();
        let directory = tempfile::Builder::new()
            .prefix("pipectl-postgres-")
            .tempdir()
            .expect("a temporary directory");
        let user = user();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid))
                .expect("the directory is ours");
        }
        let directory = directory.keep();
        let data = directory.join("data");
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        succeed(as_user(&mut initdb, user));
        // One user has to give a password; all others are trusted.
        let access = "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), access).expect("the file is ours");
        let port = free_port();
        let mut options = format!(
            "-k {} -p {port} -c listen_addresses=127.0.0.1 -c max_connections=200",
            directory.display()
        );
        for setting in settings {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let mut start = Command::new(bin.join("pg_ctl"));
        start
            .arg("-D")
            .arg(&data)
            .arg("-w")
            .arg("-l")
            .arg(directory.join("log"))
            .arg("-o")
            .arg(&options)
            .arg("start");
        // The server must not keep the test's output open.
        start.stdin(Stdio::null());
        succeed(as_user(&mut start, user));
        let asked = pooler::before(port, &directory, user).unwrap_or(port);
        let watch = watch(&bin, &directory, user);
        Self {
            bin,
            directory,
            user,
            port,
            asked,
            options,
            databases: AtomicU32::new(0),
            watch,
        }
    }

    /// The address of a new, empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.asked)
    }

    /// Executes `sql` in a database by `psql`, and gives what it prints: fields by `|`, rows by lines.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let port = self.port.to_string();
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        psql.args(["-d", database, "-c", sql]);
        String::from_utf8(succeed(&mut psql).stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// The address of a new, empty database for the user `guarded`, with this password.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn guarded_database(&self, password: &str) -> String {
        let make = "do $$ begin create role guarded superuser login; exception when duplicate_object then null; end $$";
        self.sql("postgres", make);
        self.sql("postgres", "alter role guarded password 'the right one'");
        self.database().replace(
            "postgres@",
            &format!("guarded:{}@", password.replace(' ', "%20")),
        )
    }

    /// Stops the server as if the machine had lost its power, and starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn crash_and_restart(&self) {
        self.control(&["-m", "immediate", "restart"]);
    }

    /// Stops the server as if the machine had lost its power.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again after a [`crash`](Self::crash).
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&self) {
        self.control(&["-o", &self.options, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        let mut control = Command::new(self.bin.join("pg_ctl"));
        control
            .arg("-D")
            .arg(self.directory.join("data"))
            .arg("-w")
            .arg("-l")
            .arg(self.directory.join("log"))
            .args(arguments)
            .stdin(Stdio::null());
        succeed(as_user(&mut control, self.user));
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        // The watching child stops the server when its input ends.
        drop(self.watch.stdin.take());
        drop(self.watch.wait());
    }
}

fn installed() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut bins: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    bins.sort();
    bins.pop()
        .expect("this test needs Postgres; install it with `apt-get install -y postgresql`")
}

/// The user that the server runs as, when this process is root: Postgres refuses to be.
fn user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> u32 {
        let output = succeed(Command::new("id").args(arguments));
        String::from_utf8(output.stdout)
            .expect("a number")
            .trim()
            .parse()
            .expect("a number")
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

pub(crate) fn as_user(command: &mut Command, user: Option<(u32, u32)>) -> &mut Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.current_dir("/")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn watch(bin: &Path, directory: &Path, user: Option<(u32, u32)>) -> Child {
    let script = "while read -r _; do :; done; [ ! -e \"$1/pooler.pid\" ] || kill \"$(cat \"$1/pooler.pid\")\"; \
        \"$0/pg_ctl\" -D \"$1/data\" -m immediate stop; rm -rf \"$1\"";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(bin).arg(directory);
    // A group of its own, so that Ctrl-C ends the tests and not the one who cleans up after them.
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    as_user(&mut command, user).spawn().expect("`sh` is there")
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_new_and_empty() {
        let server = TestPostgres::shared();
        let (one, two) = (server.database(), server.database());
        assert_ne!(one, two);
        let name = one.rsplit('/').next().unwrap();
        assert_eq!(
            server.sql(
                name,
                "select count(*) from pg_tables where schemaname = 'public'"
            ),
            "0"
        );
    }

    #[test]
    fn a_server_is_gone_when_it_is_dropped() {
        let server = TestPostgres::durable();
        let port = server.port();
        assert_eq!(server.sql("postgres", "show fsync"), "on");
        drop(server);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
