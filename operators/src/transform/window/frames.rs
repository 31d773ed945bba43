//! The rows in the order of their groups, and which of them each row looks at.

use pipectl_engine::operator::TaskError;
use polars::prelude::*;

use super::{Config, New};
use crate::support::{
    instants::{Scale, instants, scale},
    keys::{column, groups},
    sorting::positions,
};

/// The rows, group by group and within them in order. A line is a row's place there.
pub(super) struct Lines {
    /// The row at each line.
    pub(super) rows: Vec<IdxSize>,
    /// The lines of each group.
    pub(super) groups: Vec<std::ops::Range<usize>>,
    /// A number for each row that equal rows in the order share.
    pub(super) peers: Vec<u32>,
    /// The first column of the order, on a scale.
    time: Option<(Int64Chunked, Scale)>,
}

impl Lines {
    pub(super) fn new(config: &Config, name: &str, frame: &DataFrame) -> Result<Self, TaskError> {
        let (numbers, count) = groups(name, frame, &config.by.0)?;
        let group = Column::new("group".into(), &numbers);
        let rows = positions(name, frame, &[group], &config.order_by)?;
        let mut sizes = vec![0; count];
        for number in &numbers {
            if let Some(size) = sizes.get_mut(*number as usize) {
                *size += 1;
            }
        }
        let mut end = 0;
        let groups_of = |size: usize| {
            end += size;
            end - size..end
        };
        let order: Vec<String> = config
            .order_by
            .0
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let (peers, _) = groups(name, frame, &order)?;
        let wants_time = config.columns.values().any(|new| new.within.is_some());
        let time = match config.order_by.0.first() {
            Some((time, _)) if wants_time => {
                let time = column(name, frame, time)?;
                let scale = scale(&[(name, time)])?;
                if scale == Scale::Numbers {
                    return Err(TaskError::user(format!(
                        "`{}` of `{name}` is no date or time, which `within` needs",
                        time.name()
                    ))
                    .hint("a window of so many rows is `rows: 7`"));
                }
                Some((instants(time, scale)?, scale))
            }
            _ => None,
        };
        Ok(Self {
            rows,
            groups: sizes.into_iter().map(groups_of).collect(),
            peers,
            time,
        })
    }

    /// The lines that each line looks at: both ends only ever move forward within a group.
    pub(super) fn frames(&self, new: &New) -> Vec<(usize, usize)> {
        let mut frames = Vec::with_capacity(self.rows.len());
        for group in &self.groups {
            let mut start = group.start;
            for line in group.clone() {
                if new.whole {
                    frames.push((group.start, group.end));
                    continue;
                }
                let end = if new.exclude_current { line } else { line + 1 };
                if let Some(rows) = new.rows {
                    start = end.saturating_sub(rows).max(group.start);
                } else if let Some(within) = new.within {
                    start = self.since(within.0, line, start, end);
                }
                frames.push((start, end));
            }
        }
        frames
    }

    /// The first line from `start` on that is less than `within` before `line`.
    fn since(&self, within: std::time::Duration, line: usize, start: usize, end: usize) -> usize {
        let Some((times, scale)) = &self.time else {
            return start;
        };
        let at = |line: usize| self.rows.get(line).and_then(|row| times.get(*row as usize));
        let Some(now) = at(line) else { return end };
        let oldest = now.saturating_sub(scale.stretch(within));
        (start..end)
            .find(|line| at(*line).is_some_and(|time| time > oldest))
            .unwrap_or(end)
    }
}
