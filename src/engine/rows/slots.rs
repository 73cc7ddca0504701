//! The memory of hot rows: slots in chunks, so that growing moves nothing, and short keys within their slot.

use std::ops::{Index, IndexMut};

use super::cache::Slot;

/// Slots of a chunk, as bits of a place.
const CHUNK_BITS: u32 = 12;
const CHUNK: usize = 1 << CHUNK_BITS;

/// Slots by place, without gaps.
#[derive(Debug, Default)]
pub struct Slots {
    chunks: Vec<Vec<Slot>>,
}

impl Slots {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Appends a slot; its place.
    pub fn push(&mut self, slot: Slot) -> u32 {
        let place = self.len();
        if place.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(slot);
        }
        narrow(place)
    }

    /// Takes a slot out; the last one takes its place.
    pub fn swap_remove(&mut self, place: u32) -> Option<Slot> {
        let last = self.chunks.last_mut()?;
        let moved = last.pop()?;
        if last.is_empty() {
            self.chunks.pop();
        }
        if place as usize == self.len() {
            Some(moved)
        } else {
            Some(std::mem::replace(&mut self[place], moved))
        }
    }
}

impl Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, place: u32) -> &Slot {
        &self.chunks[(place >> CHUNK_BITS) as usize][place as usize % CHUNK]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, place: u32) -> &mut Slot {
        &mut self.chunks[(place >> CHUNK_BITS) as usize][place as usize % CHUNK]
    }
}

/// A place as it is stored.
#[expect(clippy::cast_possible_truncation, reason = "4 billion rows don't fit into RAM")]
pub const fn narrow(place: usize) -> u32 {
    place as u32
}

/// Longest key that lies in its slot.
const SHORT: usize = 22;

/// A row's key: short ones take no memory of their own.
#[derive(Debug)]
pub enum Key {
    /// So many bytes of these.
    Short(u8, [u8; SHORT]),
    /// Elsewhere.
    Long(Box<[u8]>),
}

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut own = [0; SHORT];
        match (own.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(head), Ok(length)) => {
                head.copy_from_slice(bytes);
                Self::Short(length, own)
            }
            _ => Self::Long(bytes.into()),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, own) => &own[..usize::from(*length)],
            Self::Long(own) => own,
        }
    }

    /// Bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Short(..) => 0,
            Self::Long(own) => own.len(),
        }
    }
}
