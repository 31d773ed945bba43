//! The as-of join: for each row of the left table the row of the right table that was the last before it (or the first
//! after it) with the same key.
//!
//! Neither table is sorted as a whole. The left rows of a key stand in the order of time, as slots. Each right row is
//! put into the first slot in which it is available, where the greatest stays; then each slot takes over what its
//! predecessor has, if that is greater. So a right row costs one look-up, and only the smaller table is sorted.

use rayon::prelude::*;

use super::keys::{Keys, NONE};

/// Which right row belongs to a left row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The last one at its time or before.
    Backward,
    /// The first one at its time or after.
    Forward,
    /// That of the two that is less far away; at the same distance the earlier one.
    Nearest,
}

/// Two tables to be joined.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    /// The keys; rows without a time have none.
    pub(crate) keys: &'a Keys,
    /// The times of the left rows.
    pub(crate) left: &'a [i64],
    /// The times of the right rows.
    pub(crate) right: &'a [i64],
    /// When the right rows were made: of those with the same time the last one made counts, then the last in the table.
    pub(crate) created: Option<&'a [i64]>,
    /// Whether a right row counts only for left rows that are not before it was made.
    pub(crate) only_known: bool,
    /// How far away a row may be.
    pub(crate) tolerance: Option<i64>,
}

/// A right row that may be the one: the greatest is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    time: i64,
    created: i64,
    /// One more than the row, so that nothing is less than everything.
    row: u32,
}

impl Candidate {
    const NOTHING: Self = Self {
        time: i64::MIN,
        created: i64::MIN,
        row: 0,
    };
}

/// The left rows of each key in the order of time.
struct Slots {
    /// Where the slots of each key begin; one more at the end.
    starts: Vec<u32>,
    times: Vec<i64>,
    rows: Vec<u32>,
}

/// How many right rows a thread takes at least.
const SHARE: usize = 1 << 16;

/// For each left row the right row that belongs to it.
pub(crate) fn join(tables: &Tables<'_>, direction: Direction) -> Vec<Option<u32>> {
    let slots = Slots::new(tables.keys, tables.left);
    let mut found = vec![None; tables.left.len()];
    let backward = (direction != Direction::Forward).then(|| tables.best(&slots, false));
    let forward = (direction != Direction::Backward).then(|| tables.best(&slots, true));
    for (slot, (row, time)) in slots.rows.iter().zip(&slots.times).enumerate() {
        let near = |best: &Option<Vec<Candidate>>| {
            let candidate = best.as_ref()?.get(slot)?;
            let right = candidate.row.checked_sub(1)?;
            let distance = time.abs_diff(*tables.right.get(right as usize)?);
            let near = tables
                .tolerance
                .is_none_or(|most| distance <= most.unsigned_abs());
            near.then_some((distance, right))
        };
        let chosen = match (near(&backward), near(&forward)) {
            (Some(before), Some(after)) if after.0 < before.0 => Some(after),
            (Some(before), _) => Some(before),
            (None, after) => after,
        };
        if let Some(place) = found.get_mut(*row as usize) {
            *place = chosen.map(|(_, right)| right);
        }
    }
    found
}

impl Slots {
    fn new(keys: &Keys, times: &[i64]) -> Self {
        let mut starts = vec![0_u32; keys.count + 1];
        for key in keys.left.iter().filter(|key| **key != NONE) {
            starts[*key as usize + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let total = starts.last().map_or(0, |count| *count as usize);
        let mut slots = vec![(0_i64, 0_u32); total];
        for ((key, time), row) in keys.left.iter().zip(times).zip(0..) {
            if *key != NONE {
                let place = &mut next[*key as usize];
                slots[*place as usize] = (*time, row);
                *place += 1;
            }
        }
        for range in starts.windows(2) {
            if range[1] - range[0] > 1 {
                slots[range[0] as usize..range[1] as usize].sort_unstable();
            }
        }
        let (times, rows) = slots.into_iter().unzip();
        Self {
            starts,
            times,
            rows,
        }
    }
}

impl Tables<'_> {
    /// The greatest candidate of each slot; `after` looks the other way, where the least time is the greatest.
    fn best(&self, slots: &Slots, after: bool) -> Vec<Candidate> {
        let threads = rayon::current_num_threads();
        // Each thread has slots of its own: not more of them than are worth their merging.
        let worth = self.right.len() / slots.times.len().max(SHARE);
        let share = self.right.len().div_ceil(threads.min(worth).max(1)).max(1);
        let parts = (0..self.right.len().div_ceil(share)).into_par_iter();
        let best = parts
            .map(|part| {
                let rows = part * share..((part + 1) * share).min(self.right.len());
                self.part(slots, rows, after)
            })
            .reduce_with(|mut one, other| {
                for (one, other) in one.iter_mut().zip(other) {
                    *one = (*one).max(other);
                }
                one
            });
        let mut best = best.unwrap_or_else(|| vec![Candidate::NOTHING; slots.times.len()]);
        for range in slots.starts.windows(2) {
            let (first, last) = (range[0] as usize, range[1] as usize);
            if after {
                for slot in (first + 1..last).rev() {
                    best[slot - 1] = best[slot - 1].max(best[slot]);
                }
            } else {
                for slot in first + 1..last {
                    best[slot] = best[slot].max(best[slot - 1]);
                }
            }
        }
        best
    }

    fn part(&self, slots: &Slots, rows: std::ops::Range<usize>, after: bool) -> Vec<Candidate> {
        let mut best = vec![Candidate::NOTHING; slots.times.len()];
        for row in rows {
            let key = self.keys.right[row];
            if key == NONE {
                continue;
            }
            let (first, last) = (
                slots.starts[key as usize] as usize,
                slots.starts[key as usize + 1] as usize,
            );
            let (time, times) = (self.right[row], &slots.times[first..last]);
            let created = self.created.map_or(0, |created| created[row]);
            let slot = if after {
                times.partition_point(|slot| *slot <= time).checked_sub(1)
            } else {
                let known = if self.only_known {
                    time.max(created)
                } else {
                    time
                };
                Some(times.partition_point(|slot| *slot < known))
            };
            let Some(place) = slot.filter(|slot| *slot < times.len()) else {
                continue;
            };
            let candidate = Candidate {
                // The complement turns the order round without overflow.
                time: if after { !time } else { time },
                created,
                row: u32::try_from(row + 1).unwrap_or(0),
            };
            let place = &mut best[first + place];
            *place = (*place).max(candidate);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the join means, row by row.
    fn obvious(tables: &Tables<'_>, direction: Direction) -> Vec<Option<u32>> {
        let found = |row: usize| {
            let (key, time) = (tables.keys.left[row], tables.left[row]);
            let rows = (0..tables.right.len()).filter(|right| {
                let (other, created) = (
                    tables.right[*right],
                    tables.created.map_or(0, |created| created[*right]),
                );
                key != NONE
                    && tables.keys.right[*right] == key
                    && tables
                        .tolerance
                        .is_none_or(|most| (time - other).abs() <= most)
                    && match direction {
                        Direction::Backward => {
                            other <= time && (!tables.only_known || created <= time)
                        }
                        Direction::Forward => other >= time,
                        Direction::Nearest => true,
                    }
            });
            rows.max_by_key(|right| {
                let other = tables.right[*right];
                let created = tables.created.map_or(0, |created| created[*right]);
                (-(time - other).abs(), other <= time, created, *right)
            })
            .and_then(|right| u32::try_from(right).ok())
        };
        (0..tables.left.len()).map(found).collect()
    }

    fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        }
    }

    #[test]
    fn it_is_what_the_obvious_way_finds() {
        for seed in 0..200 {
            let mut draw = draws(seed);
            let (rows, others, keys) = (draw(40), draw(120), 1 + draw(6));
            let mut column = |count: u64, below: u64| -> Vec<i64> {
                (0..count).map(|_| draw(below).cast_signed()).collect()
            };
            let (left, right, created) = (column(rows, 30), column(others, 30), column(others, 30));
            let mut numbers = |count: u64| -> Vec<u32> {
                let number = |key: u64| {
                    if key == keys {
                        NONE
                    } else {
                        u32::try_from(key).unwrap()
                    }
                };
                (0..count).map(|_| number(draw(keys + 1))).collect()
            };
            let keys = Keys {
                left: numbers(rows),
                right: numbers(others),
                count: usize::try_from(keys).unwrap(),
            };
            for (tolerance, known, direction) in [
                (None, false, Direction::Backward),
                (Some(3), true, Direction::Backward),
                (None, true, Direction::Backward),
                (Some(0), false, Direction::Forward),
                (Some(4), false, Direction::Forward),
                (None, false, Direction::Nearest),
                (Some(2), false, Direction::Nearest),
            ] {
                for created in [None, Some(created.as_slice())] {
                    let tables = Tables {
                        keys: &keys,
                        left: &left,
                        right: &right,
                        created,
                        only_known: known && created.is_some(),
                        tolerance,
                    };
                    assert_eq!(
                        join(&tables, direction),
                        obvious(&tables, direction),
                        "{seed} {direction:?} {tolerance:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let mut draw = draws(7);
        let rows: u64 = 400_000;
        let mut column = |count: u64, below: u64| -> Vec<i64> {
            (0..count).map(|_| draw(below).cast_signed()).collect()
        };
        let (left, right, created) = (column(1_000, 500), column(rows, 500), column(rows, 500));
        let mut numbers = |count: u64| -> Vec<u32> {
            (0..count)
                .map(|_| u32::try_from(draw(50)).unwrap())
                .collect()
        };
        let keys = Keys {
            left: numbers(1_000),
            right: numbers(rows),
            count: 50,
        };
        let tables = Tables {
            keys: &keys,
            left: &left,
            right: &right,
            created: Some(&created),
            only_known: true,
            tolerance: None,
        };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| join(&tables, Direction::Backward))
        };
        assert_eq!(with(1), with(4));
    }
}
