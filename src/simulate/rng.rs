//! SplitMix64: a counter put through a mixing function. Equal seeds give equal streams on every machine.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

/// The step of the counter: 2⁶⁴ divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// A stream of its own for each combination of seed and keys.
    #[must_use]
    pub fn keyed(seed: u64, keys: &[u64]) -> Self {
        Self(keys.iter().fold(mix(seed), |state, key| mix(state ^ mix(key.wrapping_add(STEP)))))
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from 0 to `end - 1`; 0 if `end` is not positive.
    pub fn below(&mut self, end: i64) -> i64 {
        let end = u128::try_from(end).unwrap_or(0);
        let scaled = (u128::from(self.bits()) * end) >> 64;
        i64::try_from(scaled).unwrap_or(0)
    }

    /// A number from `first` to `last`.
    pub fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(last - first + 1)
    }

    /// True this many times in a thousand.
    pub fn chance(&mut self, per_mille: i64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of the choices, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let place = usize::try_from(self.below(i64::try_from(choices.len()).unwrap_or(1))).unwrap_or(0);
        choices[place]
    }
}

/// Every bit of the input changes about half of the output's.
const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn the_stream_is_that_of_the_published_algorithm() {
        let mut rng = Rng(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| rng.bits()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_stay_in_their_range_and_use_all_of_it() {
        let mut rng = Rng::keyed(1, &[2, 3]);
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[usize::try_from(rng.between(-3, 3) + 3).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        let hits = (0..10_000).filter(|_| rng.chance(25)).count();
        assert!((180..330).contains(&hits), "{hits}");
    }
}
