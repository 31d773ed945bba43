//! All processes of a session: what a child has started, and what they take of the memory.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The session that a child has made for itself; it bears the child's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session(pub(super) i32);

impl Session {
    /// Its processes. The first one may not have made its session yet: it belongs to it all the same.
    fn members(self) -> Vec<i32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut found: Vec<i32> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|process| *process == self.0 || session_of(*process) == Some(self.0))
            .collect();
        // The first one last: it may be the one that kills them.
        found.sort_by_key(|process| *process == self.0);
        found
    }

    /// The bytes of memory that its processes hold: without what is read from files and can be let go at any time.
    pub(super) fn memory(self) -> u64 {
        self.members().into_iter().map(memory_of).sum()
    }

    pub(super) fn signal(self, signal: Signal) {
        for process in self.members() {
            // One that has just ended needs no signal.
            let _sent = kill(Pid::from_raw(process), signal);
        }
    }

    /// Kills all its processes, also those that are started meanwhile.
    pub(super) fn kill(self) {
        for _ in 0..10 {
            self.signal(Signal::SIGKILL);
            if self.members().iter().all(|process| is_over(*process)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The fields of `/proc/<process>/stat` after the name, which may hold anything: state, parent, group, session, ….
fn fields(process: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(ToOwned::to_owned).collect())
}

fn session_of(process: i32) -> Option<i32> {
    fields(process)?.get(3)?.parse().ok()
}

fn is_over(process: i32) -> bool {
    fields(process).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}

fn memory_of(process: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        matches!(name, "RssAnon" | "RssShmem").then_some(value)
    });
    lines
        .filter_map(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .sum()
}

/// How often the kernel has killed a process for want of memory since it started.
pub(super) fn kills_for_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_with_its_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let session = Session(session_of(own).unwrap());
        assert!(session.members().contains(&own));
        let before = memory_of(own);
        // Nothing may guess that nobody reads it.
        let ballast = std::hint::black_box(vec![1_u8; 256 * 1024 * 1024]);
        let after = memory_of(own);
        // Tests that run beside this one give memory back.
        assert!(after >= before + 100 * 1024 * 1024, "{before} {after}");
        assert!(session.memory() >= 200 * 1024 * 1024);
        assert_eq!(std::hint::black_box(ballast).len(), 256 * 1024 * 1024);
        assert_eq!(Session(i32::MAX).memory(), 0);
    }
}
