//! `extract: http`: reads the records of an API, page by page, slice by slice.

mod fetch;
mod keep;
mod pages;
mod slices;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod whole;

use std::{path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use pipectl_connections::Patience;
use pipectl_engine::{
    dataset::Dataset,
    operator::{
        Complaints, ConnectionName, DurationText, Kind, Operator, Outcome, Output, Outputs,
        ProbeContext, SizeText, Takes, TaskContext, TaskError, ValueType,
    },
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use self::{
    fetch::Fetch,
    keep::{Keeper, Progress},
    pages::Pagination,
    slices::{Cut, Slice},
    whole::{Wanted, empty, whole},
};
use crate::support::{
    api::{Method, Place, defaults, headers, query, unless_cancelled},
    settings::{ColumnType, Names},
    text::count,
};

/// `extract: http`.
pub(crate) struct Http;

/// Which API, what to ask it, and how its pages follow each other.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The connection to the API: its address, credentials and rate limit.
    connection: Option<ConnectionName>,
    /// What follows the connection's address. `{start}` and `{end}` in it stand for the bounds of the slice.
    #[serde(default)]
    path: String,
    /// The whole address of an API that needs no credentials, in place of `connection` and `path`.
    url: Option<String>,
    /// How to ask. With `post` the parameters of pages and slices go into the body.
    #[serde(default = "get")]
    method: Method,
    /// Parameters of the address. A list gives one for each of its items; what is null is left out.
    #[serde(default)]
    query: Map<String, Value>,
    /// Headers besides those of the connection.
    #[serde(default)]
    headers: IndexMap<String, String>,
    /// The body of a question by `post`, sent as JSON.
    body: Option<Map<String, Value>>,
    /// Where the list of records is in the answer, as in `data.items`; `$` is the answer itself, as one record. Without it
    /// the answer is the list.
    records: Option<String>,
    /// Whether an answer without `records` is one without any, and no mistake.
    #[serde(default)]
    records_may_be_missing: bool,
    /// How the pages follow each other. Without it there is one page.
    pagination: Option<Pagination>,
    /// Cuts the run's interval into slices, each with pages of its own. Without it the API is asked once for everything.
    slice: Option<Slice>,
    /// How many slices are read at once.
    #[serde(default = "defaults::four")]
    parallel: u16,
    /// The columns that tell records apart: of several with the same key the first is kept. Records move to other pages
    /// when some are added meanwhile.
    #[serde(default)]
    key: Names,
    /// The columns to keep, in this order; all when it is left out. A map within a record gives columns like `site_name`,
    /// a list becomes text.
    #[serde(default)]
    columns: Vec<String>,
    /// The types of columns; those of the others are taken from all records. A declared column is there also when no
    /// record has it.
    #[serde(default)]
    types: IndexMap<String, ColumnType>,
    /// How long an answer may take, to its last byte.
    #[serde(default = "defaults::one_minute")]
    answer_within: DurationText,
    /// How often a call is tried again that breaks off or is answered with 429 or 5xx, with growing pauses or those that
    /// the API asks for (`Retry-After`).
    #[serde(default = "defaults::five")]
    retries: u32,
    /// When the API asks for a longer pause than this, the attempt fails, and its own `retry` decides.
    #[serde(default = "defaults::five_minutes")]
    longest_wait: DurationText,
    /// How large an answer may be.
    #[serde(default = "large")]
    max_bytes: SizeText,
}

fn get() -> Method {
    Method::Get
}

fn large() -> SizeText {
    SizeText(64 * 1024 * 1024)
}

impl Config {
    fn place(&self) -> Place<'_> {
        Place {
            connection: self.connection.as_ref(),
            path: &self.path,
            url: self.url.as_deref(),
        }
    }

    fn cuts(&self, context: &TaskContext) -> Result<Vec<Option<Cut>>, TaskError> {
        let Some(slice) = &self.slice else {
            return Ok(vec![None]);
        };
        let interval = context.run.interval.ok_or_else(|| {
            TaskError::user("`slice` cuts the run's interval, and this run has none").hint(
                "give the pipeline a schedule or a top-level `interval:`, or leave `slice` out",
            )
        })?;
        Ok(slice
            .cuts(interval, context.run.zone)?
            .into_iter()
            .map(Some)
            .collect())
    }
}

impl Operator for Http {
    type Config = Config;
    const KIND: Kind = Kind::Extract;
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Reads the records of an API, page by page.";
    const TAKES: Takes = Takes::Nothing;

    fn outputs(_: &Config) -> Outputs {
        Outputs::table()
            .value("pages", ValueType::Integer, "how many pages were read")
            .value("slices", ValueType::Integer, "how many slices were read")
    }

    fn check(config: &Config, found: &mut Complaints) {
        config.place().check(found);
        match config.method {
            Method::Get if config.body.is_some() => {
                found
                    .error(&["body"], "a question by `get` has no body")
                    .hint("write `method: post` beside it");
            }
            Method::Get | Method::Post => {}
            _ => {
                found
                    .error(&["method"], "records are read by `get` or `post`")
                    .hint("`run: http` sends what changes something");
            }
        }
        if let Some(pagination) = &config.pagination {
            pagination.check(found);
        }
        if let Some(slice) = &config.slice {
            slice.check(config.url.as_deref().unwrap_or(&config.path), found);
        }
        if config.parallel == 0 {
            found
                .error(&["parallel"], "nothing would be read")
                .hint("write a number from 1 on");
        }
    }

    async fn probe(config: &Config, context: &ProbeContext) -> Result<(), TaskError> {
        // No call: it might count against a limit, or cost something.
        config.place().probe(context).await
    }

    async fn run(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
        unless_cancelled(context, read(config, context)).await
    }
}

async fn read(config: Config, context: &TaskContext) -> Result<Outcome, TaskError> {
    let cuts = config.cuts(context)?;
    let slices = cuts.len() as u64;
    let progress = Progress::load(context).await?;
    if progress.pages > 0 {
        context.log.info(format!(
            "goes on after {} of an earlier attempt",
            count(progress.pages, "page")
        ));
    }
    let (client, target) = config
        .place()
        .open(&context.project, &context.services)
        .await?;
    let fetch = Fetch {
        context,
        client,
        target,
        method: config.method,
        query: query(&config.query)?,
        headers: headers(&config.headers),
        body: config.body,
        records: config.records,
        records_may_be_missing: config.records_may_be_missing,
        pagination: config.pagination,
        slice: config.slice,
        parallel: usize::from(config.parallel.max(1)),
        patience: Patience {
            timeout: config.answer_within.0,
            retries: config.retries,
            longest_wait: config.longest_wait.0,
            max_bytes: config.max_bytes.0,
        },
    };
    let wanted = Wanted {
        key: config.key.0,
        columns: config.columns,
        types: config.types,
    };
    let keeper = Keeper {
        context,
        types: Arc::new(wanted.types.clone()),
        key: &wanted.key,
        slices,
    };
    let (sender, receiver) = mpsc::channel(fetch.parallel * 4);
    let todo = cuts
        .into_iter()
        .zip(0..)
        .filter_map(|(cut, slice)| Some((slice, cut, progress.position(slice)?)))
        .collect();
    // What was fetched before one slice failed is kept all the same.
    let (fetched, kept) = tokio::join!(fetch.all(todo, sender), keeper.keep(progress, receiver));
    let progress = kept?;
    fetched?;
    finish(context, &progress, wanted, slices).await
}

async fn finish(
    context: &TaskContext,
    progress: &Progress,
    wanted: Wanted,
    slices: u64,
) -> Result<Outcome, TaskError> {
    context.log.info(format!(
        "{} on {}",
        count(progress.records, "record"),
        count(progress.pages, "page")
    ));
    let output = |dataset: Dataset| {
        Output::table(dataset)
            .value("pages", progress.pages)
            .value("slices", slices)
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for key in progress.keys() {
        let file = context.artifacts.local(&key).await;
        files.push(file.map_err(|error| {
            TaskError::external("cannot read the pages that were kept").because(error)
        })?);
    }
    if files.is_empty() {
        return Ok(match empty(&wanted) {
            Some(frame) => Outcome::Done(output(Dataset::from_frame(frame))),
            None => Outcome::Skipped("the API has no records, and so it is not known which columns they have; `types` declares them".to_owned()),
        });
    }
    let whole = context.compute(move || whole(&files, &wanted)).await?;
    let mut output = output(whole.dataset);
    if let Some(duplicates) = whole.duplicates.filter(|duplicates| *duplicates > 0) {
        context
            .log
            .info(format!("{} came twice", count(duplicates, "record")));
    }
    for warning in whole.warnings {
        output = output.warning(warning);
    }
    Ok(Outcome::Done(output))
}
