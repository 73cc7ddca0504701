//! The last match, and the own gaps between matches: what an absence needs.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_varint};

use super::{Floor, Marks, Sample, Taken};

/// How many gaps are kept.
const GAPS_MAX: usize = 32;
/// Fewer say nothing about what is usual.
const GAPS_MIN: usize = 3;
/// Gaps are kept in these parts of `for`; shorter ones than a sixteenth of `for` are not.
const PARTS: i64 = 64;
const SHORTEST: i64 = PARTS / 16;

/// Last match and gaps in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Newest {
    pub(super) marks: Marks,
    gaps: Vec<u16>,
}

impl Newest {
    pub(super) fn add(&mut self, for_ms: i64, sample: &Sample, floor: Floor) -> Taken {
        let time = sample.time;
        let before = self.marks.newest;
        if time <= before {
            return if time < before && time < floor.0 { Taken::Late } else { Taken::Applied };
        }
        self.marks.newest = time;
        if for_ms > 0 && before != Timestamp::MIN {
            // Rounded up: who comes as usual is never late.
            let gap = i128::from(time.since(before) - sample.lost_ms) * i128::from(PARTS);
            let parts = -(-gap).div_euclid(i128::from(for_ms));
            if gap >= i128::from(SHORTEST) * i128::from(for_ms) {
                if self.gaps.len() >= GAPS_MAX {
                    self.gaps.remove(0);
                }
                self.gaps.push(u16::try_from(parts).unwrap_or(u16::MAX));
            }
        }
        Taken::Applied
    }

    /// Nearest rank: the smallest gap that at least 95 % of the gaps do not exceed.
    pub(super) fn usual_gap_ms(&self, for_ms: i64) -> Option<i64> {
        if self.gaps.len() < GAPS_MIN {
            return None;
        }
        let mut sorted = self.gaps.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100);
        let parts = i128::from(*sorted.get(rank - 1)?);
        i64::try_from(parts * i128::from(for_ms) / i128::from(PARTS)).ok()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.gaps.len() as u64);
        self.gaps.iter().for_each(|gap| put_varint(out, u64::from(*gap)));
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.count()?;
        if count > GAPS_MAX {
            return Err(FormatError::Malformed("gaps"));
        }
        let gap = |_| u16::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("gap"));
        Ok(Self { marks, gaps: (0..count).map(gap).collect::<Result<_, _>>()? })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.gaps.capacity() * size_of::<u16>()
    }
}
