//! The dead-letter breaker: a broken producer or mapping must stop intake, not drain a topic into the dead letters.

use std::collections::VecDeque;

/// When intake stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Highest share of dead letters among the records of the window, 0–1. Not judged before the window is full.
    pub max_ratio: f64,
    /// How many records the window holds.
    pub window: usize,
    /// Most dead letters in a row.
    pub max_consecutive: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_ratio: 0.5, window: 1000, max_consecutive: 10_000 }
    }
}

/// Why intake stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Tripped {
    /// Too large a share of the newest records.
    #[error("{dead} of the last {window} records are dead letters")]
    Ratio {
        /// Dead letters in the window.
        dead: usize,
        /// Records in the window.
        window: usize,
    },
    /// Too many in a row.
    #[error("{0} records in a row are dead letters")]
    Consecutive(u32),
}

/// Watches one source partition.
#[derive(Debug)]
pub struct Breaker {
    limits: Limits,
    seen: VecDeque<bool>,
    dead: usize,
    run: u32,
}

impl Breaker {
    /// A breaker that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, seen: VecDeque::new(), dead: 0, run: 0 }
    }

    /// Takes in what became of the next record.
    ///
    /// # Errors
    /// If a limit is exceeded: the record itself is still to be written to the dead letters.
    pub fn record(&mut self, dead: bool) -> Result<(), Tripped> {
        if self.seen.len() >= self.limits.window.max(1) && self.seen.pop_front() == Some(true) {
            self.dead -= 1;
        }
        self.seen.push_back(dead);
        if !dead {
            self.run = 0;
            return Ok(());
        }
        self.dead += 1;
        self.run = self.run.saturating_add(1);
        if self.run > self.limits.max_consecutive {
            return Err(Tripped::Consecutive(self.run));
        }
        let full = self.seen.len() >= self.limits.window.max(1);
        #[expect(clippy::cast_precision_loss, reason = "a window holds far fewer than 2^52 records")]
        let ratio = self.dead as f64 / self.seen.len() as f64;
        if full && ratio > self.limits.max_ratio {
            return Err(Tripped::Ratio { dead: self.dead, window: self.seen.len() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Limits, Tripped};

    const LIMITS: Limits = Limits { max_ratio: 0.5, window: 10, max_consecutive: 4 };

    #[test]
    fn it_trips_on_a_run() {
        let mut breaker = Breaker::new(LIMITS);
        let outcome: Vec<_> = (0..5).map(|_| breaker.record(true)).collect();
        assert_eq!(outcome, [Ok(()), Ok(()), Ok(()), Ok(()), Err(Tripped::Consecutive(5))]);
    }

    #[test]
    fn it_trips_on_a_share_of_a_full_window_only() {
        let mut breaker = Breaker::new(LIMITS);
        let dead = [true, true, true, false, true, true, true, false, false, false, false, true, false];
        assert!(
            dead.iter().all(|dead| breaker.record(*dead).is_ok()),
            "6 of 10, but the last was good or older fell out"
        );
        let mut breaker = Breaker::new(LIMITS);
        let dead = [true, true, true, false, true, true, true, false, false];
        assert!(dead.iter().all(|dead| breaker.record(*dead).is_ok()));
        assert_eq!(breaker.record(true), Err(Tripped::Ratio { dead: 7, window: 10 }));
    }
}
