//! The record that closes a transaction of the changelog: up to here it holds everything.

use super::{Changelog, FORMAT, MARKER_KEY};
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};
use crate::runtime::worker::WorkerError;

/// Offsets looked at from the end for the newest marker, one after the other until there is one. System records and what
/// belongs to a transaction stand behind it; only without a marker all is read.
const TAILS: [Option<i64>; 3] = [Some(64), Some(4096), None];

/// A marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The line that the rows belong to.
    pub line: u64,
    /// The journal position that the rows are of.
    pub position: i64,
    /// How many records its transaction had before it.
    pub rows: u64,
    /// The task's state behind its stamp.
    pub task: Vec<u8>,
}

impl Marker {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_varint(&mut out, self.line);
        put_signed(&mut out, self.position);
        put_varint(&mut out, self.rows);
        out.extend_from_slice(&self.task);
        out
    }

    /// Reads what [`Marker::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are of a later format, or cut.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            FORMAT => Ok(Self {
                line: reader.varint()?,
                position: reader.signed()?,
                rows: reader.varint()?,
                task: reader.rest().to_vec(),
            }),
            version => Err(FormatError::Version(version)),
        }
    }
}

/// The newest marker of a partition, found from its end.
///
/// # Errors
/// If the changelog can't be read, or a marker is of a later format.
pub fn newest(changelog: &Changelog, partition: i32) -> Result<Option<Marker>, WorkerError> {
    for tail in TAILS {
        let mut found = None;
        (changelog.read)(partition, tail, &mut |kept| {
            if let (MARKER_KEY, Some(value)) = (kept.key, kept.value) {
                found = Some(Marker::decode(value).map_err(|error| unreadable(partition, error))?);
            }
            Ok(())
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A record that this build can't read.
pub(super) fn unreadable(partition: i32, error: FormatError) -> WorkerError {
    WorkerError::ChangelogFormat { partition, error }
}
