//! Reading what changed since a marker from a snapshot, on a thread of its own, while checkpoints go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rocksdb::{DB, IteratorMode, ReadOptions, Snapshot};

use super::{DEFAULT, DROPPED, failed, family, split_stored};
use crate::engine::store::{ChangedRow, RowKey, StoreError};

/// Rows handed over in one go, and how many of those wait for the reader: bounds what a slow reader costs in memory.
const BATCH: usize = 1000;
const WAITING: usize = 4;
/// Between two looks whether there is room, or an order to end.
const STEP: Duration = Duration::from_millis(1);

/// A batch of rows; `None` says that all were read.
type Part = Result<Option<Vec<ChangedRow>>, StoreError>;

/// The thread that reads. Dropped, it ends, so that the database can be closed.
pub(super) struct Reader {
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Takes the snapshot and begins to read rows that changed after this position.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub(super) fn begin(db: &Arc<DB>, since: i64) -> Result<(Self, Rows), StoreError> {
        let (send, parts) = sync_channel(WAITING);
        let (taken, is_taken) = sync_channel(1);
        let cancel = Arc::new(AtomicBool::new(false));
        let (db, stop) = (Arc::clone(db), Arc::clone(&cancel));
        let read = move || {
            let snapshot = db.snapshot();
            // Nobody waits any more if the store was dropped meanwhile; then the order to end has been given, too.
            let _ = taken.send(());
            let mut out = Out { parts: send, stop, batch: Vec::with_capacity(BATCH) };
            match visit(&db, &snapshot, since, &mut out) {
                Ok(true) => {
                    out.flush();
                    out.hand_over(Ok(None));
                }
                Ok(false) => {}
                Err(error) => {
                    out.hand_over(Err(error));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("changes".to_owned())
            .spawn(read)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let reader = Self { cancel, thread: Some(thread) };
        // The checkpoint that the snapshot shows must be the last one, so nothing may be written before it is taken.
        is_taken.recv().map_err(|_| StoreError::Failed("no snapshot could be taken".to_owned()))?;
        Ok((reader, Rows { parts, batch: Vec::new().into_iter(), is_over: false }))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has ended the process already.
            drop(thread.join());
        }
    }
}

/// Where rows go.
struct Out {
    parts: SyncSender<Part>,
    stop: Arc<AtomicBool>,
    batch: Vec<ChangedRow>,
}

impl Out {
    /// Whether anybody still wants more.
    fn push(&mut self, row: ChangedRow) -> bool {
        self.batch.push(row);
        self.batch.len() < BATCH || self.flush()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.hand_over(Ok(Some(batch)))
    }

    fn hand_over(&self, mut part: Part) -> bool {
        loop {
            match self.parts.try_send(part) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => part = back,
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::park_timeout(STEP);
        }
    }
}

/// Visits changed rows, then keys of rows that are gone; whether it came to the end.
fn visit(db: &DB, snapshot: &Snapshot<'_>, since: i64, out: &mut Out) -> Result<bool, StoreError> {
    let (rows, dropped) = (family(db, DEFAULT)?, family(db, DROPPED)?);
    let reading = || {
        let mut reading = ReadOptions::default();
        // A pass over everything must not push out what processing needs.
        reading.fill_cache(false);
        reading.set_readahead_size(2 << 20);
        reading
    };
    for entry in snapshot.iterator_cf_opt(rows, reading(), IteratorMode::Start) {
        let (key, stored) = entry.map_err(failed)?;
        let (position, row) = split_stored(&stored)?;
        if position > since && !out.push((RowKey(key), Some(row.to_vec()))) {
            return Ok(false);
        }
    }
    for entry in snapshot.iterator_cf_opt(dropped, reading(), IteratorMode::Start) {
        let (key, stored) = entry.map_err(failed)?;
        let (position, _) = split_stored(&stored)?;
        // It may have come back since.
        let gone = position > since && snapshot.get_pinned_cf(rows, &key).map_err(failed)?.is_none();
        if gone && !out.push((RowKey(key), None)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rows, as they come.
pub(super) struct Rows {
    parts: Receiver<Part>,
    batch: std::vec::IntoIter<ChangedRow>,
    is_over: bool,
}

impl Iterator for Rows {
    type Item = Result<ChangedRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            if self.is_over {
                return None;
            }
            match self.parts.recv() {
                Ok(Ok(Some(batch))) => self.batch = batch.into_iter(),
                Ok(Ok(None)) => self.is_over = true,
                Ok(Err(error)) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
                Err(_) => {
                    self.is_over = true;
                    return Some(Err(StoreError::Failed("closed while its rows were read".to_owned())));
                }
            }
        }
    }
}
