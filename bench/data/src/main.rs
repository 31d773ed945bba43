//! Measures an operator by itself, without a run around it: `extract: sql` into a frame, `load: sql` out of one.
//!
//! `pipectl-bench-data read URL SETTINGS`, `pipectl-bench-data load URL SETTINGS FILE.parquet`; the settings are those
//! of the operator as JSON, without `connection`. It prints what it has cost as JSON: wall and CPU seconds, and how many
//! bytes more than before were resident at most. `postgres.py` beside this is who calls it.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{fs, process::ExitCode, sync::Arc, time::Instant};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use pipectl_connections::Connector;
use pipectl_engine::{
    kind::Kind,
    operator::{Outcome, TaskContext, testing::TestProject},
};
use polars::prelude::{DataFrame, LazyFrame, PlRefPath, ScanArgsParquet};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, url, settings, file) = match arguments.as_slice() {
        ["read", url, settings] => (Kind::Extract, *url, *settings, None),
        ["load", url, settings, file] => (Kind::Load, *url, *settings, Some(*file)),
        _ => {
            println!(
                "usage: pipectl-bench-data read URL SETTINGS | load URL SETTINGS FILE.parquet"
            );
            return ExitCode::from(2);
        }
    };
    let project = TestProject::new()
        .with_connection("warehouse", url)
        .with_service(Arc::new(Connector::default()));
    let rows = file.map(frame);
    let context = match &rows {
        Some(rows) => project.context_with([("rows", rows.clone())]),
        None => project.context(),
    };
    let mut settings: Value = serde_json::from_str(settings).unwrap_or_default();
    settings["connection"] = json!("warehouse");
    let figures = measured(kind, &settings, &context, rows.as_ref());
    println!("{figures}");
    ExitCode::SUCCESS
}

fn frame(file: &str) -> DataFrame {
    let read = PlRefPath::try_from_path(file.as_ref())
        .and_then(|path| LazyFrame::scan_parquet(path, ScanArgsParquet::default()))
        .and_then(LazyFrame::collect);
    read.unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn measured(
    kind: Kind,
    settings: &Value,
    context: &TaskContext,
    rows: Option<&DataFrame>,
) -> Value {
    let registry = pipectl_operators::all();
    let operator = registry
        .get(kind, "sql")
        .unwrap_or_else(|| panic!("there is no such operator"));
    let config = operator
        .parse(settings)
        .unwrap_or_else(|error| panic!("the settings are wrong: {error}"));
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let resident = memory("VmRSS");
    // The peak begins anew.
    let _reset = fs::write("/proc/self/clear_refs", "5");
    let (start, cpu) = (Instant::now(), cpu());
    let outcome = runtime.block_on(operator.run(config, context));
    let (wall, cpu) = (start.elapsed().as_secs_f64(), self::cpu() - cpu);
    let output = match outcome {
        Ok(Outcome::Done(output)) => output,
        other => panic!("it is not done: {other:?}"),
    };
    let read = output.datasets.first();
    let read = read.and_then(|(_, dataset)| dataset.in_memory());
    let frame = rows.or(read.map(AsRef::as_ref));
    json!({
        "wall": wall,
        "cpu": cpu,
        "memory": memory("VmHWM").saturating_sub(resident),
        "rows": frame.map(DataFrame::height),
        "bytes": frame.map(DataFrame::estimated_size),
    })
}

/// Seconds of user and system time.
fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let usage = usage.unwrap_or_else(|error| panic!("no usage: {error}"));
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

/// Bytes of memory: `VmRSS` that are resident now, `VmHWM` that were at most.
fn memory(line: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = text.lines().find_map(|found| found.strip_prefix(line));
    let size = size.and_then(|size| size.trim_start_matches(':').trim().strip_suffix(" kB"));
    let kilobytes: Option<u64> = size.and_then(|size| size.parse().ok());
    kilobytes.unwrap_or(0) * 1_024
}
