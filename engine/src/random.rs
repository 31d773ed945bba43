//! Randomness of ids and names: that of the system, or what a seed decides, so that a simulation can be repeated.

use std::cell::Cell;

use uuid::Uuid;

/// What follows from a seed so far.
#[derive(Clone, Copy, Debug)]
struct Seeded {
    state: u64,
    ids: u64,
}

thread_local! {
    static SEEDED: Cell<Option<Seeded>> = const { Cell::new(None) };
}

/// From now on all that this thread draws follows from `seed`; `None` ends that.
pub fn seed(seed: Option<u64>) {
    SEEDED.set(seed.map(|state| Seeded { state, ids: 0 }));
}

/// A UUID of version 4.
pub(crate) fn uuid() -> Uuid {
    match (next(), next()) {
        (Some(high), Some(low)) => {
            let bytes = Uuid::from_u64_pair(high, low).into_bytes();
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        }
        _ => Uuid::new_v4(),
    }
}

/// In a thread that has a seed: the number of the next run's id, and its last bits.
pub(crate) fn id() -> Option<(u64, u32)> {
    let [_, _, _, _, tail @ ..] = next()?.to_be_bytes();
    let mut seeded = SEEDED.get()?;
    seeded.ids += 1;
    SEEDED.set(Some(seeded));
    Some((seeded.ids, u32::from_be_bytes(tail)))
}

/// The next number, by splitmix64.
fn next() -> Option<u64> {
    let mut seeded = SEEDED.get()?;
    seeded.state = seeded.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    SEEDED.set(Some(seeded));
    let z = (seeded.state ^ (seeded.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Some(z ^ (z >> 31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::RunId, time::Timestamp};

    #[test]
    fn a_seed_decides() {
        let drawn = |wish: Option<u64>| {
            seed(wish);
            let ids: Vec<RunId> = (0..3).map(|_| RunId::new(Timestamp::UNIX_EPOCH)).collect();
            assert!(ids.is_sorted(), "{ids:?}");
            (ids, uuid())
        };
        let first = drawn(Some(7));
        assert_eq!(first.1.get_version_num(), 4);
        assert_eq!(drawn(Some(7)), first);
        assert_ne!(drawn(Some(8)), first);
        assert_ne!(drawn(None), drawn(None));
    }
}
