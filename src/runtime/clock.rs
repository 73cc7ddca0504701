//! Wall clocks. Only the runtime sees one; the engine's time comes from the journal.

use std::time::Duration;

use crate::event::Timestamp;

/// A source of wall time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Lets at least this much time pass, unless something else is due earlier.
    fn pause(&self, time: Duration);
}
