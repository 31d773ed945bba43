//! Random numbers that never change: `SplitMix64`, integers only.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; the constants are those
//! of Vigna's public-domain reference implementation `splitmix64.c`.

/// The odd constant by which the state advances: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers, fully given by its seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of one thing among many, e.g. `[day, row, purpose]`: independent of how much the others drew, so a
    /// longer table begins with the shorter one and a new flaw leaves the customers as they were.
    pub fn stream(seed: u64, path: &[u64]) -> Self {
        let join = |state: u64, part: &u64| mix(state ^ mix(part.wrapping_add(STEP)));
        Self(path.iter().fold(mix(seed), join))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from 0 up to, not including, `bound`; 0 for the bound 0.
    pub fn below(&mut self, bound: u32) -> i64 {
        // The upper half of a product instead of a remainder: no division, and a bias below 2^-32 × bound.
        (((self.bits() >> 32) * u64::from(bound)) >> 32).cast_signed()
    }

    /// A place in a list of this length; 0 in an empty one.
    pub fn index(&mut self, length: usize) -> usize {
        let bound = u32::try_from(length).unwrap_or(u32::MAX);
        usize::try_from(self.below(bound)).unwrap_or_default()
    }

    /// True in `share` of a thousand cases; never below 0, always from 1,000 on.
    pub fn per_mille(&mut self, share: i64) -> bool {
        self.below(1_000) < share
    }

    /// A draw from about a normal distribution with mean 0 and standard deviation 1,000: the sum of twelve uniform
    /// numbers (Irwin–Hall), which needs no logarithm.
    pub fn normal(&mut self) -> i64 {
        (0..12).map(|_| self.below(1_001)).sum::<i64>() - 6_000
    }
}

/// Stirs all bits of a number (the output function of `SplitMix64`, a bijection).
fn mix(state: u64) -> u64 {
    let once = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_numbers_of_the_reference_implementation() {
        let mut random = Random::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_| random.bits()), expected);
    }

    #[test]
    fn below_stays_below_and_reaches_every_number() {
        let mut random = Random::new(1);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[usize::try_from(random.below(7)).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|count| (850..1_150).contains(count)),
            "{seen:?}"
        );
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn chances_have_their_ends() {
        let mut random = Random::new(2);
        for _ in 0..2_000 {
            assert!(!random.per_mille(0) && !random.per_mille(-5));
            assert!(random.per_mille(1_000) && random.per_mille(1_400));
        }
    }

    #[test]
    fn normal_has_mean_zero_and_deviation_one_thousand() {
        let mut random = Random::new(3);
        let draws: Vec<i64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<i64>() / 20_000;
        let variance = draws.iter().map(|draw| draw * draw).sum::<i64>() / 20_000;
        assert!(mean.abs() < 25, "{mean}");
        assert!((970_000..1_030_000).contains(&variance), "{variance}");
    }

    #[test]
    fn streams_differ_by_every_part_of_their_path() {
        let first = |seed, path: &[u64]| Random::stream(seed, path).bits();
        let all = [
            first(1, &[0, 0]),
            first(1, &[0, 1]),
            first(1, &[1, 0]),
            first(2, &[0, 0]),
            first(1, &[0]),
        ];
        for (place, number) in all.iter().enumerate() {
            assert!(!all[..place].contains(number), "{all:?}");
        }
        assert_eq!(first(1, &[4, 2]), first(1, &[4, 2]));
    }
}
