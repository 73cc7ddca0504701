//! How old the source records behind a frame are: a header of the journal's records that only the metrics read.
//!
//! The engine never sees it, so it can't depend on it. One value a frame: the oldest, as the others waited for less time.

use crate::event::Timestamp;
use crate::intake::Headers;

/// Name of the header; its value is the oldest source record's Kafka timestamp, epoch ms, big-endian.
pub const OLDEST: &str = "forewarn.oldest";

/// The header's value.
#[must_use]
pub const fn write(oldest: Timestamp) -> [u8; 8] {
    oldest.0.to_be_bytes()
}

/// What the header says, where there is one.
#[must_use]
pub fn read(headers: &dyn Headers) -> Option<Timestamp> {
    let (name, value) = headers.header(0)?;
    let value = value.try_into().ok().filter(|_| name == OLDEST)?;
    Some(Timestamp(i64::from_be_bytes(value)))
}
