//! Values that training never saw.

use std::collections::{BTreeSet, HashSet};

use indexmap::IndexMap;

use crate::data::{Table, Values, lower};
use crate::onnx::Metadata;

/// Values that are told of a column.
const TOLD: usize = 5;
/// How far the shares of all levels may be from 1 by rounding.
const ROUNDING: f64 = 1e-6;

/// Of text columns whose every level is known from training: rows that have another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unseen {
    columns: IndexMap<String, (usize, BTreeSet<String>)>,
}

impl Unseen {
    /// Every column with such values: its name, its rows that have one, and some of the values.
    pub fn columns(&self) -> impl Iterator<Item = (&str, usize, &BTreeSet<String>)> {
        let columns = self.columns.iter();
        columns.map(|(name, (rows, values))| (name.as_str(), *rows, values))
    }

    /// Counts those of some more rows.
    pub(crate) fn count(&mut self, metadata: &Metadata, table: &Table) {
        let folds = metadata.ignore_case != Some(false);
        for known in &metadata.reference {
            let shares: f64 = known.levels.values().sum();
            // Of a column with many levels only the most frequent are kept.
            if known.levels.is_empty() || shares + known.missing < 1.0 - ROUNDING {
                continue;
            }
            let Some(Values::Text(text)) = table.column(&known.name).map(|column| &column.values)
            else {
                continue;
            };
            let spelled = |level: &str| {
                if folds {
                    lower(level)
                } else {
                    level.to_owned()
                }
            };
            let seen: HashSet<String> = known.levels.keys().map(|level| spelled(level)).collect();
            let is_new = |level: &str| !level.is_empty() && !seen.contains(&spelled(level));
            let levels = text.levels.iter().enumerate();
            let new: HashSet<usize> = levels
                .filter(|(_, level)| is_new(level))
                .map(|(code, _)| code)
                .collect();
            if new.is_empty() {
                continue;
            }
            let codes = text.codes.iter().map(|code| *code as usize);
            let rows = codes.filter(|code| new.contains(code)).count();
            if rows == 0 {
                continue;
            }
            let (count, told) = self.columns.entry(known.name.clone()).or_default();
            *count += rows;
            let values = new.iter().map(|code| text.levels[*code].to_string());
            told.extend(values);
            while told.len() > TOLD {
                told.pop_last();
            }
        }
    }
}
