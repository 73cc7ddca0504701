//! The hot rows of one task, within a budget of bytes; the others are in the store.
//!
//! Which rows are in RAM never shows in what the engine computes: it only decides what must be loaded.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::engine::store::{RowKey, Store, StoreError};

use super::row::Row;

/// What a row costs beside its content and key: its slot and its place in the table.
const SLOT_BYTES: usize = size_of::<Option<Slot>>() + 2 * size_of::<u32>();
/// How far the hand goes for each row asked for: far enough to free more than is loaded, near enough to stay cheap
/// when all is dirty.
const STEPS_PER_KEY: usize = 4;

#[derive(Debug)]
struct Slot {
    key: RowKey,
    /// `None`: the store has no such row, or it was removed.
    row: Option<Row>,
    bytes: usize,
    is_dirty: bool,
    /// Touched since the hand came by.
    is_warm: bool,
}

/// Rows by key, with marks of what a checkpoint must write.
#[derive(Debug)]
pub struct Rows {
    slots: Vec<Option<Slot>>,
    vacant: Vec<u32>,
    places: HashTable<u32>,
    hasher: FixedState,
    dirty: Vec<u32>,
    hand: usize,
    bytes: usize,
    dirty_bytes: usize,
    budget: usize,
}

impl Rows {
    /// An empty cache that evicts clean rows beyond so many bytes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            places: HashTable::new(),
            hasher: FixedState::with_seed(0),
            dirty: Vec::new(),
            hand: 0,
            bytes: 0,
            dirty_bytes: 0,
            budget,
        }
    }

    /// Approximate bytes in RAM.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Approximate bytes of rows that the next checkpoint writes; when they grow too many, it is due.
    #[must_use]
    pub fn dirty_bytes(&self) -> usize {
        self.dirty_bytes
    }

    /// How many rows the next checkpoint writes.
    #[must_use]
    pub fn dirty_rows(&self) -> usize {
        self.dirty.len()
    }

    /// How many rows (and known absences of rows) are in RAM.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is in RAM.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Loads those rows that are not in RAM, in one go. Evicts first, so what is prefetched stays until the next call.
    ///
    /// # Errors
    /// If the store fails or a row can't be read.
    pub fn prefetch(&mut self, keys: &[RowKey], store: &mut dyn Store) -> Result<(), StoreError> {
        self.evict(STEPS_PER_KEY * keys.len());
        let mut missing: Vec<RowKey> = Vec::new();
        for key in keys {
            match self.find(key).and_then(|place| self.slots[place].as_mut()) {
                Some(slot) => slot.is_warm = true,
                None => missing.push(key.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        let loaded = store.load(&missing)?;
        for (key, bytes) in missing.into_iter().zip(loaded) {
            let row = read(&key, bytes)?;
            self.insert_clean(key, row);
        }
        Ok(())
    }

    fn find(&self, key: &RowKey) -> Option<usize> {
        let is_it = |place: &u32| self.slots[*place as usize].as_ref().is_some_and(|slot| slot.key == *key);
        self.places.find(self.hasher.hash_one(key), is_it).map(|place| *place as usize)
    }

    fn insert_clean(&mut self, key: RowKey, row: Option<Row>) -> usize {
        let bytes = cost(&key, row.as_ref());
        self.bytes += bytes;
        let hash = self.hasher.hash_one(&key);
        let slot = Some(Slot { key, row, bytes, is_dirty: false, is_warm: true });
        #[expect(clippy::cast_possible_truncation, reason = "4 billion rows don't fit into RAM")]
        let place = self.vacant.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(place as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.places.insert_unique(hash, place, |other| {
            slots[*other as usize].as_ref().map_or(0, |slot| hasher.hash_one(&slot.key))
        });
        place as usize
    }

    /// The slot of a key, loaded if need be.
    fn slot(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<usize, StoreError> {
        if let Some(place) = self.find(key) {
            if let Some(slot) = &mut self.slots[place] {
                slot.is_warm = true;
            }
            return Ok(place);
        }
        let row = read(key, store.load(std::slice::from_ref(key))?.pop().flatten())?;
        Ok(self.insert_clean(key.clone(), row))
    }

    /// A row as it is, `None` if there is none.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&Row>, StoreError> {
        let place = self.slot(key, store)?;
        Ok(self.slots[place].as_ref().and_then(|slot| slot.row.as_ref()))
    }

    /// A row to change, `None` if there is none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_mut(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&mut Row>, StoreError> {
        let place = self.slot(key, store)?;
        let is_there = self.slots[place].as_ref().is_some_and(|slot| slot.row.is_some());
        Ok(if is_there { self.mark(place).and_then(|slot| slot.row.as_mut()) } else { None })
    }

    /// A row to change, new if there was none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_or_insert(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<&mut Row, StoreError> {
        let place = self.slot(key, store)?;
        match self.mark(place) {
            Some(slot) => Ok(slot.row.get_or_insert_with(Row::default)),
            None => Err(StoreError::Corrupt(format!("no slot for row {:?}", key.0))),
        }
    }

    /// Deletes a row; what it held.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn remove(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<Row>, StoreError> {
        let place = self.slot(key, store)?;
        Ok(self.mark(place).and_then(|slot| slot.row.take()))
    }

    fn mark(&mut self, place: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(place)?.as_mut()?;
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty_bytes += slot.bytes;
            #[expect(clippy::cast_possible_truncation, reason = "places fit 32 bits")]
            self.dirty.push(place as u32);
        }
        Some(slot)
    }

    /// What a checkpoint must write, in the order of keys; empty rows count as deleted. Afterwards all rows are clean:
    /// the checkpoint that carries them must succeed, or the task start anew from the store.
    pub fn take_dirty(&mut self) -> Vec<(RowKey, Option<Vec<u8>>)> {
        let mut changed = Vec::with_capacity(self.dirty.len());
        for place in std::mem::take(&mut self.dirty) {
            let Some(slot) = &mut self.slots[place as usize] else { continue };
            slot.is_dirty = false;
            let bytes = slot.row.as_ref().filter(|row| !row.is_empty()).map(|row| {
                let mut out = Vec::with_capacity(64);
                row.encode(&mut out);
                out
            });
            self.bytes -= slot.bytes;
            slot.bytes = cost(&slot.key, slot.row.as_ref());
            self.bytes += slot.bytes;
            changed.push((slot.key.clone(), bytes));
        }
        self.dirty_bytes = 0;
        changed.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        changed
    }

    /// Moves the hand at most so many steps, evicting clean rows that were not touched since it came by last, until the
    /// budget is met.
    fn evict(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.bytes <= self.budget || self.slots.is_empty() {
                return;
            }
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            let Some(slot) = &mut self.slots[place] else { continue };
            if slot.is_dirty || std::mem::take(&mut slot.is_warm) {
                continue;
            }
            self.forget(place);
        }
    }

    fn forget(&mut self, place: usize) {
        let Some(slot) = self.slots[place].take() else { return };
        self.bytes -= slot.bytes;
        #[expect(clippy::cast_possible_truncation, reason = "places fit 32 bits")]
        let place = place as u32;
        let hash = self.hasher.hash_one(&slot.key);
        if let Ok(entry) = self.places.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        self.vacant.push(place);
    }
}

fn read(key: &RowKey, bytes: Option<Vec<u8>>) -> Result<Option<Row>, StoreError> {
    let row = bytes.map(|bytes| Row::decode(&bytes)).transpose();
    row.map_err(|error| StoreError::Corrupt(format!("row {:?}: {error}", key.0)))
}

fn cost(key: &RowKey, row: Option<&Row>) -> usize {
    SLOT_BYTES + key.0.len() + row.map_or(0, Row::heap_bytes)
}
