//! What may start, best first: a heap for each pool.

use std::collections::BinaryHeap;

use super::Unit;

/// How urgent a task is: greater is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// What the pipeline says.
    pub(super) priority: i64,
    /// How many tasks are on the longest way to the end.
    pub(super) path: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    rank: Rank,
    unit: Unit,
}

impl Ord for Entry {
    /// By rank; among equals the order of the file, then of the list.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank
            .cmp(&other.rank)
            .then_with(|| other.unit.cmp(&self.unit))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The ready units of all pools.
#[derive(Debug)]
pub(super) struct Ready(Vec<BinaryHeap<Entry>>);

impl Ready {
    pub(super) fn new(pools: usize) -> Self {
        Self((0..pools).map(|_| BinaryHeap::new()).collect())
    }

    pub(super) fn push(&mut self, pool: usize, rank: Rank, unit: Unit) {
        self.0[pool].push(Entry { rank, unit });
    }

    /// Takes the best unit of those pools that `free` allows.
    pub(super) fn pop(&mut self, mut free: impl FnMut(usize) -> bool) -> Option<Unit> {
        let pools = 0..self.0.len();
        let best = pools
            .filter(|pool| !self.0[*pool].is_empty() && free(*pool))
            .max_by(|a, b| self.0[*a].peek().cmp(&self.0[*b].peek()))?;
        self.0[best].pop().map(|entry| entry.unit)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(BinaryHeap::is_empty)
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(BinaryHeap::clear);
    }
}
