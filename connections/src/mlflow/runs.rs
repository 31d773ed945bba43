//! Runs of an experiment: one for each task that has trained, found again by its tags.

use std::collections::BTreeMap;

use bytes::Bytes;
use pipectl_engine::{operator::TaskError, time::Timestamp};
use serde_json::{Value, json};

use super::client::{Mlflow, done, found, made, text};
use crate::http::Caller;

/// How often a run is looked for and made when it is not known whether it was made.
const TRIES: u32 = 3;
/// Limits of one call (<https://mlflow.org/docs/latest/rest-api.html>, "Log Batch").
const METRICS: usize = 1000;
const PARAMS: usize = 100;
const TAGS: usize = 100;
/// The shortest limits that servers of any version have.
const KEY: usize = 250;
const PARAM: usize = 500;
const TAG: usize = 5000;

/// What is written into a run.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    /// How it was trained.
    pub params: Vec<(String, String)>,
    /// What it is worth.
    pub metrics: BTreeMap<String, f64>,
    /// What it belongs to.
    pub tags: Vec<(String, String)>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlflowRun {
    /// Its identity there.
    pub id: String,
    /// Where its files are.
    pub artifacts: String,
}

impl Mlflow {
    /// The experiment of this name, made when there is none.
    ///
    /// # Errors
    /// When the server cannot be asked, or the experiment was deleted there.
    pub async fn experiment(&self, name: &str, caller: &Caller<'_>) -> Result<String, TaskError> {
        if let Some(id) = self.find_experiment(name, caller).await? {
            return Ok(id);
        }
        let body = json!({"name": name});
        let reply = self.post("experiments/create", &body, caller).await?;
        if let Some(made) = made(reply)? {
            return text(&made, "/experiment_id");
        }
        // Somebody else was faster.
        let id = self.find_experiment(name, caller).await?;
        id.ok_or_else(|| {
            let message =
                format!("MLflow says that the experiment `{name}` is there, and that it is not");
            TaskError::external(message)
        })
    }

    async fn find_experiment(
        &self,
        name: &str,
        caller: &Caller<'_>,
    ) -> Result<Option<String>, TaskError> {
        let query = [("experiment_name", name)];
        let reply = self.get("experiments/get-by-name", &query, caller).await?;
        let Some(answer) = found(reply)? else {
            return Ok(None);
        };
        if text(&answer, "/experiment/lifecycle_stage").is_ok_and(|stage| stage == "deleted") {
            let message = format!("the experiment `{name}` was deleted in MLflow");
            return Err(TaskError::user(message)
                .hint("restore it there, or remove it for good: `mlflow gc`"));
        }
        text(&answer, "/experiment/experiment_id").map(Some)
    }

    /// The run with these tags, made when there is none: however often it is asked for, there is one.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn run(
        &self,
        experiment: &str,
        name: &str,
        tags: &[(&str, String)],
        started: Timestamp,
        caller: &Caller<'_>,
    ) -> Result<MlflowRun, TaskError> {
        let new = json!({
            "experiment_id": experiment,
            "run_name": name,
            "start_time": started.timestamp_millis(),
            "tags": tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect::<Vec<_>>(),
        });
        let mut tries = 0;
        loop {
            tries += 1;
            if let Some(run) = self.find_run(experiment, tags, caller).await? {
                return Ok(run);
            }
            let made = self.post_once("runs/create", &new, caller).await;
            match made.and_then(done) {
                Ok(made) => return run_of(&made, "/run"),
                // Perhaps it is there all the same.
                Err(error) if error.retryable && tries < TRIES => {
                    (caller.tell)(format!("{}; looking whether it is there", error.message));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn find_run(
        &self,
        experiment: &str,
        tags: &[(&str, String)],
        caller: &Caller<'_>,
    ) -> Result<Option<MlflowRun>, TaskError> {
        let conditions = tags
            .iter()
            .map(|(key, value)| format!("tags.{key} = '{value}'"));
        let body = json!({
            "experiment_ids": [experiment],
            "filter": conditions.collect::<Vec<_>>().join(" and "),
            "max_results": 1,
        });
        let found = done(self.post("runs/search", &body, caller).await?)?;
        let first = found.pointer("/runs/0");
        first.map(|run| run_of(run, "")).transpose()
    }

    /// Writes parameters, measures and tags into a run; the same ones twice are there once.
    ///
    /// # Errors
    /// When the server cannot be asked, or takes none of it.
    pub async fn log(
        &self,
        run: &MlflowRun,
        facts: &RunFacts,
        at: Timestamp,
        caller: &Caller<'_>,
    ) -> Result<(), TaskError> {
        for body in batches(&run.id, facts, at.timestamp_millis()) {
            done(self.post("runs/log-batch", &body, caller).await?)?;
        }
        Ok(())
    }

    /// Puts a file into a run.
    ///
    /// # Errors
    /// When the server cannot be asked, or does not keep files itself.
    pub async fn put_file(
        &self,
        run: &MlflowRun,
        path: &str,
        content: Bytes,
        caller: &Caller<'_>,
    ) -> Result<(), TaskError> {
        let Some(place) = proxied(&run.artifacts) else {
            let scheme = run.artifacts.split(':').next().unwrap_or_default();
            let message = format!(
                "MLflow keeps its files at `{scheme}:`, where only its own clients can put them"
            );
            return Err(TaskError::user(message).hint(
                "start it with `--artifacts-destination`, so that it takes them itself (`mlflow-artifacts:`)",
            ));
        };
        self.put(&format!("{place}/{path}"), content, caller).await
    }

    /// Says that a run is over and well.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn finish(
        &self,
        run: &MlflowRun,
        at: Timestamp,
        caller: &Caller<'_>,
    ) -> Result<(), TaskError> {
        let body = json!({
            "run_id": run.id,
            "status": "FINISHED",
            "end_time": at.timestamp_millis(),
        });
        done(self.post("runs/update", &body, caller).await?).map(drop)
    }

    /// The measures and tags of a run; none when it is gone.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn facts(&self, run: &str, caller: &Caller<'_>) -> Result<RunFacts, TaskError> {
        let answer = found(self.get("runs/get", &[("run_id", run)], caller).await?)?;
        let data = answer
            .as_ref()
            .and_then(|answer| answer.pointer("/run/data"));
        let list = |key: &str| {
            let list = data.and_then(|data| data.get(key)?.as_array());
            list.into_iter().flatten()
        };
        let metrics = list("metrics").filter_map(|metric| {
            let (key, value) = (metric.get("key")?.as_str()?, metric.get("value")?.as_f64()?);
            Some((key.to_owned(), value))
        });
        let tags = list("tags").filter_map(|tag| {
            let (key, value) = (tag.get("key")?.as_str()?, tag.get("value")?.as_str()?);
            Some((key.to_owned(), value.to_owned()))
        });
        Ok(RunFacts {
            params: Vec::new(),
            metrics: metrics.collect(),
            tags: tags.collect(),
        })
    }
}

fn run_of(answer: &Value, path: &str) -> Result<MlflowRun, TaskError> {
    Ok(MlflowRun {
        id: text(answer, &format!("{path}/info/run_id"))?,
        artifacts: text(answer, &format!("{path}/info/artifact_uri"))?,
    })
}

/// The place of artifacts that the server keeps itself: `mlflow-artifacts:/1/abc/artifacts` is `1/abc/artifacts`.
fn proxied(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    Some(path.trim_matches('/'))
}

/// What is to be logged, in as many calls as the server's limits ask for.
fn batches(run: &str, facts: &RunFacts, at: i64) -> Vec<Value> {
    let pair = |(key, value): &(String, String), most: usize| json!({"key": known_key(key), "value": cut(value, most)});
    let params: Vec<Value> = facts.params.iter().map(|one| pair(one, PARAM)).collect();
    let tags: Vec<Value> = facts.tags.iter().map(|one| pair(one, TAG)).collect();
    let finite = facts.metrics.iter().filter(|(_, value)| value.is_finite());
    let metrics: Vec<Value> = finite
        .map(|(key, value)| {
            json!({"key": known_key(key), "value": value, "timestamp": at, "step": 0})
        })
        .collect();
    let count = params
        .len()
        .div_ceil(PARAMS)
        .max(tags.len().div_ceil(TAGS))
        .max(metrics.len().div_ceil(METRICS));
    (0..count)
        .map(|number| {
            json!({
                "run_id": run,
                "params": part(&params, number, PARAMS),
                "tags": part(&tags, number, TAGS),
                "metrics": part(&metrics, number, METRICS),
            })
        })
        .collect()
}

fn part(all: &[Value], number: usize, size: usize) -> &[Value] {
    all.chunks(size).nth(number).unwrap_or_default()
}

/// A key with no other characters than MLflow takes.
fn known_key(key: &str) -> String {
    let known = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/' | ':');
    let key = key.chars().map(|c| if known(c) { c } else { '_' });
    key.take(KEY).collect()
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_keeps_to_the_limits() {
        let facts = RunFacts {
            params: (0..250)
                .map(|number| (format!("p[{number}]"), "x".repeat(700)))
                .collect(),
            metrics: (0..1001)
                .map(|number| (format!("m{number}"), f64::from(number)))
                .chain([("bad".to_owned(), f64::NAN)])
                .collect(),
            tags: vec![("a".to_owned(), "b".to_owned())],
        };
        let batches = batches("r", &facts, 5);
        assert_eq!(batches.len(), 3);
        let sizes = |key: &str| -> Vec<usize> {
            batches
                .iter()
                .map(|batch| batch[key].as_array().unwrap().len())
                .collect()
        };
        assert_eq!(sizes("params"), [100, 100, 50]);
        assert_eq!(sizes("metrics"), [1000, 1, 0]);
        assert_eq!(sizes("tags"), [1, 0, 0]);
        let first = &batches[0]["params"][0];
        assert_eq!(first["key"], "p_0_");
        assert_eq!(first["value"].as_str().unwrap().chars().count(), PARAM);
        assert!(super::batches("r", &RunFacts::default(), 5).is_empty());
    }

    #[test]
    fn the_server_keeps_what_it_takes_itself() {
        for (uri, place) in [
            ("mlflow-artifacts:/1/abc/artifacts", Some("1/abc/artifacts")),
            ("mlflow-artifacts://host:5000/1/abc", Some("1/abc")),
            ("s3://bucket/1/abc", None),
            ("/var/mlruns/1", None),
        ] {
            assert_eq!(proxied(uri), place, "{uri}");
        }
    }
}
