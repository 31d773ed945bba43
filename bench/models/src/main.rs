//! Measures an estimator by itself, without a run around it: learning, predicting, a search, single rows.
//!
//! It reads one JSON object a line, a [`Job`], and answers each with one: what it has cost. `train.py` beside this is who
//! asks. CPU seconds are user and system time of the process between two moments; reading the files is not counted.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::{fs, io, process::ExitCode};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use pipectl_models::{
    data::Goal,
    metrics::Metric,
    scorer::{Cell, Model},
    train::{Hooks, Settings, Single, train},
};
use polars::prelude::{AnyValue, DataFrame, LazyFrame, PlRefPath, ScanArgsParquet};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One thing to do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    what: What,
    /// Rows to learn from, Parquet.
    train: String,
    /// Rows to answer, Parquet.
    test: Option<String>,
    goal: Goal,
    target: String,
    /// A candidate's name and its parameters.
    candidates: Map<String, Value>,
    metric: Option<Metric>,
    #[serde(default)]
    seed: u64,
    /// Where the answers, or the model, are written.
    out: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Learn one candidate and answer the test rows; the answers are written as doubles.
    Fit,
    /// A whole training with its search; the model is written.
    Search,
    /// Score the test rows one by one with the model that is at `out`.
    Rows,
}

fn main() -> ExitCode {
    for line in io::stdin().lines() {
        let answer = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()))
            .and_then(|job| done(&job));
        match answer {
            Ok(answer) => println!("{answer}"),
            Err(error) => {
                println!("{}", json!({"error": error}));
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn done(job: &Job) -> Result<Value, String> {
    let mut settings = Settings::new(job.goal, job.target.as_str());
    settings.seed = job.seed;
    settings.metric = job.metric;
    settings.candidates = serde_json::from_value(Value::Object(job.candidates.clone()))
        .map_err(|error| error.to_string())?;
    match job.what {
        What::Fit => fit(job, &settings),
        What::Search => search(job, &settings),
        What::Rows => rows(job),
    }
}

fn fit(job: &Job, settings: &Settings) -> Result<Value, String> {
    let (train, test) = (frame(&job.train), job.test.as_deref().map(frame));
    let (single, fit) = costs(|| Single::learn(&train, settings, &Hooks::silent()));
    let single = single.map_err(|error| error.to_string())?;
    let Some(test) = test else {
        return Ok(json!({"fit": fit}));
    };
    let (answers, predict) = costs(|| single.answers(&test));
    if let Some(out) = &job.out {
        let bytes: Vec<u8> = answers
            .map_err(|error| error.to_string())?
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        write(out, &bytes);
    }
    Ok(json!({"fit": fit, "predict": predict}))
}

fn search(job: &Job, settings: &Settings) -> Result<Value, String> {
    let rows = frame(&job.train);
    let (trained, fit) = costs(|| train(&rows, settings, &Hooks::silent()));
    let trained = trained.map_err(|error| error.to_string())?;
    if let (Some(out), Some(bytes)) = (&job.out, &trained.bytes) {
        write(out, bytes);
    }
    let trials = trained.metadata.trials.iter();
    let best = trials
        .filter(|trial| trial.chosen)
        .map(|trial| trial.mean)
        .next();
    Ok(json!({"fit": fit, "best": best}))
}

fn rows(job: &Job) -> Result<Value, String> {
    let out = job.out.as_deref().unwrap_or_default();
    let bytes = fs::read(out).unwrap_or_else(|error| panic!("{out}: {error}"));
    let model = Model::load(&bytes).map_err(|error| error.to_string())?;
    let frame = frame(job.test.as_deref().unwrap_or(&job.train));
    let names: Vec<String> = model
        .metadata()
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let rows: Vec<Vec<Cell>> = (0..frame.height())
        .map(|row| names.iter().map(|name| cell(&frame, name, row)).collect())
        .collect();
    let score = || -> Result<f64, String> {
        let mut sum = 0.0;
        for row in &rows {
            let cells = names.iter().map(String::as_str).zip(row.iter().cloned());
            let score = model.predict_row(cells, None);
            sum += score.map_err(|error| error.to_string())?.values[0];
        }
        Ok(sum)
    };
    score()?;
    let (sum, seconds) = costs(score);
    sum?;
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let count = rows.len() as f64;
    Ok(json!({"microseconds": seconds * 1e6 / count}))
}

fn cell(frame: &DataFrame, name: &str, row: usize) -> Cell {
    let column = frame.column(name).unwrap_or_else(|error| panic!("{error}"));
    match column.get(row) {
        Ok(AnyValue::String(text)) => Cell::Text(text.to_owned()),
        Ok(value) => value.try_extract::<f64>().map_or(Cell::Null, Cell::Number),
        Err(error) => panic!("{error}"),
    }
}

fn write(path: &str, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn frame(file: &str) -> DataFrame {
    let read = PlRefPath::try_from_path(file.as_ref())
        .and_then(|path| LazyFrame::scan_parquet(path, ScanArgsParquet::default()))
        .and_then(LazyFrame::collect);
    read.unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What came of it, and the CPU seconds that it took.
fn costs<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu();
    let result = work();
    (result, cpu() - start)
}

fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap_or_else(|error| panic!("{error}"));
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    #[expect(clippy::cast_precision_loss, reason = "a time")]
    let seconds = microseconds as f64 / 1e6;
    seconds
}
