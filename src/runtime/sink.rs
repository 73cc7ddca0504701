//! Writing to logs: the journal and dead letters with acknowledgements, alerts in transactions.

use std::time::Duration;

use crate::event::SourcePartition;

/// A record to publish.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None`: by the key, with Java's murmur2.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Handed back with the acknowledgement.
    pub token: u64,
}

/// Writing failed for good: this sink is dropped, its open transaction with it, and a new one is made.
#[derive(Debug, thiserror::Error)]
#[error("writing failed: {0}")]
pub struct SinkError(pub String);

/// A log to write to. Either plain (idempotent, acknowledged) or transactional; which, is said when it is opened.
pub trait Sink {
    /// Hands a record over. Blocks while the sink's buffer is full.
    ///
    /// # Errors
    /// If the record can't be taken, or an earlier one failed.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError>;

    /// Collects the tokens of records acknowledged since the last call, waiting up to `wait` for the first.
    ///
    /// # Errors
    /// If a record could not be delivered.
    fn acknowledged(&mut self, wait: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError>;

    /// How many records are not acknowledged yet.
    fn in_flight(&self) -> usize;

    /// Begins a transaction.
    ///
    /// # Errors
    /// If the sink is not transactional or was fenced.
    fn begin(&mut self) -> Result<(), SinkError>;

    /// Commits what was sent since [`Sink::begin`] together with the offsets of the group. Returns when it is visible.
    ///
    /// # Errors
    /// If the outcome is unknown or it was refused: the sink must be dropped.
    fn commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError>;
}
