//! Measures what the engine costs: each figure beside its bar, all in one run on one machine.
//!
//! `cargo run --release -p pipectl-bench-engine -- target/release/pipectl [postgres://…]`; without a Postgres address the
//! rows that need one are left out and said so. See `README.md` beside this for what was measured.
#![expect(clippy::print_stdout, reason = "it prints its table")]

mod process;
mod scheduler;
mod yaml;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use process::Project;

/// A figure and its bar.
struct Row {
    what: String,
    figure: String,
    bar: &'static str,
    holds: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(pipectl) = arguments.next().map(PathBuf::from) else {
        println!("usage: pipectl-bench-engine PATH-OF-PIPECTL [POSTGRES-URL]");
        return ExitCode::from(2);
    };
    let postgres = arguments.next();
    println!("one fsync: {}", milliseconds(process::fsync()));
    let mut rows = vec![scheduler::row()];
    rows.extend(commands(&pipectl));
    rows.extend(runs(&pipectl, None));
    match &postgres {
        Some(url) => rows.extend(runs(&pipectl, Some(url))),
        None => println!("no Postgres address given: its rows are left out"),
    }
    println!("\n| what | figure | bar | |\n|---|---|---|---|");
    for row in &rows {
        println!(
            "| {} | {} | {} | {} |",
            row.what,
            row.figure,
            row.bar,
            if row.holds { "✓" } else { "✕" }
        );
    }
    if rows.iter().all(|row| row.holds) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// What commands cost that run nothing.
fn commands(pipectl: &std::path::Path) -> Vec<Row> {
    let project = Project::new(pipectl, None);
    let version = project.median(21, &["--version"]);
    project.write("noop", &yaml::chain(1));
    let cold = project.median(21, &["run", "pipelines/noop.yaml"]);
    project.write("large", &yaml::validated(10_000));
    let validate = project.median(5, &["validate", "pipelines/large.yaml"]);
    let size = std::fs::metadata(pipectl).map_or(0, |file| file.len()) / 1_000_000;
    vec![
        row("`pipectl --version`", version, "≤ 15 ms", 15.0),
        row(
            "`pipectl run` of one no-op task, cold process, SQLite history",
            cold,
            "≤ 60 ms",
            60.0,
        ),
        row(
            "validating 10,000 tasks, three edges and an expression each",
            validate,
            "≤ 500 ms",
            500.0,
        ),
        Row {
            what: "the binary".to_owned(),
            figure: format!("{size} MB"),
            bar: "≤ 110 MB",
            holds: size <= 110,
        },
    ]
}

fn row(what: &str, time: Duration, bar: &'static str, limit: f64) -> Row {
    let ms = time.as_secs_f64() * 1e3;
    Row {
        what: what.to_owned(),
        figure: milliseconds(time),
        bar,
        holds: ms <= limit,
    }
}

/// What a task costs in runs of many, with the history in SQLite or Postgres.
fn runs(pipectl: &std::path::Path, postgres: Option<&str>) -> Vec<Row> {
    let project = Project::new(pipectl, postgres);
    let store = if postgres.is_some() {
        "Postgres"
    } else {
        "SQLite"
    };
    project.write("one", &yaml::chain(1));
    project.write("chain", &yaml::chain(1_000));
    project.write("fan", &yaml::fan(10_000));
    let start = project.median(5, &["run", "pipelines/one.yaml"]);
    let chain = project
        .median(3, &["run", "pipelines/chain.yaml"])
        .saturating_sub(start)
        / 999;
    let fan = project.median(3, &["run", "pipelines/fan.yaml"]);
    let memory = process::peak_memory_of_children() / 1_000_000;
    let (bar, limit) = if postgres.is_some() {
        ("≤ 1.5 ms", 1.5)
    } else {
        ("≤ 0.8 ms", 0.8)
    };
    vec![
        row(
            &format!("chain of 1,000 no-op tasks, {store} history: per task"),
            chain,
            bar,
            limit,
        ),
        row(
            &format!("fan-out of 10,000 no-op tasks, {store} history"),
            fan,
            "≤ 5,000 ms",
            5_000.0,
        ),
        Row {
            what: format!("its peak memory, {store} history"),
            figure: format!("{memory} MB"),
            bar: "≤ 300 MB",
            holds: memory <= 300,
        },
    ]
}
