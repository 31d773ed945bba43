//! Makes pages durable while others are fetched: whatever waits when the last write is done becomes one file, and then the
//! checkpoint says how far each slice is. An attempt that is killed loses only what was not yet written.

use std::{collections::BTreeMap, sync::Arc};

use indexmap::IndexMap;
use pipectl_engine::{
    dataset::Dataset,
    operator::{TaskContext, TaskError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{pages::Position, table::Records};
use crate::support::{location::Temporary, settings::ColumnType};

/// At most so many rows are put into one file.
const ROWS: usize = 200_000;

/// A page that was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) slice: u32,
    pub(super) page: u32,
    pub(super) records: Vec<Value>,
    /// Where the slice goes on; nothing when it is at its end.
    pub(super) after: Option<Position>,
}

/// How far the work is, as the checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// How often a person has had the run done again: what was kept before counts no more.
    redo: u32,
    /// The prefixes of the attempts' files, and how many files each has.
    files: Vec<(String, u32)>,
    /// Slices that are at their end: first and last of stretches.
    done: Vec<(u32, u32)>,
    /// How far the others are.
    open: BTreeMap<u32, Position>,
    /// How many pages and records there are.
    pub(super) pages: u64,
    pub(super) records: u64,
}

impl Progress {
    /// What earlier attempts of this run have kept.
    pub(super) async fn load(context: &TaskContext) -> Result<Self, TaskError> {
        let fresh = Self {
            redo: context.run.redo,
            ..Self::default()
        };
        let Some(kept) = context.checkpoint.load().await? else {
            return Ok(fresh);
        };
        // What another version has kept, or an operator that stood here before, is of no use.
        let kept = serde_json::from_value::<Self>(kept).ok();
        Ok(kept.filter(|kept| kept.redo == fresh.redo).unwrap_or(fresh))
    }

    /// Where a slice goes on; nothing when it is at its end.
    pub(super) fn position(&self, slice: u32) -> Option<Position> {
        if self
            .done
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slice))
        {
            return None;
        }
        Some(
            self.open
                .get(&slice)
                .cloned()
                .unwrap_or_else(Position::start),
        )
    }

    /// How many slices are at their end.
    pub(super) fn finished(&self) -> u64 {
        self.done
            .iter()
            .map(|(first, last)| u64::from(last - first) + 1)
            .sum()
    }

    /// The keys of all files, in the order in which they were written.
    pub(super) fn keys(&self) -> Vec<String> {
        let all = self.files.iter();
        all.flat_map(|(prefix, count)| (0..*count).map(move |number| key(prefix, number)))
            .collect()
    }

    fn took(&mut self, slice: u32, records: u64, after: Option<Position>) {
        self.pages += 1;
        self.records += records;
        if let Some(position) = after {
            self.open.insert(slice, position);
        } else {
            self.open.remove(&slice);
            self.finish(slice);
        }
    }

    fn finish(&mut self, slice: u32) {
        let at = self.done.partition_point(|(_, last)| *last < slice);
        self.done.insert(at, (slice, slice));
        // Stretches that touch become one.
        if self
            .done
            .get(at + 1)
            .is_some_and(|(first, _)| *first == slice + 1)
        {
            let (_, last) = self.done.remove(at + 1);
            self.done[at].1 = last;
        }
        if at > 0 && self.done[at - 1].1 + 1 == slice {
            let (_, last) = self.done.remove(at);
            self.done[at - 1].1 = last;
        }
    }

    /// The number of the next file of this attempt.
    fn next_file(&self, prefix: &str) -> u32 {
        self.files
            .last()
            .filter(|(last, _)| last == prefix)
            .map_or(0, |(_, count)| *count)
    }

    fn has_file(&mut self, prefix: &str) {
        match self.files.last_mut() {
            Some((last, count)) if last == prefix => *count += 1,
            _ => self.files.push((prefix.to_owned(), 1)),
        }
    }
}

fn key(prefix: &str, number: u32) -> String {
    format!("{prefix}/{number:06}.parquet")
}

/// Keeps pages as they come, until there are no more.
pub(super) struct Keeper<'a> {
    pub(super) context: &'a TaskContext,
    pub(super) types: Arc<IndexMap<String, ColumnType>>,
    pub(super) key: &'a [String],
    pub(super) slices: u64,
}

impl Keeper<'_> {
    /// Keeps all pages that come; answers how far the work is then.
    pub(super) async fn keep(
        &self,
        mut progress: Progress,
        mut pages: mpsc::Receiver<Fetched>,
    ) -> Result<Progress, TaskError> {
        let prefix = format!("{}/pages", self.context.prefix());
        while let Some(first) = pages.recv().await {
            let mut records = Records::default();
            self.take(first, &mut records, &mut progress)?;
            while records.rows() < ROWS
                && let Ok(page) = pages.try_recv()
            {
                self.take(page, &mut records, &mut progress)?;
            }
            if records.rows() > 0 {
                self.write(records, &key(&prefix, progress.next_file(&prefix)))
                    .await?;
                progress.has_file(&prefix);
            }
            let value = serde_json::to_value(&progress).map_err(|error| {
                TaskError::bug("the checkpoint cannot be written").because(error)
            })?;
            self.context.checkpoint.save(&value).await?;
            if self.slices > 1 {
                self.context
                    .progress
                    .set(progress.finished(), Some(self.slices));
            } else {
                self.context.progress.set(progress.records, None);
            }
        }
        Ok(progress)
    }

    fn take(
        &self,
        page: Fetched,
        records: &mut Records,
        progress: &mut Progress,
    ) -> Result<(), TaskError> {
        let count = page.records.len() as u64;
        records.add((page.slice, page.page), page.records, self.key)?;
        progress.took(page.slice, count, page.after);
        Ok(())
    }

    async fn write(&self, records: Records, key: &str) -> Result<(), TaskError> {
        let temporary = Temporary::new(self.context)?;
        let (types, target) = (Arc::clone(&self.types), temporary.0.clone());
        self.context
            .compute(move || {
                let frame = records.tagged(&types)?;
                let written = Dataset::from_frame(frame).write(&target);
                written
                    .map_err(|error| TaskError::external("cannot write the pages").because(error))
            })
            .await?;
        let kept = self
            .context
            .artifacts
            .put_file(key, temporary.0.clone())
            .await;
        kept.map_err(|error| {
            TaskError::external("cannot keep the pages in the artifact store").because(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_finished_slices_grow_together() {
        let mut progress = Progress::default();
        for (slice, expected) in [
            (3, vec![(3, 3)]),
            (0, vec![(0, 0), (3, 3)]),
            (1, vec![(0, 1), (3, 3)]),
            (5, vec![(0, 1), (3, 3), (5, 5)]),
            (4, vec![(0, 1), (3, 5)]),
            (2, vec![(0, 5)]),
        ] {
            progress.took(slice, 1, None);
            assert_eq!(progress.done, expected);
        }
        assert_eq!(
            (progress.finished(), progress.pages, progress.records),
            (6, 6, 6)
        );
        assert_eq!(progress.position(5), None);
        assert_eq!(progress.position(6), Some(Position::start()));
    }
}
