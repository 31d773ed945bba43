//! What a supervisor hears of a daemon on a real socket, and that it hears nothing more of one that stands still.

use std::{
    os::unix::net::UnixDatagram,
    sync::mpsc::{Receiver, channel},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    daemons::Daemon,
    harness::{BINARY, Project, waiting::wait_for},
};

/// How often the supervisor wants to hear of it, in microseconds.
const WATCHDOG: &str = "900000";

/// A daemon and the socket on which it speaks.
fn supervised(failpoint: Option<&str>) -> (Project, Daemon, Receiver<String>) {
    let mut project = Project::with(
        "tick",
        "name: tick\nschedule: {cron: '* * * * * *'}\ntasks:\n  a:\n    run: noop\n",
    );
    let path = project.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    project.set("NOTIFY_SOCKET", path.display().to_string());
    project.set("WATCHDOG_USEC", WATCHDOG);
    if let Some(point) = failpoint {
        project.set("PIPECTL_FAILPOINT", point);
    }
    // A supervisor names the process that it wants to hear of.
    let script = format!("export WATCHDOG_PID=$$; exec {BINARY} daemon --no-serve --grace 1s");
    let daemon = Daemon::of(&project, "daemon", project.program("sh", &["-c", &script]));
    (project, daemon, read_all(socket))
}

/// Reads all the time, as a supervisor does: who is not read would have to wait.
fn read_all(socket: UnixDatagram) -> Receiver<String> {
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok(length) = socket.recv(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..length]).trim().to_owned();
            if sender.send(said).is_err() {
                return;
            }
        }
    });
    heard
}

/// What it says for so long, and has said before.
fn heard(socket: &Receiver<String>, time: Duration) -> Vec<String> {
    sleep(time);
    socket.try_iter().collect()
}

/// Waits until it says something.
#[track_caller]
fn says(socket: &Receiver<String>, wanted: &str) -> String {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let said = socket.recv_timeout(Duration::from_secs(20));
        let said = said.unwrap_or_else(|_| panic!("no {wanted}"));
        if said.starts_with(wanted) {
            return said;
        }
    }
    panic!("no {wanted}");
}

#[test]
fn a_supervisor_hears_that_it_works_lives_reloads_and_stops() {
    let (_project, daemon, socket) = supervised(None);
    says(&socket, "READY=1");
    assert!(
        daemon.log().contains("the daemon works"),
        "{}",
        daemon.log()
    );
    heard(&socket, Duration::ZERO);
    let pings = heard(&socket, Duration::from_secs(3));
    let pings = pings.iter().filter(|one| *one == "WATCHDOG=1").count();
    assert!((4..=14).contains(&pings), "{pings}");
    daemon.signal("-HUP");
    let reloading = says(&socket, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    says(&socket, "READY=1");
    daemon.signal("-TERM");
    says(&socket, "STOPPING=1");
    assert_eq!(daemon.terminate(), Some(0));
}

/// Pings cease when one of its loops does not go round any more, though all the others do.
#[test]
fn a_supervisor_does_not_hear_of_a_daemon_that_stands_still() {
    for (point, what) in [("queue_stalls:4", "queue"), ("heart_stalls:2", "heart")] {
        let (_project, daemon, socket) = supervised(Some(point));
        says(&socket, "READY=1");
        says(&socket, "WATCHDOG=1");
        let stands = format!("the {what} has stood still for ");
        wait_for(Duration::from_secs(20), || {
            let log = daemon.log();
            if log.contains(&stands) {
                Ok(())
            } else {
                Err(log)
            }
        });
        // What was said before lies in the socket still.
        heard(&socket, Duration::from_millis(500));
        let pings = heard(&socket, Duration::from_secs(3));
        assert_eq!(pings, Vec::<String>::new(), "{point}");
        daemon.kill();
    }
}
