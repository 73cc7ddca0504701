//! The hot rows of one task, within a budget of bytes; the others are in the store.
//!
//! Which rows are in RAM never shows in what the engine computes: it only decides what must be loaded.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::engine::dealings::Dealings;
use crate::engine::profile::Profile;
use crate::engine::store::{RowKey, Store, StoreError};
use crate::event::Kind;

use super::flat::Flat;
use super::row::Row;
use super::slots::{Key, Slots, narrow};
use super::wanted::{NOWHERE, Wanted};

/// What a row costs beside its content and key: its slot and its place in the table.
const SLOT_BYTES: usize = size_of::<Slot>() + 2 * size_of::<Entry>();
/// How far the hand goes for each row asked for: far enough to free more than is loaded, near enough to stay cheap
/// when all is dirty.
const STEPS_PER_KEY: usize = 4;
/// How many rows a checkpoint has on their way from memory at once.
const ROWS_UNDER_WAY: usize = 32;
/// Stands for the place of a clean row in the list of dirty ones.
const CLEAN: u32 = u32::MAX;

/// The newest profile and the dealings of an account.
pub type Owner = (Option<Arc<Profile>>, Option<Arc<Dealings>>);

/// A hot row.
#[derive(Debug)]
pub struct Slot {
    key: Key,
    body: Body,
    bytes: u32,
    /// Its place in the list of dirty rows.
    dirty_at: u32,
    /// Touched since the hand came by.
    is_warm: bool,
    /// The store has a row of this key, as of the last checkpoint.
    is_stored: bool,
}

/// The content of a hot row.
#[derive(Debug, Default)]
pub enum Body {
    /// The store has no such row, or it was removed.
    #[default]
    Absent,
    /// In few bytes.
    Flat(Flat),
    /// Whole.
    Whole(Box<Row>),
}

impl Body {
    /// The whole row, new if there was none.
    pub fn wake(&mut self) -> &mut Row {
        *self = match std::mem::take(self) {
            Self::Absent => Self::Whole(Box::default()),
            Self::Flat(flat) => Self::Whole(Box::new(flat.wake())),
            whole @ Self::Whole(_) => whole,
        };
        match self {
            Self::Whole(row) => row,
            Self::Absent | Self::Flat(_) => unreachable!("it was made whole"),
        }
    }

    /// The newest profile of the account or user.
    #[must_use]
    pub const fn profile(&self) -> Option<&Arc<Profile>> {
        match self {
            Self::Absent => None,
            Self::Flat(flat) => flat.profile.as_ref(),
            Self::Whole(row) => row.profile.as_ref(),
        }
    }

    /// What an account's row tells the account's other rows.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let dealings = if let Self::Whole(row) = self { row.dealings.clone() } else { None };
        (self.profile().cloned(), dealings)
    }

    /// Takes an event id in; false if it is among the newest of its kind already.
    pub fn note_id(&mut self, kind: Kind, id: u64) -> bool {
        match self {
            Self::Absent => {
                let mut flat = Flat::default();
                let is_new = flat.note_id(kind, id);
                *self = Self::Flat(flat);
                is_new
            }
            Self::Flat(flat) => flat.note_id(kind, id),
            Self::Whole(row) => row.note_id(kind, id),
        }
    }

    /// The row, whole, if there is one.
    fn whole(&mut self) -> Option<&mut Row> {
        match self {
            Self::Absent => None,
            Self::Flat(_) | Self::Whole(_) => Some(self.wake()),
        }
    }

    /// Puts the row into few bytes if it fits.
    fn settle(&mut self) {
        if let Self::Whole(row) = self
            && let Some(flat) = Flat::of(row)
        {
            *self = Self::Flat(flat);
        }
    }

    fn of(row: Option<Row>) -> Self {
        let Some(row) = row else { return Self::Absent };
        Flat::of(&row).map_or_else(|| Self::Whole(Box::new(row)), Self::Flat)
    }

    /// The bytes to store, made in `memory`; `None` if there is nothing to keep.
    fn encode(&self, memory: &mut Vec<u8>) -> Option<Vec<u8>> {
        memory.clear();
        match self {
            Self::Flat(flat) if !flat.is_empty() => flat.encode(memory),
            Self::Whole(row) if !row.is_empty() => row.encode(memory),
            _ => return None,
        }
        Some(memory.clone())
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Flat(flat) => flat.heap_bytes(),
            Self::Whole(row) => size_of::<Row>() + row.heap_bytes(),
        }
    }
}

/// What a checkpoint must write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Keys and bytes, in the order of keys; `None`: the row is gone.
    pub rows: Vec<(RowKey, Option<Vec<u8>>)>,
    /// Places of those of them that are new in the store, or gone from it (false).
    moves: Vec<(usize, bool)>,
}

impl Dirty {
    /// Rows that are new in the store, or gone from it (false).
    pub fn moves(&self) -> impl Iterator<Item = (&RowKey, bool)> {
        self.moves.iter().map(|(place, is_new)| (&self.rows[*place].0, *is_new))
    }
}

/// Where the row with a key of this hash lies.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    place: u32,
}

/// What the table takes its bucket (low bits) and its tag (high bits) from.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// Rows by key, with marks of what a checkpoint must write.
#[derive(Debug)]
pub struct Rows {
    slots: Slots,
    places: HashTable<Entry>,
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
            slots: Slots::default(),
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
        let mut wanted = Wanted::default();
        keys.iter().for_each(|key| wanted.push(|out| out.extend_from_slice(&key.0)));
        self.fetch(&mut wanted, store)
    }

    /// Finds the places of rows, loading those that are not in RAM in one go. Evicts first: places hold until the next
    /// call.
    ///
    /// # Errors
    /// If the store fails or a row can't be read.
    pub fn fetch(&mut self, wanted: &mut Wanted, store: &mut dyn Store) -> Result<(), StoreError> {
        self.evict(STEPS_PER_KEY * wanted.count());
        // Each pass is short, so that the misses of many rows are under way at once.
        wanted.hash(&self.hasher);
        for (hash, place) in wanted.hashes_and_places() {
            let found = self.places.find(spread(hash), |entry| entry.hash == hash);
            *place = found.map_or(NOWHERE, |entry| entry.place);
        }
        let mut is_missing = false;
        for number in 0..wanted.count() {
            let (key, hash, place) = wanted.get(number);
            if place != NOWHERE && self.slots[place].key.bytes() == key {
                self.slots[place].is_warm = true;
                continue;
            }
            let place = self.find(hash, key).unwrap_or(NOWHERE);
            wanted.set_place(number, place);
            is_missing |= place == NOWHERE;
        }
        self.touch(wanted.hashes_and_places().map(|(_, place)| *place).filter(|place| *place != NOWHERE));
        if is_missing { self.load(wanted, store) } else { Ok(()) }
    }

    /// Has the memory of some rows on its way before it is needed, all misses at once.
    fn touch(&self, places: impl Iterator<Item = u32>) {
        let mut touched = 0;
        for place in places {
            if let Body::Flat(flat) = &self.slots[place].body {
                touched ^= flat.touch();
            }
        }
        std::hint::black_box(touched);
    }

    /// Loads what was not found.
    fn load(&mut self, wanted: &mut Wanted, store: &mut dyn Store) -> Result<(), StoreError> {
        let mut missing: Vec<RowKey> = Vec::new();
        for number in 0..wanted.count() {
            let (key, _, place) = wanted.get(number);
            if place == NOWHERE {
                missing.push(RowKey(key.into()));
            }
        }
        missing.sort_unstable();
        missing.dedup();
        let loaded = store.load(&missing)?;
        for (key, bytes) in missing.into_iter().zip(loaded) {
            let row = read(&key, bytes)?;
            self.insert_clean(&key.0, Body::of(row));
        }
        for number in 0..wanted.count() {
            let (key, hash, place) = wanted.get(number);
            if place == NOWHERE {
                let place = self.find(hash, key).unwrap_or(NOWHERE);
                wanted.set_place(number, place);
            }
        }
        Ok(())
    }

    fn hash(&self, key: &[u8]) -> u32 {
        narrow_hash(self.hasher.hash_one(key))
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let is_it = |entry: &Entry| entry.hash == hash && self.slots[entry.place].key.bytes() == key;
        self.places.find(spread(hash), is_it).map(|entry| entry.place)
    }

    fn insert_clean(&mut self, key: &[u8], body: Body) -> u32 {
        let hash = self.hash(key);
        let key = Key::new(key);
        let bytes = cost(&key, &body);
        self.bytes += bytes;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let is_stored = !matches!(body, Body::Absent);
        let place = self.slots.push(Slot { key, body, bytes, dirty_at: CLEAN, is_warm: true, is_stored });
        self.places.insert_unique(spread(hash), Entry { hash, place }, |entry| spread(entry.hash));
        place
    }

    /// The slot of a key, loaded if need be.
    fn slot(&mut self, key: &[u8], store: &mut dyn Store) -> Result<u32, StoreError> {
        if let Some(place) = self.find(self.hash(key), key) {
            self.slots[place].is_warm = true;
            return Ok(place);
        }
        let key = RowKey(key.into());
        let row = read(&key, store.load(std::slice::from_ref(&key))?.pop().flatten())?;
        Ok(self.insert_clean(&key.0, Body::of(row)))
    }

    /// A row as it is, `None` if there is none.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        Ok(self.slots[place].body.whole().map(|row| &*row))
    }

    /// A row to change, `None` if there is none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_mut(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<&mut Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        if !matches!(self.slots[place].body, Body::Absent) {
            self.mark(place);
        }
        Ok(self.slots[place].body.whole())
    }

    /// A row to change, new if there was none. It is marked for the next checkpoint.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn get_or_insert(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<&mut Row, StoreError> {
        let place = self.slot(&key.0, store)?;
        self.mark(place);
        Ok(self.slots[place].body.wake())
    }

    /// The row at a place that [`Rows::fetch`] found, to change; it is marked for the next checkpoint.
    pub fn body_mut(&mut self, place: u32) -> &mut Body {
        self.mark(place);
        &mut self.slots[place].body
    }

    /// What an account's row tells the account's other rows.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn owner(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Owner, StoreError> {
        let place = self.slot(&key.0, store)?;
        Ok(self.slots[place].body.owner())
    }

    /// Whether there is a row, without making it whole.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn exists(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<bool, StoreError> {
        let place = self.slot(&key.0, store)?;
        Ok(!matches!(self.slots[place].body, Body::Absent))
    }

    /// Deletes a row; what it held.
    ///
    /// # Errors
    /// If the store fails or the row can't be read.
    pub fn remove(&mut self, key: &RowKey, store: &mut dyn Store) -> Result<Option<Row>, StoreError> {
        let place = self.slot(&key.0, store)?;
        self.mark(place);
        Ok(match std::mem::take(&mut self.slots[place].body) {
            Body::Absent => None,
            Body::Flat(flat) => Some(flat.wake()),
            Body::Whole(row) => Some(*row),
        })
    }

    fn mark(&mut self, place: u32) {
        let slot = &mut self.slots[place];
        if slot.dirty_at == CLEAN {
            slot.dirty_at = narrow(self.dirty.len());
            self.dirty_bytes += slot.bytes as usize;
            self.dirty.push(place);
        }
    }

    /// What a checkpoint must write, in the order of keys; empty rows count as deleted. Afterwards all rows are clean:
    /// the checkpoint that carries them must succeed, or the task start anew from the store.
    pub fn take_dirty(&mut self) -> Dirty {
        // The heads of keys are compared where they lie together; the keys themselves are all over the memory.
        let mut order: Vec<(u128, u32)> =
            self.dirty.iter().map(|place| (first_bytes(self.slots[*place].key.bytes()), *place)).collect();
        self.dirty.clear();
        self.dirty_bytes = 0;
        let key = |place: u32| self.slots[place].key.bytes();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        let (mut dirty, mut memory) = (Dirty::default(), Vec::new());
        dirty.rows.reserve_exact(order.len());
        for group in order.chunks(ROWS_UNDER_WAY) {
            self.touch(group.iter().map(|(_, place)| *place));
            for (_, place) in group {
                let slot = &mut self.slots[*place];
                slot.dirty_at = CLEAN;
                slot.body.settle();
                let (key, bytes) = (RowKey(slot.key.bytes().into()), slot.body.encode(&mut memory));
                if slot.is_stored != bytes.is_some() {
                    slot.is_stored = bytes.is_some();
                    dirty.moves.push((dirty.rows.len(), slot.is_stored));
                }
                dirty.rows.push((key, bytes));
                self.bytes -= slot.bytes as usize;
                let bytes = cost(&slot.key, &slot.body);
                self.bytes += bytes;
                slot.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            }
        }
        dirty
    }

    /// Moves the hand at most so many steps, evicting clean rows that were not touched since it came by last, until the
    /// budget is met.
    fn evict(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.bytes <= self.budget || self.slots.len() == 0 {
                return;
            }
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            let slot = &mut self.slots[narrow(place)];
            if slot.dirty_at != CLEAN || std::mem::take(&mut slot.is_warm) {
                continue;
            }
            self.forget(narrow(place));
            self.hand = place;
        }
    }

    /// Drops a clean row; the last slot takes its place.
    fn forget(&mut self, place: u32) {
        let last = narrow(self.slots.len() - 1);
        let Some(gone) = self.slots.swap_remove(place) else { return };
        self.bytes -= gone.bytes as usize;
        let hash = self.hash(gone.key.bytes());
        if let Ok(entry) = self.places.find_entry(spread(hash), |own| own.place == place) {
            entry.remove();
        }
        if place == last {
            return;
        }
        let hash = self.hash(self.slots[place].key.bytes());
        if let Some(own) = self.places.find_mut(spread(hash), |own| own.place == last) {
            own.place = place;
        }
        let moved = &self.slots[place];
        if let Some(dirty) = self.dirty.get_mut(moved.dirty_at as usize) {
            *dirty = place;
        }
    }
}

/// The part of a hash that the table keeps.
pub(super) const fn narrow_hash(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The first bytes of a key, as a number that sorts like them.
fn first_bytes(key: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = key.len().min(16);
    head[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(head)
}

fn read(key: &RowKey, bytes: Option<Vec<u8>>) -> Result<Option<Row>, StoreError> {
    let row = bytes.map(|bytes| Row::decode(&bytes)).transpose();
    row.map_err(|error| StoreError::Corrupt(format!("row {:?}: {error}", key.0)))
}

fn cost(key: &Key, body: &Body) -> usize {
    SLOT_BYTES + key.heap_bytes() + body.heap_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Dirty, Row, Rows};
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
        let sample = Sample { time: Timestamp(time), weight: 1, value: None, midnight: None, lost_ms: 0 };
        row.series_mut(&series()).add(&series(), &sample, None, Floor(Timestamp::MIN));
    }

    fn newest(row: Option<&Row>) -> Option<i64> {
        row.and_then(|row| row.series(7)).and_then(SeriesState::newest).map(|time| time.0)
    }

    fn checkpoint(rows: &mut Rows, store: &mut MemoryStore) {
        let changed = rows.take_dirty().rows;
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
        assert_eq!(rows.take_dirty().rows, [(key(1), None)]);
        assert_eq!(rows.get_mut(&key(2), &mut store).unwrap(), None);
        assert_eq!(rows.take_dirty(), Dirty::default());
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
