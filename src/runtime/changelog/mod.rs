//! The changelog: rows of a task on a compacted topic, so that another machine can go on where this one was lost.
//!
//! A task owns the partition of its journal partition's number. Now and then all rows that changed since the last marker
//! are published, and behind them the marker, in one transaction: whoever reads with `read_committed` sees a whole
//! checkpoint or the one before. Keys:
//!
//! | key | value |
//! |---|---|
//! | `0` | marker: format (1 byte), line (varint), position (zigzag varint), rows (varint), task state behind its stamp |
//! | `1`, row key | format (1 byte), line (varint), row; none where the row is gone |
//! | `system/…` | system records, which are none of this room's business |

pub mod marker;
pub mod publish;
pub mod restore;
pub mod stamp;

use std::sync::Arc;

use super::sink::Sink;
use super::worker::WorkerError;
use crate::engine::store::RowKey;
use crate::event::bytes::{FormatError, Reader, put_varint};

/// Format of rows and markers.
const FORMAT: u8 = 1;

/// The marker's key: there is one marker a partition.
pub const MARKER_KEY: &[u8] = &[0];
const ROW: u8 = 1;

/// A record of the changelog.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Offsets between it and the end.
    pub remaining: u64,
}

/// Visits what is committed of a partition, up to its present end: all of it, or only its last offsets.
pub type ReadChangelog = dyn Fn(i32, Option<i64>, &mut dyn FnMut(Kept<'_>) -> Result<(), WorkerError>) -> Result<(), WorkerError>
    + Send
    + Sync;

/// Opens the writer of a partition's transactions. Fences earlier ones and ends what they left open.
pub type OpenSink = dyn Fn(i32) -> Result<Box<dyn Sink + Send>, WorkerError> + Send + Sync;

/// What tasks need to keep a changelog.
#[derive(Clone)]
pub struct Changelog {
    /// The topic.
    pub topic: String,
    /// Time between markers of a task, ms.
    pub interval_ms: i64,
    /// A marker is due earlier when processing since the last one took this long, ms: a replay takes as long.
    pub budget_ms: i64,
    /// How long the topic keeps tombstones, ms (`delete.retention.ms`).
    pub tombstones_ms: i64,
    /// Opens writers.
    pub open_sink: Arc<OpenSink>,
    /// Reads partitions.
    pub read: Arc<ReadChangelog>,
}

/// The key under which a row is kept.
#[must_use]
pub fn row_key(key: &RowKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.0.len());
    out.push(ROW);
    out.extend_from_slice(&key.0);
    out
}

/// A row's value, into a buffer.
pub fn put_row(out: &mut Vec<u8>, line: u64, row: &[u8]) {
    out.clear();
    out.push(FORMAT);
    put_varint(out, line);
    out.extend_from_slice(row);
}

/// Reads a row's value: its line, and its bytes.
///
/// # Errors
/// If it is of a later format, or cut.
pub fn read_row(value: &[u8]) -> Result<(u64, &[u8]), FormatError> {
    let mut reader = Reader::new(value);
    match reader.byte()? {
        FORMAT => Ok((reader.varint()?, reader.rest())),
        version => Err(FormatError::Version(version)),
    }
}

#[cfg(test)]
mod tests;
