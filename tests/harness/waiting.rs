//! Waiting for what a process does.

use std::{
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use super::Project;

/// Waits until `done`; what it says while it is not is told when the time is over.
#[track_caller]
pub(crate) fn wait_for(within: Duration, mut done: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    loop {
        match done() {
            Ok(()) => return,
            Err(why) if start.elapsed() > within => panic!("after {within:?}: {why}"),
            Err(_) => sleep(Duration::from_millis(50)),
        }
    }
}

/// Starts the binary, and waits until a task of it has made the file `begun`, which goes again.
#[track_caller]
pub(crate) fn begun(project: &Project, arguments: &[&str]) -> Child {
    let child = project.start(arguments);
    let file = project.path("begun");
    wait_for(Duration::from_secs(20), || {
        let is_there = file.exists();
        is_there.then_some(()).ok_or("it has not begun".into())
    });
    std::fs::remove_file(file).unwrap();
    child
}

/// Sends a process a signal, such as `-INT`.
pub(crate) fn signal(process: u32, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}
