//! A checkpoint on its way: taken at one position, written once all up to there is committed, while the task goes on.
//!
//! Until it is written, the store shows what was before, and rows that were evicted from RAM meanwhile would be read back
//! old. That is why a task reads through [`View`], which puts what is held above what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::engine::store::{
    Changes, Checkpoint, Deadline, DeadlineClock, DeadlinesOf, Marked, RestoredRow, RowKey, SharedStore,
    Store, StoreError, Usage,
};
use crate::event::Timestamp;
use crate::runtime::worker::Spawn;

/// How writing ended, and how long it took.
type Outcome = Result<Duration, StoreError>;

/// A checkpoint that the store does not have yet.
pub(super) struct Held {
    checkpoint: Arc<Checkpoint>,
    /// How long processing paused to take it.
    pause: Duration,
    /// Where the thread that writes it tells how it went.
    writing: Option<Receiver<Outcome>>,
}

impl Held {
    /// A checkpoint that was taken within this time and waits for its commit.
    pub(super) const fn new(checkpoint: Arc<Checkpoint>, pause: Duration) -> Self {
        Self { checkpoint, pause, writing: None }
    }

    /// The next journal offset after it.
    pub(super) fn position(&self) -> i64 {
        self.checkpoint.position
    }

    /// Begins to write it beside everything else, unless that is under way.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(super) fn begin(&mut self, store: &impl SharedStore, spawn: Spawn) -> std::io::Result<()> {
        if self.writing.is_some() {
            return Ok(());
        }
        let (send, outcome) = channel();
        let (writer, checkpoint) = (store.writer(), Arc::clone(&self.checkpoint));
        let write = move || {
            let begun = Instant::now();
            let end = writer(&checkpoint).map(|()| begun.elapsed());
            // Nobody asks any more if the task was dropped.
            let _ = send.send(end);
        };
        spawn("checkpoint", Box::new(write))?;
        self.writing = Some(outcome);
        Ok(())
    }

    /// How writing ended, and how long the pause and the writing took together; `None` if it has not ended in time.
    pub(super) fn outcome(&self, wait: Duration) -> Option<Outcome> {
        match self.writing.as_ref()?.recv_timeout(wait) {
            Ok(end) => Some(end.map(|took| took + self.pause)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(StoreError::Failed("the thread that wrote a checkpoint ended".to_owned())))
            }
        }
    }
}

impl Drop for Held {
    /// Waits until the thread has let the store go: the next one opens the same.
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            while writing.recv().is_ok() {}
        }
    }
}

/// A store as it will be once the held checkpoint is written.
pub(super) struct View<'a, T> {
    held: Option<&'a Checkpoint>,
    store: &'a mut T,
    loading: Duration,
}

impl<'a, T> View<'a, T> {
    /// Puts what is held, if anything is, above the store.
    pub(super) fn new(held: Option<&'a Held>, store: &'a mut T) -> Self {
        Self { held: held.map(|held| &*held.checkpoint), store, loading: Duration::ZERO }
    }

    /// How long rows were loaded through it.
    pub(super) const fn loading(&self) -> Duration {
        self.loading
    }
}

impl<T: Store> View<'_, T> {
    fn load_now(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let Some(held) = self.held else { return self.store.load(keys) };
        let own = |key: &RowKey| held.rows.binary_search_by(|(own, _)| own.cmp(key)).ok();
        let found: Vec<Option<usize>> = keys.iter().map(own).collect();
        let others: Vec<RowKey> = keys
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        let mut loaded = self.store.load(&others)?.into_iter();
        let row = |found: Option<usize>| match found {
            Some(place) => held.rows[place].1.clone(),
            None => loaded.next().flatten(),
        };
        Ok(found.into_iter().map(row).collect())
    }
}

impl<T: Store> Store for View<'_, T> {
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let begun = Instant::now();
        let loaded = self.load_now(keys);
        self.loading += begun.elapsed();
        loaded
    }

    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError> {
        let stored = self.store.deadlines(clock, after, until)?;
        let Some(held) = self.held else { return Ok(stored) };
        let mut all: BTreeSet<Deadline> = stored.into_iter().collect();
        for gone in &held.disarmed {
            all.remove(gone);
        }
        let is_asked = |own: &&Deadline| own.clock == clock && after < own.at && own.at <= until;
        all.extend(held.armed.iter().filter(is_asked).cloned());
        Ok(all.into_iter().collect())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.store.checkpoint(checkpoint)
    }

    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        self.store.last_checkpoint()
    }

    fn marked(&mut self) -> Result<Marked, StoreError> {
        self.store.marked()
    }

    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError> {
        self.store.set_marked(marked)
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        self.store.changes()
    }

    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        self.store.restore(rows)
    }

    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError> {
        self.store.finish_restore(marked, task, deadlines)
    }

    fn usage(&self) -> Usage {
        self.store.usage()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::memory_store::MemoryStore;

    fn key(number: u8) -> RowKey {
        RowKey(Box::from([number]))
    }

    fn deadline((number, at): (u8, i64)) -> Deadline {
        let clock = if number % 2 == 0 { DeadlineClock::Watermark } else { DeadlineClock::Journal };
        Deadline { clock, at: Timestamp(at), row: key(number) }
    }

    type Rows = std::collections::BTreeMap<u8, Option<Vec<u8>>>;

    fn checkpoint(rows: &Rows, armed: &BTreeSet<(u8, i64)>, disarmed: &BTreeSet<(u8, i64)>) -> Checkpoint {
        let deadlines = |of: &BTreeSet<(u8, i64)>| {
            let sorted: BTreeSet<Deadline> = of.iter().copied().map(deadline).collect();
            sorted.into_iter().collect()
        };
        Checkpoint {
            rows: rows.iter().map(|(number, row)| (key(*number), row.clone())).collect(),
            armed: deadlines(armed),
            disarmed: deadlines(disarmed),
            ..Checkpoint::default()
        }
    }

    fn rows() -> impl Strategy<Value = Rows> {
        prop::collection::btree_map(
            0_u8..20,
            prop::option::of(prop::collection::vec(any::<u8>(), 1..3)),
            0..12,
        )
    }

    fn deadlines() -> impl Strategy<Value = BTreeSet<(u8, i64)>> {
        prop::collection::btree_set((0_u8..6, 0_i64..10), 0..12)
    }

    proptest! {
        #[test]
        fn what_is_held_looks_as_if_it_were_written(
            (before, after) in (rows(), rows()),
            (armed, later, gone) in (deadlines(), deadlines(), deadlines()),
            (from, until) in (-1_i64..10, -1_i64..10),
        ) {
            let mut store = MemoryStore::new();
            store.checkpoint(&checkpoint(&before, &armed, &BTreeSet::new())).unwrap();
            let gone = gone.difference(&later).copied().collect();
            let held = Arc::new(checkpoint(&after, &later, &gone));
            let mut written = store.clone();
            written.checkpoint(&held).unwrap();
            let held = Held::new(held, Duration::ZERO);
            let mut view = View::new(Some(&held), &mut store);
            let keys: Vec<RowKey> = (0..20).rev().map(key).collect();
            prop_assert_eq!(view.load(&keys).unwrap(), written.load(&keys).unwrap());
            for clock in [DeadlineClock::Watermark, DeadlineClock::Journal] {
                let (from, until) = (Timestamp(from), Timestamp(until));
                let shown = view.deadlines(clock, from, until).unwrap();
                prop_assert_eq!(shown, written.deadlines(clock, from, until).unwrap());
            }
        }
    }
}
