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
    /// Changed rows in the order of keys, each once; `None` deletes.
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

/// How far the changelog knows a store.
///
/// Markers of one line follow one history. A store whose history the changelog does not know begins a new line, whose first
/// marker covers all its rows; rows of other lines then count no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// The line; the first one is 1, and 0 is none.
    pub line: u64,
    /// The position of the line's last marker; [`Marked::NONE`] before its first.
    pub position: i64,
}

impl Marked {
    /// The position of a line without markers: every row changed since.
    pub const NONE: i64 = i64::MIN;

    /// A line that has no marker yet.
    #[must_use]
    pub const fn begin(line: u64) -> Self {
        Self { line, position: Self::NONE }
    }
}

/// A row by key; `None` where it is gone.
pub type ChangedRow = (RowKey, Option<Vec<u8>>);

/// What changed since a marker, as of one checkpoint, read while the store goes on.
pub struct Changes {
    /// The checkpoint's position.
    pub position: i64,
    /// The checkpoint's task state.
    pub task: Vec<u8>,
    /// The rows, in no order. An error in their midst makes all of them void.
    pub rows: Box<dyn Iterator<Item = Result<ChangedRow, StoreError>> + Send>,
}

/// A row from the changelog: the line that it belongs to, and its bytes; nothing where it is gone.
pub type RestoredRow = (RowKey, Option<(u64, Vec<u8>)>);

/// The deadlines that a row is armed for, from its bytes.
pub type DeadlinesOf = fn(&RowKey, &[u8]) -> Result<Vec<Deadline>, StoreError>;

/// The store failed; the process exits and restarts from the last checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room for what must be written.
    #[error(
        "the disk of the state store is full: {0}\n  hint: make room below `state.path` and start again; nothing is lost, work goes on from the last checkpoint"
    )]
    Full(String),
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

/// Writes one checkpoint, on whatever thread; it holds the store open until it is done.
pub type CheckpointWriter = Box<dyn FnOnce(&Checkpoint) -> Result<(), StoreError> + Send>;

/// A store that others may read while a checkpoint is being written.
pub trait SharedStore: Store {
    /// What writes the next checkpoint as [`Store::checkpoint`] does.
    fn writer(&self) -> CheckpointWriter;
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

    /// How far the changelog knows this store; line 0 if it never heard of it.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn marked(&mut self) -> Result<Marked, StoreError>;

    /// Takes note of a marker, or of a new line.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError>;

    /// What changed since the last marker, as of the last checkpoint. There must be one.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn changes(&mut self) -> Result<Changes, StoreError>;

    /// Takes in a part of the changelog: rows sorted by key, each once. Later parts overwrite earlier ones. Until
    /// [`Store::finish_restore`] the store has no checkpoint, so what is left of a broken restore is discarded.
    ///
    /// # Errors
    /// If the storage engine fails.
    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError>;

    /// Ends a restore at this marker, with its task state: forgets rows of other lines, arms the deadlines of the others,
    /// and makes all of it a checkpoint. How many rows there are.
    ///
    /// # Errors
    /// If the storage engine fails or a row can't be read.
    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError>;

    /// What it occupies, and what went wrong in it.
    fn usage(&self) -> Usage;
}
