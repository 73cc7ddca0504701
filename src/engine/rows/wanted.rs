//! Rows that a batch of events asks for: their keys one behind the other, with hashes and places.

use std::hash::BuildHasher;

use super::cache::narrow_hash;

/// The place of a row that is not in RAM.
pub const NOWHERE: u32 = u32::MAX;

/// Keys of rows, and where the rows lie. Its memory is used again and again.
#[derive(Debug, Default)]
pub struct Wanted {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<u32>,
    places: Vec<u32>,
}

impl Wanted {
    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.hashes.clear();
        self.places.clear();
    }

    /// Asks for the row of a key that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.places.push(NOWHERE);
    }

    /// How many rows are asked for.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Where the row lies that was asked for as the `number`th.
    pub fn place(&self, number: usize) -> u32 {
        self.places[number]
    }

    fn key(&self, number: usize) -> &[u8] {
        let from = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[number]]
    }

    pub(super) fn hash(&mut self, hasher: &impl BuildHasher) {
        for number in 0..self.count() {
            let hash = narrow_hash(hasher.hash_one(self.key(number)));
            self.hashes.push(hash);
        }
    }

    pub(super) fn hashes_and_places(&mut self) -> impl Iterator<Item = (u32, &mut u32)> {
        self.hashes.iter().copied().zip(&mut self.places)
    }

    pub(super) fn get(&self, number: usize) -> (&[u8], u32, u32) {
        (self.key(number), self.hashes[number], self.places[number])
    }

    pub(super) fn set_place(&mut self, number: usize, place: u32) {
        self.places[number] = place;
    }
}
