//! Measures what the daemon costs: each figure beside its bar, all in one run on one machine.
//!
//! `pipectl-bench-daemon target/release/pipectl postgres://…/postgres`: each figure gets a database of its own on that
//! server, made and filled by `psql`. See `README.md` beside this for what was measured.
#![expect(clippy::print_stdout, reason = "it prints its table")]

mod measures;
mod place;

use std::{path::PathBuf, process::ExitCode};

/// A figure and its bar.
struct Row {
    what: &'static str,
    figure: String,
    bar: &'static str,
    holds: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(pipectl), Some(server)) = (arguments.next().map(PathBuf::from), arguments.next())
    else {
        println!("usage: pipectl-bench-daemon PATH-OF-PIPECTL POSTGRES-URL");
        return ExitCode::from(2);
    };
    let mut rows = Vec::new();
    for measure in [
        measures::latency,
        measures::backfill,
        measures::many,
        measures::long_history,
        measures::idle,
    ] {
        let found = measure(&pipectl, &server);
        println!("{}: {}", found.what, found.figure);
        rows.push(found);
    }
    println!("\n| what | figure | bar | |\n|---|---|---|---|");
    for row in &rows {
        let mark = if row.holds { "✓" } else { "✕" };
        println!("| {} | {} | {} | {mark} |", row.what, row.figure, row.bar);
    }
    if rows.iter().all(|row| row.holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
