//! Rows in memory: for tests, replays and the rule harness.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::store::{
    Changes, Checkpoint, Deadline, DeadlineClock, DeadlinesOf, Marked, RestoredRow, RowKey, Store,
    StoreError, Usage,
};
use crate::event::Timestamp;

/// A [`Store`] that lives as long as the process. A clone is what a reopened store would show.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    rows: BTreeMap<RowKey, Vec<u8>>,
    deadlines: BTreeSet<Deadline>,
    task: Option<(i64, Vec<u8>)>,
    /// The checkpoint that changed a row last, by its position; of rows that are gone, too.
    changed: BTreeMap<RowKey, i64>,
    marked: Marked,
    /// Rows of a restore, with their lines.
    restoring: BTreeMap<RowKey, (u64, Vec<u8>)>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            task: None,
            changed: BTreeMap::new(),
            marked: Marked::begin(0),
            restoring: BTreeMap::new(),
        }
    }
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

    /// All deadlines, in order.
    #[must_use]
    pub fn all_deadlines(&self) -> &BTreeSet<Deadline> {
        &self.deadlines
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
            self.changed.insert(key.clone(), checkpoint.position);
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

    fn marked(&mut self) -> Result<Marked, StoreError> {
        Ok(self.marked)
    }

    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError> {
        self.marked = marked;
        Ok(())
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        let (position, task) =
            self.task.clone().ok_or_else(|| StoreError::Failed("there is no checkpoint".to_owned()))?;
        let since = self.marked.position;
        let changed = self.changed.iter().filter(|(_, position)| **position > since).map(|(key, _)| key);
        // Restored rows count as changed before any position.
        let restored =
            self.rows.keys().filter(|key| since == Marked::NONE && !self.changed.contains_key(*key));
        let rows: Vec<_> =
            changed.chain(restored).map(|key| Ok((key.clone(), self.rows.get(key).cloned()))).collect();
        Ok(Changes { position, task, rows: Box::new(rows.into_iter()) })
    }

    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        for (key, row) in rows {
            match row {
                Some(row) => self.restoring.insert(key.clone(), row.clone()),
                None => self.restoring.remove(key),
            };
        }
        Ok(())
    }

    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError> {
        for (key, (line, row)) in std::mem::take(&mut self.restoring) {
            if line == marked.line {
                self.deadlines.extend(deadlines(&key, &row)?);
                self.rows.insert(key, row);
            }
        }
        self.task = Some((marked.position, task.to_vec()));
        self.marked = marked;
        Ok(self.rows.len() as u64)
    }

    fn usage(&self) -> Usage {
        let rows: usize = self.rows.iter().map(|(key, row)| key.0.len() + row.len()).sum();
        let deadlines: usize = self.deadlines.iter().map(|deadline| deadline.row.0.len() + 9).sum();
        Usage { disk: (rows + deadlines) as u64, ..Usage::default() }
    }
}
