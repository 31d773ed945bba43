//! No room on the disk, a directory that cannot be written, nobody who takes the mail.

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use pipectl_test_support::{PASSWORD, Security, TestSmtp, USER};

use super::{
    daemons::{Daemon, backfill, begun, runs},
    harness::{Project, waiting::wait_for},
    kills::{enqueue, every_effect_once, project},
};

/// A small file system in memory, gone when it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(directory: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&directory).unwrap();
        let options = format!("size={size},mode=0777");
        let arguments = ["-t", "tmpfs", "-o", &options, "pipectl-test"];
        as_root("mount", &arguments, &directory);
        Self(directory)
    }

    fn remount(&self, how: &str) {
        as_root("mount", &["-o", &format!("remount,{how}")], &self.0);
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        as_root("umount", &["-l"], &self.0);
    }
}

fn as_root(program: &str, arguments: &[&str], directory: &Path) {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = if is_root {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", program]);
        command
    };
    let output = command.args(arguments).arg(directory).output().unwrap();
    assert!(
        output.status.success(),
        "this test has to mount a file system: run it as root or with sudo at hand: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let mut project = project();
    let disk = Disk::new(project.path("small"), "8m");
    let state = project.path("small/state").display().to_string();
    project.set("PIPECTL_STATE_DIR", state);
    let warehouse = format!("sqlite:{}", project.path("warehouse.db").display());
    project.set("PIPECTL_CONNECTION_WAREHOUSE", warehouse);
    let mut daemon = begun(&project, "daemon");
    enqueue(&project, "2026-01-01", "2026-01-11");
    wait_for(Duration::from_secs(10), || {
        if runs(&project).iter().any(|run| run["state"] == "success") {
            Ok(())
        } else {
            Err("none is over".into())
        }
    });
    disk.fill();
    sleep(Duration::from_secs(3));
    assert!(daemon.is_alive(), "{}", daemon.log());
    disk.make_room();
    wait_for(Duration::from_secs(60), || {
        let open: Vec<_> = runs(&project)
            .into_iter()
            .filter(|run| run["ended"].is_null())
            .collect();
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!("{open:?}\n{}", daemon.log()))
        }
    });
    assert!(daemon.is_alive(), "{}", daemon.log());
    for run in runs(&project) {
        if run["state"] != "success" && run["kind"] != "child" {
            project.succeed(&["retry", run["run"].as_str().unwrap(), "--failed"]);
        }
    }
    assert_eq!(daemon.terminate(), Some(0));
    every_effect_once(&project, 10);
    drop(disk);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_said() {
    let mut project = Project::with("a", "name: a\ntasks:\n  a:\n    run: noop\n");
    let disk = Disk::new(project.path("small"), "8m");
    let state = project.path("small/state").display().to_string();
    project.set("PIPECTL_STATE_DIR", state);
    project.succeed(&["run", "a"]);
    disk.remount("ro");
    for arguments in [["run", "a"].as_slice(), &["daemon", "--no-serve"]] {
        let refused = project.run(arguments);
        assert!(refused.code.is_some_and(|code| code != 0), "{refused}");
        // SQLite says it first when no log of its own was left there.
        let said = |words: &str| refused.stderr.contains(words);
        assert!(
            said("small/state")
                && (said("Read-only file system") || said("is its directory writable?")),
            "{refused}"
        );
    }
    disk.remount("rw");
    project.succeed(&["run", "a"]);
    drop(disk);
}

/// Passes connections to `port` on to the server, from now on.
fn open_for_mail(port: u16, server: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let to = TcpStream::connect(("127.0.0.1", server)).unwrap();
            for (mut from, mut to) in [
                (from.try_clone().unwrap(), to.try_clone().unwrap()),
                (to, from),
            ] {
                std::thread::spawn(move || {
                    let _ended = std::io::copy(&mut from, &mut to);
                    let _closed = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

/// A project's settings for mail to this server, reached at `port`.
pub(crate) fn mail_settings(server: &TestSmtp, port: u16) -> String {
    let ca_file = server.ca_file().display();
    let password = PASSWORD.replace(' ', "%20");
    format!(
        "smtp: {{url: \"smtp://{USER}:{password}@localhost:{port}\", from: pipectl@example.com, ca_file: \"{ca_file}\"}}\n"
    )
}

#[test]
fn a_mail_that_was_sent_and_not_noted_comes_again_with_the_same_id() {
    let server = TestSmtp::start(Security::StartTls);
    let mut project = Project::with(
        "fails",
        "name: fails\ninterval: 1d\nalerts:\n  - {when: [failure], email: [team@example.com]}\ntasks:\n  a:\n    run: shell\n    with: {script: 'exit 3'}\n",
    );
    project.write("pipectl.yaml", mail_settings(&server, server.port()));
    let clock = project.path("clock").display().to_string();
    project.set("PIPECTL_CLOCK", clock);
    project.write("clock", "0");
    project.set("PIPECTL_FAILPOINT", "mail_sent");
    let mut dying = Daemon::start(&project, "dying").works();
    backfill(&project, "fails", "2026-01-02");
    assert_eq!(dying.end(Duration::from_secs(30)), None, "{}", dying.log());
    project.unset("PIPECTL_FAILPOINT");
    assert_eq!(server.mails().len(), 1);
    // A mail that was taken is left alone for two minutes.
    project.write("clock", "130");
    let daemon = Daemon::start(&project, "daemon");
    wait_for(Duration::from_secs(20), || {
        let come = server.mails().len() == 2;
        come.then_some(()).ok_or(daemon.log())
    });
    let ids = server.mails().into_iter().map(|mail| {
        let id = |line: &&str| line.starts_with("Message-ID: ");
        mail.content.lines().find(id).map(str::to_owned)
    });
    let ids: Vec<Option<String>> = ids.collect();
    assert!(ids[0].is_some() && ids[0] == ids[1], "{ids:?}");
}

#[test]
fn mails_arrive_once_each_when_the_server_is_back_after_an_hour() {
    let server = TestSmtp::start(Security::StartTls);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut project = Project::with(
        "fails",
        "name: fails\ninterval: 1d\nmax_active_runs: 3\nalerts:\n  - {when: [failure], email: [team@example.com]}\ntasks:\n  a:\n    run: shell\n    with: {script: 'exit 3'}\n",
    );
    project.write("pipectl.yaml", mail_settings(&server, port));
    let clock = project.path("clock").display().to_string();
    project.set("PIPECTL_CLOCK", clock);
    project.write("clock", "0");
    let daemon = begun(&project, "daemon");
    backfill(&project, "fails", "2026-01-04");
    wait_for(Duration::from_secs(10), || {
        let failed = runs(&project)
            .iter()
            .filter(|run| run["state"] == "failed")
            .count();
        if failed == 3 {
            Ok(())
        } else {
            Err(format!("{failed} have failed"))
        }
    });
    wait_for(Duration::from_secs(10), || {
        if daemon.log().contains("cannot send mail") {
            Ok(())
        } else {
            Err(daemon.log())
        }
    });
    assert!(server.mails().is_empty());
    open_for_mail(port, server.port());
    project.write("clock", "3600");
    let mut mails = Vec::new();
    wait_for(Duration::from_secs(20), || {
        mails = server.mails();
        if mails.is_empty() {
            Err(daemon.log())
        } else {
            Ok(())
        }
    });
    // And no second time, however late it gets.
    for clock in ["7200", "14400"] {
        project.write("clock", clock);
        sleep(Duration::from_secs(6));
    }
    assert_eq!(daemon.terminate(), Some(0));
    let mut ids: Vec<String> = server
        .mails()
        .iter()
        .filter_map(|mail| {
            let id = mail
                .content
                .lines()
                .find(|line| line.starts_with("Message-ID: "));
            id.map(str::to_owned)
        })
        .collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "a mail has come twice");
    assert_eq!(count, 3);
}
