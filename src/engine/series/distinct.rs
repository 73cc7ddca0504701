//! Which values came in which panes or local days, exactly up to a cap.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader};

use super::counted::Counted;
use super::grain::Grain;
use super::members::{Members, Room, VALUES_MAX as VALUES_MAX_ACROSS};
use super::{Floor, Marks, Taken};

/// Values a row of one account keeps; a further one is not taken in.
const VALUES_MAX: usize = 1024;

/// Matches per cell, and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distinct {
    pub(super) counted: Counted,
    values: Members,
}

impl Distinct {
    /// How many values the cells `from..=to` have.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        self.values.count(from, to)
    }

    /// Whether amounts of values are kept.
    pub(super) const fn is_summed(&self) -> bool {
        self.values.is_summed()
    }

    /// The amounts of the values that the cells `from..=to` have, each once.
    pub(super) fn sum(&self, from: i64, to: i64) -> i128 {
        self.values.sum(from, to)
    }

    pub(super) fn add(
        &mut self,
        grain: &Grain,
        cell: i64,
        (time, weight, (hash, amount)): (Timestamp, u32, (u64, Option<i64>)),
        floor: Floor,
    ) -> Taken {
        if self.counted.add(grain, cell, (time, weight, None), floor) == Taken::Late {
            return Taken::Late;
        }
        let most = if grain.across { VALUES_MAX_ACROSS } else { VALUES_MAX };
        let room = Room { oldest: self.counted.oldest(cell), window: grain.window, most };
        self.values.add(&room, cell, (time, hash, amount));
        Taken::Applied
    }

    pub(super) fn remove(&mut self, cell: i64, weight: u32, hash: u64) {
        self.counted.remove(cell, weight, None);
        self.values.remove(cell, hash);
    }

    pub(super) fn reset(&mut self, at: Timestamp, cell: i64) {
        self.counted.reset(at, cell);
        self.values.forget_before(cell.saturating_add(1));
    }

    /// The matches, then the values.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.counted.encode(out);
        self.values.encode(out);
    }

    pub(super) fn decode(
        marks: Marks,
        is_summed: bool,
        reader: &mut Reader<'_>,
    ) -> Result<Self, FormatError> {
        let counted = Counted::decode(marks, reader)?;
        Ok(Self { counted, values: Members::decode(is_summed, reader)? })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counted.heap_bytes() + self.values.heap_bytes()
    }
}
