//! Random streams for tests against oracles.
//!
//! A case is a rule on an entity over a stream. `ORACLE_CASES=100000 cargo test --test it oracle` lets each of these tests
//! look at so many cases at least; a failing stream prints its seed, and `ORACLE_SEED=…` runs it alone.

use std::ops::Range;

/// The same numbers for the same seed (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Seeds are small; their bits must spread first.
        (0..8).for_each(|_| {
            random.next();
        });
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// The one stream to look at, if there is one.
pub fn only_seed() -> Option<u64> {
    number("ORACLE_SEED")
}

/// The seeds of a test that looks at `usual` streams, of so many cases each, unless more or one are asked for.
pub fn seeds(usual: u64, cases: u64) -> Range<u64> {
    let streams = number("ORACLE_CASES").map_or(usual, |all| all.div_ceil(cases));
    only_seed().map_or(1..streams + 1, |seed| seed..seed + 1)
}
