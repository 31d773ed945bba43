//! Identities: of a run, and of a task within a run.

use std::{
    fmt,
    str::FromStr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{random, time::Timestamp};

/// How many bits of an id count what this process has made.
const COUNTED: u8 = 42;

/// The next number; it begins anywhere in the lower half, so that it does not come to its end.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    AtomicU64::new(random & ((1 << (COUNTED - 1)) - 1))
});

/// The identity of a run: a UUID of version 7, so that ids sort by creation, also those that one process makes within a
/// millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// No run at all.
    pub(crate) const NONE: Self = Self(Uuid::nil());

    /// A new id for a run created at `now`.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let seeded = random::id();
        let count = seeded.map_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed), |(count, _)| count);
        let nanoseconds = now.timestamp_subsec_nanos();
        let time = uuid::Timestamp::from_unix_time(seconds, nanoseconds, count.into(), COUNTED);
        let id = Uuid::new_v7(time);
        let Some((_, tail)) = seeded else {
            return Self(id);
        };
        let tail_of = u128::from(u32::MAX);
        Self(Uuid::from_u128(id.as_u128() & !tail_of | u128::from(tail)))
    }

    /// Its last eight characters: enough to tell it from others, and to be typed.
    pub fn short(self) -> String {
        self.0.simple().to_string().split_off(24)
    }

    /// The id as a UUID, for stores.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for RunId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// A task of a run, or one element of a task with `foreach`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    /// The task's name in the pipeline.
    pub task: String,
    /// The element of `foreach`, counted from 0; `None` for the task itself.
    pub element: Option<u32>,
}

impl TaskKey {
    /// The key of a task that is not repeated.
    pub fn task(name: impl Into<String>) -> Self {
        Self {
            task: name.into(),
            element: None,
        }
    }

    /// The key of one element of a repeated task.
    pub fn element(name: impl Into<String>, element: u32) -> Self {
        Self {
            task: name.into(),
            element: Some(element),
        }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            None => f.write_str(&self.task),
            Some(element) => write!(f, "{}[{element}]", self.task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock as _;

    #[test]
    fn ids_sort_by_creation() {
        let now = crate::time::SystemClock.now();
        let ids: Vec<_> = (0..1_000).map(|_| RunId::new(now)).collect();
        assert!(ids.is_sorted());
        let earlier = now - chrono::TimeDelta::milliseconds(1);
        assert!(RunId::new(earlier) < ids[0]);
        let time = ids[0].uuid().get_timestamp().map(|time| time.to_unix().0);
        assert_eq!(time, u64::try_from(now.timestamp()).ok());
    }
}
