//! Rows on RocksDB: one database a task, in `<state path>/<journal partition>`.
//!
//! | column family | key | value |
//! |---|---|---|
//! | default | row key | position of the checkpoint that wrote it (i64, big-endian), row |
//! | `deadlines` | clock (1 byte), time (8, big-endian, sign bit flipped), row key | nothing |
//! | `dropped` | key of a row that is gone | position of the checkpoint that removed it (i64, big-endian) |
//! | `meta` | `format`; `partitions` | 1 byte; u32, big-endian |
//! | | `checkpoint`; `marker` | position (i64), task state; line (u64), position (i64); big-endian |
//!
//! The positions before rows tell what changed since a marker, whatever happened in between; rows that came from the
//! changelog carry a number below all positions.
//!
//! A checkpoint is one write batch, so one record of the write-ahead log: whole or absent after a crash of the process,
//! whose writes the kernel keeps. The log is not forced to disk: after a power failure an earlier checkpoint is found, and
//! the journal makes up for the difference. That is why column families are flushed together: one alone would be
//! ahead of the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DataBlockIndexType, Direction, ErrorKind, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteBufferManager,
};

mod changes;
mod restore;

use crate::engine::store::{
    Changes, Checkpoint, CheckpointWriter, Deadline, DeadlineClock, DeadlinesOf, Marked, RestoredRow, RowKey,
    SharedStore, Store, StoreError, Usage,
};
use crate::event::Timestamp;

/// Version of the layout above.
const FORMAT: u8 = 2;

const DEFAULT: &str = rocksdb::DEFAULT_COLUMN_FAMILY_NAME;
const DEADLINES: &str = "deadlines";
const DROPPED: &str = "dropped";
const META: &str = "meta";
const FAMILIES: [&str; 4] = [DEFAULT, DEADLINES, DROPPED, META];

/// Memory that all tasks of the process share.
pub struct RocksMemory {
    cache: Cache,
    buffers: WriteBufferManager,
}

impl RocksMemory {
    /// Bounds for cached blocks and for what is not written to tables yet, in bytes.
    #[must_use]
    pub fn new(cache_bytes: usize, buffer_bytes: usize) -> Self {
        Self {
            cache: Cache::new_lru_cache(cache_bytes),
            buffers: WriteBufferManager::new_write_buffer_manager(buffer_bytes, false),
        }
    }
}

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It failed or is corrupt.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was written by a version with another layout.
    #[error(
        "the state store {path} has format {found}, this version writes {FORMAT}; remove it to rebuild it from the journal"
    )]
    Format {
        /// Where it lies.
        path: String,
        /// Its format.
        found: u8,
    },
    /// It belongs to a journal with another number of partitions.
    #[error(
        "the state store {path} belongs to a journal of {stored} partitions, this one has {configured}; entities lie in other partitions now: use `reshard`, or a new application_id"
    )]
    Partitions {
        /// Where it lies.
        path: String,
        /// The journal's partitions when the store was made.
        stored: u32,
        /// The journal's partitions now.
        configured: u32,
    },
}

/// The rows of one task.
pub struct RocksStore {
    /// Reads for the changelog; ends before the database is closed.
    reader: Option<changes::Reader>,
    db: Arc<DB>,
    /// For tables that are written beside the database.
    table_options: Options,
    /// Where those are written.
    table_file: PathBuf,
}

impl RocksStore {
    /// Opens or makes the store of a journal partition; `partitions` is how many the journal has.
    ///
    /// # Errors
    /// If it can't be opened, is corrupt, or was made for another layout or journal.
    pub fn open(
        state_path: &Path,
        partition: i32,
        partitions: u32,
        memory: &RocksMemory,
    ) -> Result<Self, OpenError> {
        let path = folder(state_path, partition);
        std::fs::create_dir_all(&path).map_err(|error| StoreError::Failed(error.to_string()))?;
        let families = [
            ColumnFamilyDescriptor::new(DEFAULT, rows_options(memory)),
            ColumnFamilyDescriptor::new(DEADLINES, options(&table_options(memory))),
            ColumnFamilyDescriptor::new(DROPPED, options(&table_options(memory))),
            ColumnFamilyDescriptor::new(META, options(&table_options(memory))),
        ];
        let db = DB::open_cf_descriptors(&database_options(memory), &path, families).map_err(failed)?;
        let store = Self {
            reader: None,
            db: Arc::new(db),
            table_options: rows_options(memory),
            table_file: state_path.join(format!("{partition}.restore.sst")),
        };
        store.claim(&path, partitions)?;
        Ok(store)
    }

    /// Removes the store of a journal partition, which must not be open.
    ///
    /// # Errors
    /// If a file can't be removed.
    pub fn discard(state_path: &Path, partition: i32) -> Result<(), StoreError> {
        match std::fs::remove_dir_all(folder(state_path, partition)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::Failed(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Checks whose store this is; a new one is marked.
    fn claim(&self, path: &Path, partitions: u32) -> Result<(), OpenError> {
        let meta = self.family(META)?;
        let path = path.display().to_string();
        let read = |key: &str| self.db.get_cf(meta, key).map_err(failed);
        let Some(format) = read("format")? else {
            let mut batch = WriteBatch::default();
            batch.put_cf(meta, "format", [FORMAT]);
            batch.put_cf(meta, "partitions", partitions.to_be_bytes());
            self.db.write(batch).map_err(failed)?;
            return Ok(());
        };
        if format != [FORMAT] {
            return Err(OpenError::Format { path, found: format.first().copied().unwrap_or(0) });
        }
        let stored = read("partitions")?
            .and_then(|bytes| bytes.try_into().ok().map(u32::from_be_bytes))
            .ok_or_else(|| StoreError::Corrupt("no number of partitions".to_owned()))?;
        if stored != partitions {
            return Err(OpenError::Partitions { path, stored, configured: partitions });
        }
        Ok(())
    }

    fn tables(&self) -> restore::Tables<'_> {
        restore::Tables { db: &self.db, file: &self.table_file, options: &self.table_options }
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily, StoreError> {
        family(&self.db, name)
    }
}

fn family<'a>(db: &'a DB, name: &str) -> Result<&'a ColumnFamily, StoreError> {
    db.cf_handle(name).ok_or_else(|| StoreError::Corrupt(format!("no column family {name}")))
}

fn folder(state_path: &Path, partition: i32) -> PathBuf {
    state_path.join(partition.to_string())
}

fn database_options(memory: &RocksMemory) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_write_buffer_manager(&memory.buffers);
    options.set_max_background_jobs(2);
    options.set_max_total_wal_size(256 << 20);
    // The kernel writes as it goes instead of all at once.
    options.set_bytes_per_sync(1 << 20);
    options.set_wal_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(2);
    options.set_log_level(rocksdb::LogLevel::Warn);
    options.set_max_open_files(512);
    options
}

fn table_options(memory: &RocksMemory) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    table
}

fn options(table: &BlockBasedOptions) -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(table);
    options.set_write_buffer_size(32 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

/// Rows are looked up by key, seldom in order, and most that are looked up for the first time do not exist.
fn rows_options(memory: &RocksMemory) -> Options {
    let mut table = table_options(memory);
    table.set_bloom_filter(10.0, false);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    let mut options = options(&table);
    // The same for what is not flushed yet.
    options.set_memtable_prefix_bloom_ratio(0.03);
    options.set_memtable_whole_key_filtering(true);
    options
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(error.to_string()),
        // A file of the store is gone, which will not come back by itself.
        _ if error.as_ref().contains("No such file or directory") => StoreError::Corrupt(error.to_string()),
        // The only way in which the binding tells it.
        _ if error.as_ref().contains("No space left on device") => StoreError::Full(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}

/// A row as it is stored: behind the position of the checkpoint that wrote it.
fn stored(position: i64, row: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + row.len());
    out.extend_from_slice(&position.to_be_bytes());
    out.extend_from_slice(row);
    out
}

fn marker(marked: Marked) -> [u8; 16] {
    (u128::from(marked.line) << 64 | u128::from(marked.position.cast_unsigned())).to_be_bytes()
}

fn split_stored(bytes: &[u8]) -> Result<(i64, &[u8]), StoreError> {
    let (position, row) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| StoreError::Corrupt("a row without position".to_owned()))?;
    Ok((i64::from_be_bytes(*position), row))
}

/// Keys that sort by clock, time, row.
fn deadline_key(clock: DeadlineClock, at: Timestamp, row: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + row.len());
    key.push(clock as u8);
    key.extend_from_slice(&(at.0 ^ i64::MIN).to_be_bytes());
    key.extend_from_slice(row);
    key
}

fn read_deadline(clock: DeadlineClock, key: &[u8]) -> Option<Deadline> {
    let (time, row) = key.strip_prefix(&[clock as u8])?.split_first_chunk::<8>()?;
    let at = Timestamp(i64::from_be_bytes(*time) ^ i64::MIN);
    Some(Deadline { clock, at, row: RowKey(row.into()) })
}

/// Writes a checkpoint: one batch. Rows come in the order of keys, which costs a third of any other order.
fn write(db: &DB, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let [rows, deadlines, dropped, meta] = FAMILIES.map(|name| family(db, name));
    let (rows, deadlines, dropped, meta) = (rows?, deadlines?, dropped?, meta?);
    let position = checkpoint.position.to_be_bytes();
    let mut batch = WriteBatch::default();
    let mut value = position.to_vec();
    for (key, row) in &checkpoint.rows {
        match row {
            Some(row) => {
                value.truncate(position.len());
                value.extend_from_slice(row);
                batch.put_cf(rows, &key.0, &value);
            }
            None => {
                batch.delete_cf(rows, &key.0);
                batch.put_cf(dropped, &key.0, position);
            }
        }
    }
    for deadline in &checkpoint.disarmed {
        batch.delete_cf(deadlines, deadline_key(deadline.clock, deadline.at, &deadline.row.0));
    }
    for deadline in &checkpoint.armed {
        batch.put_cf(deadlines, deadline_key(deadline.clock, deadline.at, &deadline.row.0), []);
    }
    batch.put_cf(meta, "checkpoint", stored(checkpoint.position, &checkpoint.task));
    db.write(batch).map_err(failed)
}

impl SharedStore for RocksStore {
    fn writer(&self) -> CheckpointWriter {
        let db = Arc::clone(&self.db);
        Box::new(move |checkpoint| write(&db, checkpoint))
    }
}

impl Store for RocksStore {
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let rows = self.family(DEFAULT)?;
        self.db
            .batched_multi_get_cf(rows, keys.iter().map(|key| &key.0), false)
            .into_iter()
            .map(|row| match row.map_err(failed)? {
                Some(bytes) => split_stored(&bytes).map(|(_, row)| Some(row.to_vec())),
                None => Ok(None),
            })
            .collect()
    }

    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError> {
        let family = self.family(DEADLINES)?;
        let first = deadline_key(clock, after.plus(1), &[]);
        let mut reading = ReadOptions::default();
        // Entries before were removed one by one; without a bound every scan would cross what is left of them.
        reading.set_iterate_lower_bound(first.clone());
        let mut found = Vec::new();
        for entry in self.db.iterator_cf_opt(family, reading, IteratorMode::From(&first, Direction::Forward))
        {
            let (key, _) = entry.map_err(failed)?;
            if key.first() != Some(&(clock as u8)) {
                break;
            }
            let deadline = read_deadline(clock, &key)
                .ok_or_else(|| StoreError::Corrupt(format!("a deadline's key of {} bytes", key.len())))?;
            if deadline.at > until {
                break;
            }
            found.push(deadline);
        }
        Ok(found)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        write(&self.db, checkpoint)
    }

    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        let Some(bytes) = self.db.get_cf(self.family(META)?, "checkpoint").map_err(failed)? else {
            return Ok(None);
        };
        let (position, task) = split_stored(&bytes)?;
        Ok(Some((position, task.to_vec())))
    }

    fn marked(&mut self) -> Result<Marked, StoreError> {
        let Some(bytes) = self.db.get_cf(self.family(META)?, "marker").map_err(failed)? else {
            return Ok(Marked::begin(0));
        };
        let corrupt = || StoreError::Corrupt(format!("a marker of {} bytes", bytes.len()));
        let (line, position) = bytes.split_first_chunk::<8>().ok_or_else(corrupt)?;
        let position = position.try_into().map_err(|_| corrupt())?;
        Ok(Marked { line: u64::from_be_bytes(*line), position: i64::from_be_bytes(position) })
    }

    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError> {
        let dropped = self.family(DROPPED)?;
        let mut batch = WriteBatch::default();
        for entry in self.db.iterator_cf(dropped, IteratorMode::Start) {
            let (key, position) = entry.map_err(failed)?;
            if split_stored(&position)?.0 <= marked.position {
                batch.delete_cf(dropped, key);
            }
        }
        batch.put_cf(self.family(META)?, "marker", marker(marked));
        self.db.write(batch).map_err(failed)
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        let checkpoint = self.last_checkpoint()?;
        let (position, task) =
            checkpoint.ok_or_else(|| StoreError::Failed("there is no checkpoint".to_owned()))?;
        let since = self.marked()?.position;
        // One at a time: the one before ends here if it has not yet.
        self.reader = None;
        let (reader, rows) = changes::Reader::begin(&self.db, since)?;
        self.reader = Some(reader);
        Ok(Changes { position, task, rows: Box::new(rows) })
    }

    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        self.tables().rows(rows)
    }

    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError> {
        let count = self.tables().finish(marked, deadlines)?;
        let meta = self.family(META)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, "checkpoint", stored(marked.position, task));
        batch.put_cf(meta, "marker", marker(marked));
        self.db.write(batch).map_err(failed)?;
        Ok(count)
    }

    fn usage(&self) -> Usage {
        let of = |family: &str, property: &str| -> u64 {
            let family = self.family(family).ok();
            family
                .and_then(|family| self.db.property_int_value_cf(family, property).ok().flatten())
                .unwrap_or(0)
        };
        let all = |property: &str| FAMILIES.iter().map(|family| of(family, property)).sum::<u64>();
        let of_all = |property: &str| of(DEFAULT, property);
        let stalls = |family: &str| {
            let text = self.family(family).ok().and_then(|family| {
                self.db.property_value_cf(family, "rocksdb.cf-write-stall-stats").ok().flatten()
            });
            text.map_or(0, |text| write_stalls(&text))
        };
        Usage {
            disk: all("rocksdb.total-sst-files-size"),
            memtable: all("rocksdb.cur-size-all-mem-tables"),
            pending_compaction: all("rocksdb.estimate-pending-compaction-bytes"),
            block_cache: of_all("rocksdb.block-cache-usage"),
            background_errors: of_all("rocksdb.background-errors"),
            write_stalls: FAMILIES.iter().map(|family| stalls(family)).sum(),
            // A file system that does not say counts as full: nobody shall rely on it.
            disk_free: rustix::fs::statvfs(self.db.path()).map_or(0, |free| free.f_bavail * free.f_frsize),
        }
    }
}

/// How often a column family held writes back or stopped them: the totals among RocksDB's counts by cause.
fn write_stalls(text: &str) -> u64 {
    let total = |part: &str| part.trim().strip_prefix("total-")?.split(": ").nth(1)?.parse::<u64>().ok();
    text.split([',', '\n']).filter_map(total).sum()
}

#[cfg(test)]
mod tests;
