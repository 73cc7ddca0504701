//! Holding sources back that run ahead in event time while old records are read, so that windows need not stay open for the
//! one behind (`max_skew`).
//!
//! Who is nearly at the present is never held: no alert of today waits for the backlog of another source. Who lies behind and
//! does not move is stalled, and nobody waits for it.

use super::frames::Slot;
use crate::event::Timestamp;

/// A source that is behind and has not moved for this long is stalled, ms.
const STALL_MS: i64 = 10_000;

/// Whether a slot is held back, and how it moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// It is held back.
    pub held: bool,
    /// The next offset when it was looked at last.
    next: i64,
    /// When it moved last, or was let go.
    moved: Timestamp,
}

impl Pace {
    /// A slot that begins at this offset.
    pub(super) const fn new(next: i64) -> Self {
        Self { held: false, next, moved: Timestamp::MAX }
    }
}

/// How far a slot is in event time; where no event was seen, by its records' timestamps. A backlog of which nothing was read
/// yet lies behind all others: it may be older than anything, and its first record will tell within moments.
fn reached(slot: &Slot) -> Timestamp {
    if slot.watermark > Timestamp::MIN { slot.watermark.plus(slot.lateness_ms) } else { slot.newest }
}

const fn is_behind(slot: &Slot) -> bool {
    slot.next < slot.end
}

/// Decides at `now` which slots are held back; the places of those for which that is another decision than before. With a
/// `max_skew_ms` of 0 none is.
pub(super) fn hold(slots: &mut [Slot], now: Timestamp, max_skew_ms: i64) -> Vec<usize> {
    for slot in slots.iter_mut() {
        if slot.next != slot.pace.next || slot.pace.held || slot.pace.moved == Timestamp::MAX {
            slot.pace.next = slot.next;
            slot.pace.moved = now;
        }
    }
    let waits = |slot: &&Slot| is_behind(slot) && now.since(slot.pace.moved) < STALL_MS;
    let lowest = slots.iter().filter(waits).map(reached).min();
    let mut changed = Vec::new();
    for (place, slot) in slots.iter_mut().enumerate() {
        let far = |from: Timestamp, to: Timestamp| from.plus(max_skew_ms) < to;
        let time = reached(slot);
        let held = max_skew_ms > 0
            && is_behind(slot)
            && far(time, now)
            && lowest.is_some_and(|lowest| far(lowest, time));
        if held != slot.pace.held {
            slot.pace.held = held;
            changed.push(place);
        }
    }
    changed
}
