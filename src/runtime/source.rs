//! Reading ordered logs: source topics and the journal.

use std::time::Duration;

use crate::event::{SourcePartition, Timestamp};
use crate::intake::Headers;

/// A record as a log holds it. Bytes are borrowed for the length of the visit.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Place of the topic in the list that the source was opened with.
    pub topic: usize,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Kafka's timestamp: create time of sources, log append time of the journal.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a dyn Headers,
}

/// What one poll brought besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// Nothing changed.
    Unchanged,
    /// These partitions are owned from the next poll on, which begins where the caller has sought by then; a partition
    /// that was not sought begins at its committed offset, else at the earliest.
    Assigned(Vec<SourcePartition>),
    /// These partitions are given up with the next poll: until then their offsets may still be committed.
    Revoked(Vec<SourcePartition>),
    /// These partitions belong to somebody else already: nothing of them may be committed.
    Lost(Vec<SourcePartition>),
}

/// Whether the caller of [`Source::commit`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMode {
    /// Until the log has the offsets.
    Wait,
    /// No: a refusal is reported by a later poll.
    Background,
}

/// Reading failed in a way that a restart must heal.
#[derive(Debug, thiserror::Error)]
#[error("reading failed: {0}")]
pub struct SourceError(pub String);

/// An ordered, partitioned log to read from, as a member of a group.
///
/// No record is in flight when `poll` is called: everything visited before has been taken in by the caller.
pub trait Source {
    /// Waits up to `wait` and visits what has arrived, in order within each partition. A change of the assignment ends the
    /// visit: it comes after the records before it.
    ///
    /// # Errors
    /// If the client failed for good.
    fn poll(&mut self, wait: Duration, visit: &mut dyn FnMut(Record<'_>)) -> Result<Assignment, SourceError>;

    /// Goes on reading a partition at this offset.
    ///
    /// # Errors
    /// If the partition is not owned or the client failed.
    fn seek(&mut self, partition: &SourcePartition, offset: i64) -> Result<(), SourceError>;

    /// The committed offset of a partition of this group: the next to read.
    ///
    /// # Errors
    /// If the client failed.
    fn committed(&mut self, partition: &SourcePartition) -> Result<Option<i64>, SourceError>;

    /// Earliest and next offset of a partition.
    ///
    /// # Errors
    /// If the client failed.
    fn bounds(&mut self, partition: &SourcePartition) -> Result<(i64, i64), SourceError>;

    /// The log end as of the last fetch, without asking the broker; `None` if not known yet.
    fn known_end(&self, partition: &SourcePartition) -> Option<i64>;

    /// The next offset of a partition that `poll` has not passed: beyond the last record visited, and beyond what follows it
    /// without being a record (markers of transactions). `None` before the first poll after the assignment.
    fn position(&self, partition: &SourcePartition) -> Option<i64>;

    /// Commits: these are the next offsets to read.
    ///
    /// # Errors
    /// If the commit was refused.
    fn commit(&mut self, offsets: &[(SourcePartition, i64)], mode: CommitMode) -> Result<(), SourceError>;

    /// Stops or resumes fetching a partition.
    ///
    /// # Errors
    /// If the client failed.
    fn set_paused(&mut self, partition: &SourcePartition, paused: bool) -> Result<(), SourceError>;
}
