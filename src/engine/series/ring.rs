//! The last k timestamps: windows are exact, whatever the rate.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::rules::program::Window;

use super::{Floor, Marks, Measured, Span, Taken, count};

/// Timestamps in order, the newest last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring {
    pub(super) marks: Marks,
    times: Vec<Timestamp>,
}

fn shape(window: &Window) -> (i64, usize) {
    match *window {
        Window::Exact { span_ms, keep } => (span_ms, usize::from(keep).max(1)),
        Window::Panes { span_ms } => (span_ms, usize::from(u16::MAX)),
        Window::Days { .. } | Window::Buckets { .. } | Window::Newest => (0, 1),
    }
}

impl Ring {
    pub(super) fn add(&mut self, window: &Window, time: Timestamp, midnight: Option<Timestamp>) -> Taken {
        let (span_ms, keep) = shape(window);
        self.marks.newest = self.marks.newest.max(time);
        let edge = self.marks.newest.plus(-span_ms);
        if time <= edge {
            return Taken::Late;
        }
        let gone = self.times.partition_point(|old| *old <= edge);
        if let Some(midnight) = midnight {
            self.times.drain(..gone);
            let place = self.times.partition_point(|old| *old <= time);
            self.times.insert(place, time);
            self.forget_older(keep, midnight);
            return Taken::Applied;
        }
        self.times.drain(..gone.max(self.times.len().saturating_sub(keep)));
        let place = self.times.partition_point(|old| *old <= time);
        if self.times.len() < keep {
            self.times.insert(place, time);
        } else if let Some(seat) = place.checked_sub(1) {
            // Full: the oldest makes room.
            self.times[..=seat].rotate_left(1);
            self.times[seat] = time;
        }
        Taken::Applied
    }

    /// Keeps the last times, and while those are all of the day that began at `midnight` the newest one before it.
    fn forget_older(&mut self, keep: usize, midnight: Timestamp) {
        let spare = self.times.len().saturating_sub(keep);
        let earlier = self.times.partition_point(|time| *time < midnight);
        if spare > 0 && (1..=spare).contains(&earlier) {
            self.times.drain(earlier..spare);
            self.times.drain(..earlier - 1);
        } else {
            self.times.drain(..spare);
        }
    }

    pub(super) fn remove(&mut self, time: Timestamp) {
        if let Ok(place) = self.times.binary_search(&time) {
            self.times.remove(place);
        }
    }

    pub(super) fn reset(&mut self, at: Timestamp) {
        self.marks.reset = at;
        let gone = self.times.partition_point(|old| *old <= at);
        self.times.drain(..gone);
    }

    /// The times in a window, its end, and how long it is.
    fn seen(&self, window: &Window, span: Span) -> Option<(&[Timestamp], Timestamp, i64)> {
        let (span_ms, _) = shape(window);
        let (Span::UpTo(t) | Span::EndingAt(t)) = span else { return None };
        let edge = t.plus(-span_ms);
        let from = self.times.partition_point(|time| *time <= edge);
        let to = self.times.partition_point(|time| *time <= t).max(from);
        Some((&self.times[from..to], t, span_ms))
    }

    /// Those of them that count: the last ones.
    fn counted<'t>(window: &Window, seen: &'t [Timestamp]) -> &'t [Timestamp] {
        &seen[seen.len().saturating_sub(shape(window).1)..]
    }

    pub(super) fn over(&self, window: &Window, span: Span) -> Measured {
        let Some((seen, ..)) = self.seen(window, span) else { return Measured::NOTHING };
        let counted = Self::counted(window, seen);
        let events = counted.len() as u64;
        Measured {
            value: count(events),
            events,
            first: counted.first().copied(),
            oldest: seen.first().copied(),
            last: seen.last().copied(),
            ..Measured::NOTHING
        }
    }

    pub(super) fn next_change(&self, window: &Window, span: Span, days: bool) -> Option<Timestamp> {
        let (seen, t, span_ms) = self.seen(window, span)?;
        let changes = if days { seen } else { Self::counted(window, seen) };
        let leaves = changes.first().map(|time| time.plus(span_ms));
        let ahead = self.times.partition_point(|time| *time <= t);
        let enters = self.times.get(ahead).copied();
        leaves.into_iter().chain(enters).min()
    }

    pub(super) fn is_empty_at(&self, window: &Window, floor: Floor) -> bool {
        let edge = floor.0.plus(-shape(window).0);
        self.marks.reset <= edge && self.times.last().is_none_or(|last| *last <= edge)
    }

    /// The newest mark is written before; times follow from the newest to the oldest, as distances.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.times.len() as u64);
        let mut above = self.marks.newest;
        for time in self.times.iter().rev() {
            put_signed(out, above.0.wrapping_sub(time.0));
            above = *time;
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.count()?;
        let mut times = Vec::with_capacity(count);
        let mut above = marks.newest;
        for _ in 0..count {
            above = Timestamp(above.0.wrapping_sub(reader.signed()?));
            times.push(above);
        }
        times.reverse();
        if !times.is_sorted() {
            return Err(FormatError::Malformed("ring"));
        }
        Ok(Self { marks, times })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.times.capacity() * size_of::<Timestamp>()
    }
}
