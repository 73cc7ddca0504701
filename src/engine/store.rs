//! What the engine asks of the place where rows live.

use crate::event::Timestamp;

/// Key of an entity's row: one byte of entity kind, the account, the other part. Bytewise order groups an account's rows
/// of one kind. `rows::key` encodes and decodes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub Box<[u8]>);

/// Which clock a deadline runs on (`design.md` §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeadlineClock {
    /// Event time: the lowest watermark of the kinds concerned.
    Watermark = 0,
    /// Journal time.
    Journal = 1,
}

/// A row's place in the index of deadlines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    /// Which clock.
    pub clock: DeadlineClock,
    /// When the row wants to be looked at.
    pub at: Timestamp,
    /// The row.
    pub row: RowKey,
}

/// All that a checkpoint writes, atomically: never a row without the position that explains it.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Changed rows by key; `None` deletes.
    pub rows: Vec<(RowKey, Option<Vec<u8>>)>,
    /// Deadlines that are gone, in order.
    pub disarmed: Vec<Deadline>,
    /// New deadlines, in order.
    pub armed: Vec<Deadline>,
    /// The task's own state, encoded: watermarks, covered offsets, active rules, engine version.
    pub task: Vec<u8>,
    /// The next journal offset to read.
    pub position: i64,
}

/// The store failed; the process exits and restarts from the last checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The storage engine reported an error.
    #[error("the state store failed: {0}")]
    Failed(String),
    /// What was read is not what was written.
    #[error("the state store is corrupt: {0}")]
    Corrupt(String),
}

/// What a store occupies and what went wrong in it, for the metrics. Bytes; what a store does not have is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Rows as they lie on disk (or in memory, where there is no disk).
    pub disk: u64,
    /// Rows that are not written to tables yet.
    pub memtable: u64,
    /// Cached blocks, shared with the other stores of the process.
    pub block_cache: u64,
    /// What must still be compacted.
    pub pending_compaction: u64,
    /// Free space where it lies.
    pub disk_free: u64,
    /// How often writes were held back or stopped, since it was opened.
    pub write_stalls: u64,
    /// Flushes and compactions that failed, since it was opened.
    pub background_errors: u64,
}

/// Rows of one task, by key. Implemented on RocksDB and in memory.
pub trait Store {
    /// Loads rows in one go: for each key its bytes, or `None` where there is no row.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// The stored deadlines of one clock with `after < at <= until`, in order.
    ///
    /// # Errors
    /// If the storage engine fails or an entry can't be read.
    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError>;

    /// Writes a checkpoint atomically.
    ///
    /// # Errors
    /// If the storage engine fails; then nothing of it is visible.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// The task state and position of the last checkpoint; `None` if there never was one.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError>;

    /// What it occupies, and what went wrong in it.
    fn usage(&self) -> Usage;
}
