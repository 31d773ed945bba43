//! Random numbers that a seed decides.

use std::sync::Mutex;

/// Random numbers by splitmix64.
#[derive(Debug)]
pub(crate) struct Chance(Mutex<u64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number smaller than `most`.
    pub(crate) fn below(&self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    /// Whether it happens, once in so many times; never for 0.
    pub(crate) fn one_in(&self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// Numbers of their own.
    pub(crate) fn branch(&self) -> Self {
        Self::new(self.next())
    }
}
