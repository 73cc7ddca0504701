//! The hot rows of one task, within a budget of bytes; the others are in the store.
//!
//! Which rows are in RAM never shows in what the engine computes: it only decides what must be loaded.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::engine::store::{RowKey, Store, StoreError};

use super::row::Row;

/// What a row costs beside its content and key: its slot and its place in the table.
const SLOT_BYTES: usize = size_of::<Slot>() + 2 * size_of::<u32>();
/// How far the hand goes for each row asked for: far enough to free more than is loaded, near enough to stay cheap
/// when all is dirty.
const STEPS_PER_KEY: usize = 4;

#[derive(Debug)]
struct Slot {
    key: RowKey,
    /// `None`: the store has no such row, or it was removed.
    row: Option<Row>,
    bytes: usize,
    /// Its place in the list of dirty rows.
    dirty_at: Option<u32>,
    /// Touched since the hand came by.
    is_warm: bool,
}

/// Rows by key, with marks of what a checkpoint must write.
#[derive(Debug)]
pub struct Rows {
    slots: Vec<Slot>,
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
            places: HashTable::new(),
            hasher: FixedState::with_seed(0),
            dirty: Vec::new(),
            hand: 0,
            bytes: 0,
            dirty_bytes: 0,
            budget,
        }
    }

    /// Evicts clean rows beyond so many bytes from now on.
    pub const fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
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
        self.make_room(keys.len());
        let missing = keys.iter().filter(|key| !self.warm(&key.0)).cloned().collect();
        self.load(missing, store)
    }

    /// Evicts what makes room for so many rows that are about to be asked for. What is loaded from now on stays until the
    /// next call.
    pub fn make_room(&mut self, keys: usize) {
        self.evict(STEPS_PER_KEY * keys);
    }

    /// Whether a row is in RAM; if so, it counts as touched.
    pub fn warm(&mut self, key: &[u8]) -> bool {
        let place = self.find(key);
        if let Some(place) = place {
            self.slots[place].is_warm = true;
        }
        place.is_some()
    }

    /// Loads rows that are not in RAM, in one go.
    ///
    /// # Errors
    /// If the store fails or a row can't be read.
    pub fn load(&mut self, mut missing: Vec<RowKey>, store: &mut dyn Store) -> Result<(), StoreError> {
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

    fn find(&self, key: &[u8]) -> Option<usize> {
        let is_it = |place: &u32| *self.slots[*place as usize].key.0 == *key;
        self.places.find(self.hasher.hash_one(key), is_it).map(|place| *place as usize)
    }

    fn insert_clean(&mut self, key: RowKey, row: Option<Row>) -> usize {
        let bytes = cost(&key, row.as_ref());
        self.bytes += bytes;
        let hash = self.hasher.hash_one(&*key.0);
        let place = self.slots.len();
        self.slots.push(Slot { key, row, bytes, dirty_at: None, is_warm: true });
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.places
            .insert_unique(hash, narrow(place), |other| hasher.hash_one(&*slots[*other as usize].key.0));
        place
    }

    /// The slot of a key, loaded if need be.
    fn slot(&mut self, key: &[u8], store: &mut dyn Store) -> Result<usize, StoreError> {
        if let Some(place) = self.find(key) {
            self.slots[place].is_warm = true;
            return Ok(place);
        }
        let key = RowKey(key.into());
        let row = read(&key, store.load(std::slice::from_ref(&key))?.pop().flatten())?;
        Ok(self.insert_clean(key, row))
    }

    /// A row as it is, `None` if there is none.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        Ok(self.slots[place].row.as_ref())
    }

    /// A row to change, `None` if there is none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_mut(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&mut Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        if self.slots[place].row.is_some() {
            self.mark(place);
        }
        Ok(self.slots[place].row.as_mut())
    }

    /// A row to change, new if there was none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_or_insert(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<&mut Row, StoreError> {
        self.get_or_insert_at(&key.0, store)
    }

    /// The same, by the bytes of the key.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_or_insert_at(&mut self, key: &[u8], store: &mut dyn Store) -> Result<&mut Row, StoreError> {
        let place = self.slot(key, store)?;
        self.mark(place);
        Ok(self.slots[place].row.get_or_insert_with(Row::default))
    }

    /// Deletes a row; what it held.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn remove(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        self.mark(place);
        Ok(self.slots[place].row.take())
    }

    fn mark(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        if slot.dirty_at.is_none() {
            slot.dirty_at = Some(narrow(self.dirty.len()));
            self.dirty_bytes += slot.bytes;
            self.dirty.push(narrow(place));
        }
    }

    /// What a checkpoint must write, in the order of keys; empty rows count as deleted. Afterwards all rows are clean:
    /// the checkpoint that carries them must succeed, or the task start anew from the store.
    pub fn take_dirty(&mut self) -> Vec<(RowKey, Option<Vec<u8>>)> {
        let mut changed = Vec::with_capacity(self.dirty.len());
        for place in std::mem::take(&mut self.dirty) {
            let slot = &mut self.slots[place as usize];
            slot.dirty_at = None;
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
            let slot = &mut self.slots[place];
            if slot.dirty_at.is_some() || std::mem::take(&mut slot.is_warm) {
                continue;
            }
            self.forget(place);
            self.hand = place;
        }
    }

    /// Drops a clean row; the last slot takes its place.
    fn forget(&mut self, place: usize) {
        let last = self.slots.len() - 1;
        let gone = self.slots.swap_remove(place);
        self.bytes -= gone.bytes;
        if let Ok(entry) =
            self.places.find_entry(self.hasher.hash_one(&*gone.key.0), |own| *own == narrow(place))
        {
            entry.remove();
        }
        let Some(moved) = self.slots.get(place) else { return };
        let hash = self.hasher.hash_one(&*moved.key.0);
        if let Some(own) = self.places.find_mut(hash, |own| *own == narrow(last)) {
            *own = narrow(place);
        }
        if let Some(dirty) = moved.dirty_at.and_then(|at| self.dirty.get_mut(at as usize)) {
            *dirty = narrow(place);
        }
    }
}

/// A place as it is stored.
#[expect(clippy::cast_possible_truncation, reason = "4 billion rows don't fit into RAM")]
const fn narrow(place: usize) -> u32 {
    place as u32
}

fn read(key: &RowKey, bytes: Option<Vec<u8>>) -> Result<Option<Row>, StoreError> {
    let row = bytes.map(|bytes| Row::decode(&bytes)).transpose();
    row.map_err(|error| StoreError::Corrupt(format!("row {:?}: {error}", key.0)))
}

fn cost(key: &RowKey, row: Option<&Row>) -> usize {
    SLOT_BYTES + key.0.len() + row.map_or(0, Row::heap_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Row, Rows};
    use crate::engine::series::{Floor, Sample, SeriesState};
    use crate::engine::store::{Checkpoint, RowKey, Store};
    use crate::event::Timestamp;
    use crate::rules::program::{Entity, Extras, FilterIx, Measure, Series, Window, ZoneSource};
    use crate::runtime::memory_store::MemoryStore;

    fn series() -> Series {
        Series {
            key: 7,
            filter: FilterIx(0),
            measure: Measure::Count,
            window: Window::Newest,
            keep_days: 0,
            negative: false,
            entity: Entity { account: true, part: None },
            reset: None,
            zone: ZoneSource::Account,
            extras: Extras::default(),
        }
    }

    fn key(number: u16) -> RowKey {
        RowKey(Box::from(number.to_be_bytes()))
    }

    fn touch(row: &mut Row, time: i64) {
        let sample = Sample { time: Timestamp(time), weight: 1, value: None };
        row.series_mut(&series()).add(&series(), &sample, None, Floor(Timestamp::MIN));
    }

    fn newest(row: Option<&Row>) -> Option<i64> {
        row.and_then(|row| row.series(7)).and_then(SeriesState::newest).map(|time| time.0)
    }

    fn checkpoint(rows: &mut Rows, store: &mut MemoryStore) {
        let changed = rows.take_dirty();
        assert!(changed.is_sorted_by(|a, b| a.0 < b.0));
        store.checkpoint(&Checkpoint { rows: changed, ..Checkpoint::default() }).unwrap();
    }

    #[test]
    fn clean_rows_are_evicted_down_to_the_budget_and_dirty_ones_stay() {
        let (mut rows, mut store) = (Rows::new(20_000), MemoryStore::new());
        for number in 0..1_000 {
            touch(rows.get_or_insert(&key(number), &mut store).unwrap(), i64::from(number));
        }
        rows.prefetch(&(0..1_000).map(key).collect::<Vec<_>>(), &mut store).unwrap();
        assert_eq!((rows.len(), rows.dirty_rows()), (1_000, 1_000));
        checkpoint(&mut rows, &mut store);
        assert_eq!((rows.dirty_rows(), rows.dirty_bytes()), (0, 0));
        for number in 0..1_000 {
            rows.prefetch(&[key(number)], &mut store).unwrap();
        }
        assert!(rows.bytes() <= 20_500, "{}", rows.bytes());
        assert!(rows.len() < 200);
        assert_eq!(newest(rows.get(&key(3), &mut store).unwrap()), Some(3));
    }

    #[test]
    fn an_empty_row_is_a_deleted_one() {
        let (mut rows, mut store) = (Rows::new(1_000), MemoryStore::new());
        rows.get_or_insert(&key(1), &mut store).unwrap();
        assert_eq!(rows.take_dirty(), [(key(1), None)]);
        assert_eq!(rows.get_mut(&key(2), &mut store).unwrap(), None);
        assert_eq!(rows.take_dirty(), []);
    }

    proptest! {
        #[test]
        fn the_budget_never_shows(
            acts in prop::collection::vec((0_u8..10, 0_u16..40), 1..300),
            budget in 0_usize..6_000,
        ) {
            let (mut rows, mut store) = (Rows::new(budget), MemoryStore::new());
            let mut model: BTreeMap<u16, i64> = BTreeMap::new();
            for (time, (act, number)) in (1_i64..).zip(acts) {
                match act {
                    0 => {
                        let gone = rows.remove(&key(number), &mut store).unwrap();
                        prop_assert_eq!(newest(gone.as_ref()), model.remove(&number));
                    }
                    1 => checkpoint(&mut rows, &mut store),
                    2 => {
                        checkpoint(&mut rows, &mut store);
                        rows = Rows::new(budget);
                    }
                    3..=5 => {
                        let keys: Vec<_> = (number..number + 5).map(key).collect();
                        rows.prefetch(&keys, &mut store).unwrap();
                        let found = rows.get(&key(number), &mut store).unwrap();
                        prop_assert_eq!(newest(found), model.get(&number).copied());
                    }
                    _ => {
                        touch(rows.get_or_insert(&key(number), &mut store).unwrap(), time);
                        model.insert(number, time);
                    }
                }
            }
            checkpoint(&mut rows, &mut store);
            let stored: Vec<u16> = store.rows().keys().map(|key| u16::from_be_bytes([key.0[0], key.0[1]])).collect();
            prop_assert_eq!(stored, model.keys().copied().collect::<Vec<_>>());
        }
    }
}
