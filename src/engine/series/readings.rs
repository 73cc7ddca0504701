//! The newest value and what it belongs to, and the last value of each of the latest days: what a level tells once in a
//! period, and what it foresees.

use crate::engine::number::Exact;
use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::{Floor, Marks, Measured, SUM_UNIT, Taken};

/// How many local days are kept.
const DAYS: i32 = 8;
/// A pace is that of so long.
const PACE_MS: i64 = 7 * 86_400_000;
/// Values of fewer days have no pace.
const PACE_DAYS: usize = 3;

/// The last value of one local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    day: i32,
    time: Timestamp,
    /// Millionths.
    value: i64,
    /// Hash of what it belongs to.
    period: u64,
}

/// How a value has moved: by so much, in millionths, in so long, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Millionths.
    pub change: i64,
    /// Above zero.
    pub within_ms: i64,
}

impl Pace {
    /// By how much it moves in a time, millionths, rounded down.
    #[must_use]
    pub fn after(self, ms: i64) -> i64 {
        let moved = (i128::from(self.change) * i128::from(ms)).div_euclid(i128::from(self.within_ms));
        i64::try_from(moved).unwrap_or(if moved < 0 { i64::MIN } else { i64::MAX })
    }

    /// In how many milliseconds it moves up by so many millionths, rounded up; `None`: never.
    #[must_use]
    pub fn until(self, rise: i128) -> Option<i64> {
        if self.change <= 0 || rise <= 0 {
            return None;
        }
        let change = i128::from(self.change);
        i64::try_from((rise.checked_mul(i128::from(self.within_ms))? + change - 1) / change).ok()
    }
}

/// Readings in the order of their days: one a day, or the newest alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readings {
    pub(super) marks: Marks,
    days: Vec<Reading>,
}

impl Readings {
    pub(super) fn add(
        &mut self,
        (time, day): (Timestamp, i32),
        (value, period): (i64, u64),
        keeps_days: bool,
        floor: Floor,
    ) -> Taken {
        let taken = if time < self.marks.newest && time < floor.0 { Taken::Late } else { Taken::Applied };
        self.marks.newest = self.marks.newest.max(time);
        let reading = Reading { day, time, value, period };
        match self.days.binary_search_by_key(&day, |own| own.day) {
            Ok(place) if self.days[place].time <= time => self.days[place] = reading,
            Ok(_) => {}
            Err(place) => self.days.insert(place, reading),
        }
        let Some(newest) = self.newest() else { return taken };
        let oldest = newest.day.saturating_sub(DAYS - 1);
        self.days.retain(|own| own.time == newest.time || (keeps_days && own.day >= oldest));
        taken
    }

    fn newest(&self) -> Option<Reading> {
        self.days.iter().max_by_key(|own| own.time).copied()
    }

    /// What the newest value belongs to.
    pub(super) fn period(&self) -> Option<u64> {
        self.newest().map(|newest| newest.period)
    }

    /// How the value has moved within seven days and the same period.
    pub(super) fn pace(&self) -> Option<Pace> {
        let newest = self.newest()?;
        let fits = |own: &&Reading| own.period == newest.period && newest.time.since(own.time) < PACE_MS;
        let same: Vec<&Reading> = self.days.iter().filter(fits).collect();
        let oldest = same.iter().min_by_key(|own| own.time).filter(|_| same.len() >= PACE_DAYS)?;
        let within_ms = newest.time.since(oldest.time);
        let change = newest.value.saturating_sub(oldest.value);
        (within_ms > 0).then_some(Pace { change, within_ms })
    }

    pub(super) fn measured(&self) -> Measured {
        let Some(newest) = self.newest().filter(|_| self.marks.newest > self.marks.reset) else {
            return Measured::NOTHING;
        };
        let value = Exact { num: i128::from(newest.value), den: i128::from(SUM_UNIT) };
        let time = Some(newest.time);
        Measured { value, events: 1, first: time, last: time, ..Measured::NOTHING }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.days.len() as u64);
        for Reading { day, time, value, period } in &self.days {
            put_signed(out, i64::from(*day));
            put_signed(out, time.0);
            put_signed(out, *value);
            out.extend_from_slice(&period.to_le_bytes());
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.count()?;
        let mut days: Vec<Reading> = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            let day = i32::try_from(reader.signed()?).map_err(|_| FormatError::Malformed("reading"))?;
            if days.last().is_some_and(|last| last.day >= day) {
                return Err(FormatError::Malformed("reading"));
            }
            let (time, value) = (reader.time()?, reader.signed()?);
            let period = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            days.push(Reading { day, time, value, period: u64::from_le_bytes(period) });
        }
        Ok(Self { marks, days })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.days.capacity() * size_of::<Reading>()
    }
}
