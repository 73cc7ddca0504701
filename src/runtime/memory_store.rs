//! Rows in memory: for tests, replays and the rule harness.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::store::{Checkpoint, Deadline, DeadlineClock, RowKey, Store, StoreError, Usage};
use crate::event::Timestamp;

/// A [`Store`] that lives as long as the process. A clone is what a reopened store would show.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    rows: BTreeMap<RowKey, Vec<u8>>,
    deadlines: BTreeSet<Deadline>,
    task: Option<(i64, Vec<u8>)>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All rows, in the order of keys.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<RowKey, Vec<u8>> {
        &self.rows
    }
}

impl Store for MemoryStore {
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(keys.iter().map(|key| self.rows.get(key).cloned()).collect())
    }

    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError> {
        if after >= until {
            return Ok(Vec::new());
        }
        let first = |at: Timestamp| Deadline { clock, at, row: RowKey(Box::default()) };
        let from = first(after.plus(1));
        let found = self.deadlines.range(from..);
        Ok(found.take_while(|deadline| deadline.clock == clock && deadline.at <= until).cloned().collect())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        for (key, row) in &checkpoint.rows {
            match row {
                Some(bytes) => self.rows.insert(key.clone(), bytes.clone()),
                None => self.rows.remove(key),
            };
        }
        for deadline in &checkpoint.disarmed {
            self.deadlines.remove(deadline);
        }
        self.deadlines.extend(checkpoint.armed.iter().cloned());
        self.task = Some((checkpoint.position, checkpoint.task.clone()));
        Ok(())
    }

    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        Ok(self.task.clone())
    }

    fn usage(&self) -> Usage {
        let rows: usize = self.rows.iter().map(|(key, row)| key.0.len() + row.len()).sum();
        let deadlines: usize = self.deadlines.iter().map(|deadline| deadline.row.0.len() + 9).sum();
        Usage { disk: (rows + deadlines) as u64, ..Usage::default() }
    }
}
