//! Building a store from a partition of the changelog.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

use super::marker::{Marker, unreadable};
use super::{Changelog, MARKER_KEY, ROW, read_row};
use crate::engine::rows::armed::deadlines_of;
use crate::engine::store::{Marked, RestoredRow, RowKey, Store};
use crate::event::Timestamp;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::worker::WorkerError;

/// Rows sorted in memory at a time, by bytes of keys and values. Bounds what a restore costs, of which there is one for each
/// partition at a time.
const CHUNK_BYTES: usize = 8 << 20;
/// Between two lines in the log, ms.
const TELL_MS: i64 = 5_000;
/// Between two looks at the clock, records.
const LOOK: u64 = 4096;

/// What a restore needs beside the store.
pub struct Restore<'a> {
    /// Where rows come from.
    pub changelog: &'a Changelog,
    /// The partition.
    pub partition: i32,
    /// The order to give up.
    pub cancel: &'a AtomicBool,
    /// For progress.
    pub clock: &'a dyn Clock,
    /// What is left.
    pub metrics: &'a Metrics,
}

/// Rows of a part of the changelog, in its order.
#[derive(Default)]
struct Chunk {
    rows: Vec<RestoredRow>,
    bytes: usize,
}

/// How far it is.
struct Progress {
    began: Timestamp,
    told: Timestamp,
    records: u64,
}

impl Restore<'_> {
    /// Reads the partition to its end into an empty store, which then stands at the partition's last marker.
    ///
    /// # Errors
    /// If the changelog can't be read, the store fails, or the order to give up comes.
    pub fn run(&self, store: &mut dyn Store) -> Result<Marker, WorkerError> {
        let began = self.clock.now();
        let mut progress = Progress { began, told: began, records: 0 };
        let (mut chunk, mut marker) = (Chunk::default(), None);
        (self.changelog.read)(self.partition, None, &mut |kept| {
            self.tell(&mut progress, kept.remaining)?;
            match kept.key.split_first() {
                Some((&ROW, key)) => {
                    let row = kept.value.map(read_row).transpose();
                    let row = row.map_err(|error| unreadable(self.partition, error))?;
                    chunk.bytes += 64 + key.len() + row.map_or(0, |(_, row)| row.len());
                    chunk.rows.push((RowKey(key.into()), row.map(|(line, row)| (line, row.to_vec()))));
                }
                _ if kept.key == MARKER_KEY => {
                    let read = kept.value.map(Marker::decode).transpose();
                    marker = read.map_err(|error| unreadable(self.partition, error))?.or(marker.take());
                }
                _ => {}
            }
            if chunk.bytes >= CHUNK_BYTES { chunk.write(store) } else { Ok(()) }
        })?;
        chunk.write(store)?;
        let marker = marker.ok_or(WorkerError::NoMarker(self.partition))?;
        let marked = Marked { line: marker.line, position: marker.position };
        let rows = store.finish_restore(marked, &marker.task, deadlines_of)?;
        self.report(0);
        let seconds = seconds(self.clock.now().since(progress.began));
        info!(
            partition = self.partition,
            rows,
            records = progress.records,
            seconds,
            per_second = rate(progress.records, seconds),
            position = marker.position,
            "restored from the changelog"
        );
        Ok(marker)
    }

    fn report(&self, remaining: u64) {
        let partition = u16::try_from(self.partition).unwrap_or(u16::MAX);
        self.metrics.pipeline.set_restore_remaining(partition, Some(remaining));
    }

    fn tell(&self, progress: &mut Progress, remaining: u64) -> Result<(), WorkerError> {
        progress.records += 1;
        if progress.records % LOOK != 1 {
            return Ok(());
        }
        if self.cancel.load(Ordering::Relaxed) {
            return Err(WorkerError::Aborted);
        }
        self.report(remaining);
        let now = self.clock.now();
        if now.since(progress.told) >= TELL_MS {
            progress.told = now;
            let per_second = rate(progress.records, seconds(now.since(progress.began)));
            let seconds_left = remaining / per_second.max(1);
            info!(
                partition = self.partition,
                remaining, per_second, seconds_left, "restoring from the changelog"
            );
        }
        Ok(())
    }
}

impl Chunk {
    fn write(&mut self, store: &mut dyn Store) -> Result<(), WorkerError> {
        // The sort is stable, so of equal keys the newest comes last; that one stays.
        self.rows.sort_by(|a, b| a.0.cmp(&b.0));
        self.rows.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        store.restore(&self.rows)?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for people, and not negative"
)]
fn rate(records: u64, seconds: f64) -> u64 {
    (records as f64 / seconds.max(0.001)) as u64
}
