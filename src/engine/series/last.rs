//! The newest value: what a level judges.

use crate::engine::number::Exact;
use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed};

use super::{Floor, Marks, Measured, SUM_UNIT, Taken};

/// The value at the highest event time, in millionths; of equal times the one that arrived last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Last {
    pub(super) marks: Marks,
    value: i64,
}

impl Last {
    pub(super) fn add(&mut self, time: Timestamp, value: i64, floor: Floor) -> Taken {
        if time < self.marks.newest {
            return if time < floor.0 { Taken::Late } else { Taken::Applied };
        }
        self.marks.newest = time;
        self.value = value;
        Taken::Applied
    }

    pub(super) fn measured(&self) -> Measured {
        if self.marks.newest <= self.marks.reset {
            return Measured::NOTHING;
        }
        let value = Exact { num: i128::from(self.value), den: i128::from(SUM_UNIT) };
        let newest = Some(self.marks.newest);
        Measured { value, events: 1, first: newest, oldest: newest, last: newest, ..Measured::NOTHING }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.value);
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { marks, value: reader.signed()? })
    }
}
