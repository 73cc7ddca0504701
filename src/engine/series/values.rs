//! Which values of a field there were: what tells a new one.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::Marks;

/// How many values are known; then the least recently seen is forgotten.
const VALUES_MAX: usize = 64;

/// Hashes of the known values, the one seen last at the end, and the time of the first match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub(super) marks: Marks,
    first: Timestamp,
    hashes: Vec<u64>,
}

impl Default for Values {
    fn default() -> Self {
        Self { marks: Marks::default(), first: Timestamp::MAX, hashes: Vec::new() }
    }
}

impl Values {
    /// Takes a value in; if it is new, the time of the first match.
    pub(super) fn add(&mut self, time: Timestamp, hash: u64) -> Option<Timestamp> {
        self.marks.newest = self.marks.newest.max(time);
        self.first = self.first.min(time);
        let known = self.hashes.iter().position(|own| *own == hash);
        match known {
            Some(place) => {
                self.hashes.remove(place);
            }
            None if self.hashes.len() >= VALUES_MAX => {
                self.hashes.remove(0);
            }
            None => {}
        }
        self.hashes.push(hash);
        known.is_none().then_some(self.first)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.first.0);
        put_varint(out, self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let first = reader.time()?;
        let count = reader.count()?;
        if count > VALUES_MAX {
            return Err(FormatError::Malformed("values"));
        }
        let hash = |_| {
            let bytes = reader.take(8)?.try_into().map_err(|_| FormatError::Truncated)?;
            Ok(u64::from_le_bytes(bytes))
        };
        Ok(Self { marks, first, hashes: (0..count).map(hash).collect::<Result<_, _>>()? })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u64>()
    }
}
