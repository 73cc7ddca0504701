//! The last value in each pane or local day, and the one that was known before all of them.

use crate::engine::number::Exact;
use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::cells::{CELLS_MAX, INDEX_MAX};
use super::counted::Counted;
use super::grain::Grain;
use super::{Floor, Marks, SUM_UNIT, Taken};

/// The value at the highest event time of a cell; of equal times the one that arrived last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    cell: i64,
    time: Timestamp,
    /// Millionths.
    amount: i64,
}

/// Matches per cell, and the last value of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latest {
    pub(super) counted: Counted,
    /// In the order of their cells, one each.
    values: Vec<Value>,
}

impl Latest {
    /// Takes a value in; with `keeps_older` the newest of those that every window has left stays known.
    pub(super) fn add(
        &mut self,
        grain: &Grain,
        cell: i64,
        (time, weight, amount): (Timestamp, u32, i64),
        (keeps_older, floor): (bool, Floor),
    ) -> Taken {
        let (_, lowest) = self.counted.ends(grain, cell, floor);
        let taken = self.counted.add(grain, cell, (time, weight, None), floor);
        let value = Value { cell, time, amount };
        match self.values.binary_search_by_key(&cell, |own| own.cell) {
            Ok(place) if self.values[place].time <= time => self.values[place] = value,
            Ok(_) => {}
            Err(place) => self.values.insert(place, value),
        }
        let oldest = lowest.max(self.counted.oldest(i64::MAX));
        let past = self.values.partition_point(|own| own.cell < oldest);
        let older = self.values.drain(..past).max_by_key(|own| own.time).filter(|_| keeps_older);
        self.values.splice(..0, older);
        // Older than every window, but the newest of what is.
        if older == Some(value) { Taken::Applied } else { taken }
    }

    /// Takes a match back; its value too, if it is the last of its cell.
    pub(super) fn remove(&mut self, cell: i64, (time, weight): (Timestamp, u32)) {
        self.counted.remove(cell, weight, None);
        self.values.retain(|own| own.cell != cell || own.time != time);
    }

    pub(super) fn reset(&mut self, at: Timestamp, cell: i64) {
        self.counted.reset(at, cell);
        self.values.retain(|own| own.cell > cell);
    }

    /// The value at the highest event time in the cells `from..=to`, and that time.
    pub(super) fn within(&self, from: i64, to: i64) -> Option<(Exact, Timestamp)> {
        let seen = self.values.iter().filter(|own| (from..=to).contains(&own.cell));
        let last = seen.max_by_key(|own| own.time)?;
        Some((Exact { num: i128::from(last.amount), den: i128::from(SUM_UNIT) }, last.time))
    }

    /// The matches, then the values.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.counted.encode(out);
        put_varint(out, self.values.len() as u64);
        for Value { cell, time, amount } in &self.values {
            put_signed(out, *cell);
            put_signed(out, self.counted.marks.newest.0.wrapping_sub(time.0));
            put_signed(out, *amount);
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let counted = Counted::decode(marks, reader)?;
        let count = reader.count()?;
        // One beside those of the cells: the one that was known before.
        if count > CELLS_MAX + 1 {
            return Err(FormatError::Malformed("values"));
        }
        let mut values: Vec<Value> = Vec::with_capacity(count);
        for _ in 0..count {
            let cell = reader.signed()?;
            if cell.abs_diff(0) > INDEX_MAX || values.last().is_some_and(|last| last.cell >= cell) {
                return Err(FormatError::Malformed("value"));
            }
            let time = Timestamp(marks.newest.0.wrapping_sub(reader.signed()?));
            values.push(Value { cell, time, amount: reader.signed()? });
        }
        Ok(Self { counted, values })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counted.heap_bytes() + self.values.capacity() * size_of::<Value>()
    }
}
