//! `PgBouncer` before a test's Postgres, lending sessions by the transaction: when `PIPECTL_TEST_PGBOUNCER` names its
//! command, as `tests/pgbouncer.py` sets it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::postgres::{as_user, free_port, succeed};

/// Starts the pooler in the server's directory, and gives its port. Who watches over the server ends it by its `pooler.pid`.
#[expect(
    clippy::disallowed_methods,
    reason = "the surroundings of the tests, not of the program"
)]
pub(crate) fn before(server: u16, directory: &Path, user: Option<(u32, u32)>) -> Option<u16> {
    let program = std::env::var_os("PIPECTL_TEST_PGBOUNCER")?;
    let port = free_port();
    let settings = directory.join("pooler.ini");
    let place = directory.display();
    let text = format!(
        "[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = 20
max_client_conn = 1000
server_login_retry = 1
server_idle_timeout = 1
ignore_startup_parameters = extra_float_digits,options
logfile = {place}/pooler.log
pidfile = {place}/pooler.pid
"
    );
    // Written by the user whose directory it is.
    let mut write = Command::new("tee");
    let mut writing = as_user(write.arg(&settings), user)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("`tee` is there");
    let mut input = writing.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, text.as_bytes()).expect("`tee` reads");
    drop(input);
    assert!(writing.wait().expect("it ends").success(), "{place}");
    let mut start = Command::new(program);
    if user.is_some() {
        start.args(["-u", "postgres"]);
    }
    start.args(["-q", "-d"]).arg(&settings);
    succeed(start.current_dir("/").stdin(Stdio::null()));
    Some(port)
}
