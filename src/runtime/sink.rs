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
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("writing failed: {0}")]
pub struct SinkError(pub String);

/// A log to write to. Either plain (idempotent, acknowledged one by one) or transactional; which, is said when it is opened.
///
/// A transactional sink keeps what it is sent until [`Sink::start_commit`] and then publishes it, with the offsets, as one
/// transaction while the caller goes on. What is sent meanwhile belongs to the next transaction.
pub trait Sink {
    /// Hands a record over. Blocks while the sink's buffer is full.
    ///
    /// # Errors
    /// If the record can't be taken, or an earlier one failed.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError>;

    /// Collects the tokens of records acknowledged since the last call, waiting up to `wait` for the first. A plain sink
    /// acknowledges what every replica has; a transactional one acknowledges nothing.
    ///
    /// # Errors
    /// If a record could not be delivered.
    fn acknowledged(&mut self, wait: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError>;

    /// How many records are neither acknowledged nor part of a transaction that was started.
    fn in_flight(&self) -> usize;

    /// Starts to commit what was sent since the last start together with these offsets (the next to read) of the group.
    /// One commit at a time: the one before must be done.
    ///
    /// # Errors
    /// If the sink is plain, was fenced, or a commit is under way.
    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError>;

    /// Waits up to `wait` for the commit that was started; whether none is under way any more, so that all is visible.
    ///
    /// # Errors
    /// If it was refused or its outcome is unknown: the sink must be dropped and the group's offsets read again.
    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError>;
}
