//! The things that sensors wait for, as they lie in their places now.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use pipectl_engine::{
    operator::{TaskError, Thing, Wait},
    project::Project,
    time::Timestamp,
};
use serde_json::{Map, Value};

use crate::{
    Bucket, Connector, Entry, Found,
    disk::blocking,
    files::{io_error, matching},
    pattern::Pattern,
};

/// How many places are listed at once.
const LISTINGS_AT_ONCE: usize = 8;
/// Up to so many plain keys are asked for one by one rather than by a listing.
const ONE_BY_ONE: usize = 3;

/// What lies where a sensor looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// What has been unchanged for as long as the sensor wishes, the one changed last at the end.
    pub things: Vec<Thing>,
    /// When the first of the others will have been, if nothing changes it again.
    pub next: Option<Timestamp>,
}

/// What a look has found, with what was not settled then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// What a sensor may sense, and when there may be more.
    pub sight: Sight,
    /// What is there and has not been unchanged for long enough.
    pub unsettled: Vec<Thing>,
}

/// The things that `wait` waits for.
///
/// # Errors
/// When its place cannot be listed.
pub async fn things(
    connector: &Connector,
    project: &Project,
    wait: &Wait,
    now: Timestamp,
) -> Result<Sight, TaskError> {
    let mut found = list_many(connector, project, std::slice::from_ref(wait), now).await;
    let found = found
        .pop()
        .unwrap_or_else(|| Err(TaskError::bug("a listing was forgotten")));
    found.map(|looked| looked.sight)
}

/// [`things`] and what is not settled yet, for many waits, answered in their order. Waits for one place of a bucket share one listing.
pub async fn list_many(
    connector: &Connector,
    project: &Project,
    waits: &[Wait],
    now: Timestamp,
) -> Vec<Result<Looked, TaskError>> {
    let mut answers: Vec<Option<Result<Vec<Lying>, TaskError>>> =
        waits.iter().map(|_| None).collect();
    let mut shared: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (index, wait) in waits.iter().enumerate() {
        match asked(connector, project, wait).await {
            Ok(Asked::Files(pattern)) => answers[index] = Some(files(project, pattern).await),
            Ok(Asked::Objects(bucket, pattern)) => shared
                .entry((bucket.name().to_owned(), pattern.base().to_owned()))
                .or_insert_with(|| Group::new(bucket))
                .patterns
                .push((index, pattern)),
            Err(error) => answers[index] = Some(Err(error)),
        }
    }
    let mut listings = stream::iter(shared.into_values())
        .map(Group::list)
        .buffer_unordered(LISTINGS_AT_ONCE);
    while let Some(listed) = listings.next().await {
        for (index, answer) in listed {
            answers[index] = Some(answer);
        }
    }
    let answers = answers.into_iter().zip(waits).map(|(answer, wait)| {
        let found = answer.unwrap_or_else(|| Err(TaskError::bug("a listing was forgotten")))?;
        Ok(settled(found, wait, now))
    });
    answers.collect()
}

/// A thing, and since when it has been as it is.
type Lying = (Thing, Timestamp);

/// Where a wait looks.
enum Asked {
    Files(String),
    Objects(Bucket, Arc<Pattern>),
}

async fn asked(connector: &Connector, project: &Project, wait: &Wait) -> Result<Asked, TaskError> {
    let Wait::Things {
        connection,
        pattern,
        ..
    } = wait
    else {
        return Err(TaskError::bug("only things can be listed"));
    };
    let Some(connection) = connection else {
        return Ok(Asked::Files(pattern.clone()));
    };
    let bucket = connector.bucket(project, connection).await?;
    let pattern = connector.pattern(&bucket, pattern).await?;
    Ok(Asked::Objects(bucket, pattern))
}

/// Patterns with the same beginning.
struct Group {
    bucket: Bucket,
    patterns: Vec<(usize, Arc<Pattern>)>,
}

type Answers = Vec<(usize, Result<Vec<Lying>, TaskError>)>;

impl Group {
    fn new(bucket: Bucket) -> Self {
        Self {
            bucket,
            patterns: Vec::new(),
        }
    }

    async fn list(self) -> Answers {
        let exact = |(_, pattern): &(usize, Arc<Pattern>)| pattern.exact().is_some();
        if self.patterns.len() <= ONE_BY_ONE && self.patterns.iter().all(exact) {
            return self.ask().await;
        }
        let patterns: Vec<_> = self
            .patterns
            .iter()
            .map(|(_, one)| Arc::clone(one))
            .collect();
        let deep = patterns.iter().any(|pattern| pattern.deep());
        let base = patterns
            .first()
            .map(|pattern| pattern.base())
            .unwrap_or_default();
        let listed = self.bucket.below(base, deep, patterns.clone()).await;
        let answers = self.patterns.into_iter().map(|(index, pattern)| {
            let answer = match &listed {
                Ok(entries) => Ok(entries
                    .iter()
                    .filter(|entry| pattern.matches(&entry.key))
                    .map(|entry| of_entry(&self.bucket, entry))
                    .collect()),
                Err(error) => Err(again(error)),
            };
            (index, answer)
        });
        answers.collect()
    }

    async fn ask(self) -> Answers {
        let mut answers = Vec::new();
        for (index, pattern) in self.patterns {
            let found = match pattern.exact() {
                Some(key) => self.bucket.head(key).await,
                None => Ok(None),
            };
            let found = found.map(|entry| {
                let thing = entry.map(|entry| of_entry(&self.bucket, &entry));
                thing.into_iter().collect()
            });
            answers.push((index, found));
        }
        answers
    }
}

/// The same error for another sensor.
fn again(error: &TaskError) -> TaskError {
    let mut same = TaskError::external(error.full_message()).retryable(error.retryable);
    same.fault = error.fault;
    same.hint.clone_from(&error.hint);
    same
}

async fn files(project: &Project, pattern: String) -> Result<Vec<Lying>, TaskError> {
    let root = project.root.clone();
    blocking(move || {
        let found =
            matching(&root, &pattern).map_err(|error| io_error("look for", &pattern, error))?;
        Ok(found.iter().map(of_file).collect())
    })
    .await
}

fn settled(found: Vec<Lying>, wait: &Wait, now: Timestamp) -> Looked {
    let wished = match wait {
        Wait::Things { settle, .. } => *settle,
        _ => Duration::ZERO,
    };
    let (mut sight, mut unsettled) = (Sight::default(), Vec::new());
    for (thing, since) in found {
        if wished.is_zero() || (now - since).to_std().unwrap_or_default() >= wished {
            sight.things.push(thing);
        } else {
            let then = since + wished;
            sight.next = Some(sight.next.map_or(then, |next| next.min(then)));
            unsettled.push(thing);
        }
    }
    sight
        .things
        .sort_by(|left, right| (left.modified, &left.name).cmp(&(right.modified, &right.name)));
    Looked { sight, unsettled }
}

/// What `sensor: file` puts out.
fn of_file(found: &Found) -> Lying {
    let mut values = Map::new();
    values.insert("file".to_owned(), Value::from(found.shown.clone()));
    values.insert("size".to_owned(), Value::from(found.size));
    values.insert(
        "modified".to_owned(),
        Value::from(found.modified.to_rfc3339()),
    );
    let thing = Thing {
        identity: format!("{} {}", found.shown, found.tag),
        name: found.shown.clone(),
        values,
        size: found.size,
        modified: found.modified,
    };
    (thing, found.unchanged)
}

/// What `sensor: object` puts out.
fn of_entry(bucket: &Bucket, entry: &Entry) -> Lying {
    let mut values = Map::new();
    let mut put = |name: &str, value: Value| values.insert(name.to_owned(), value);
    put("file", format!("{}://{}", bucket.name(), entry.key).into());
    put("key", entry.key.clone().into());
    put("size", entry.size.into());
    put("modified", entry.modified.to_rfc3339().into());
    put("etag", entry.plain_tag().into());
    let thing = Thing {
        identity: entry.identity(),
        name: entry.key.clone(),
        values,
        size: entry.size,
        modified: entry.modified,
    };
    (thing, entry.modified)
}
