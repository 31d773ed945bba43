//! A run of only a part of its pipeline.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{NewRun, RunKind};
use crate::id::RunId;

/// What a run that a person has asked for leaves out. It stands in the run's `trigger`, and holds for every attempt at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Tasks that are skipped.
    pub left_out: BTreeSet<String>,
    /// Tasks that are not run, because what they put out is taken from an earlier run.
    pub taken: BTreeMap<String, RunId>,
}

#[derive(Deserialize)]
struct Trigger {
    part: Part,
}

impl Part {
    /// What `run` leaves out; `None` when it is of the whole pipeline.
    pub fn of(run: &NewRun) -> Option<Self> {
        if run.kind != RunKind::Manual || run.trigger.is_null() {
            return None;
        }
        let trigger: Trigger = serde_json::from_value(run.trigger.clone()).ok()?;
        Some(trigger.part)
    }

    /// As a run keeps it.
    pub fn to_trigger(&self) -> Value {
        if *self == Self::default() {
            return Value::Null;
        }
        json!({"part": self})
    }
}
