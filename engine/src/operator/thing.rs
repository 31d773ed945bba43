//! What a sensor sees, and what a daemon has to know to watch for it without running the task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Wait;
use crate::time::Timestamp;

/// A thing that a sensor has seen: a file, an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// What tells it from every other thing, also from one of the same name that comes tomorrow: in a bucket key, tag and
    /// time, on a disk path, size, time and inode.
    pub identity: String,
    /// Its key or path.
    pub name: String,
    /// What the sensor puts out for it.
    pub values: Map<String, Value>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: Timestamp,
}

/// How a sensor is watched for `schedule: {sensor: …}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Senses {
    /// What it waits for.
    pub wait: Wait,
    /// What becomes of things that are there when it is first watched.
    pub existing: Existing,
    /// What becomes of a thing whose run has succeeded.
    pub after_success: AfterSuccess,
}

/// What becomes of things that are there when a sensor is first watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Each gets a run.
    #[default]
    Process,
    /// They are left alone.
    Ignore,
}

/// What becomes of a thing whose run has succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterSuccess {
    /// It stays where it is.
    #[default]
    Keep,
    /// It moves below a directory or prefix of the same place, with its whole key.
    Move {
        /// The directory or prefix.
        archive: String,
    },
    /// It is removed.
    Delete,
}
