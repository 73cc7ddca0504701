//! Wall clocks. Only the runtime sees one; the engine's time comes from the journal.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::event::Timestamp;

/// A source of wall time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Lets at least this much time pass, unless something else is due earlier.
    fn pause(&self, time: Duration);
}

/// Whether it is time again for what is done every `interval` ms and is next due at `next`. A clock that was set back,
/// which leaves more time than there ever is, puts nothing off.
#[must_use]
pub fn is_due(now: Timestamp, next: Timestamp, interval: i64) -> bool {
    now >= next || next.since(now) > interval
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where wall time comes from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that waits by the wall clock")]
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A clock that stands still until somebody waits: demo and simulations run as fast as the machine allows.
#[derive(Debug)]
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    /// A clock that shows this time.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves on to this time, unless it shows a later one.
    pub fn advance_to(&self, time: Timestamp) {
        self.0.fetch_max(time.0, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn pause(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Duration, Timestamp, VirtualClock, is_due};

    #[test]
    fn a_clock_that_is_set_back_puts_nothing_off() {
        let due = |now| is_due(Timestamp(now), Timestamp(5_000), 1_000);
        assert!(!due(4_000) && !due(4_999) && due(5_000) && due(5_001));
        assert!(due(3_999) && due(-5_000));
    }

    #[test]
    fn virtual_time_passes_only_when_somebody_waits_and_never_backwards() {
        let clock = VirtualClock::new(Timestamp(100));
        clock.pause(Duration::from_millis(20));
        assert_eq!(clock.now(), Timestamp(120));
        clock.advance_to(Timestamp(90));
        assert_eq!(clock.now(), Timestamp(120));
        clock.advance_to(Timestamp(500));
        assert_eq!(clock.now(), Timestamp(500));
    }
}
