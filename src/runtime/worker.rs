//! What all workers have in common: the order to stop, and the ways in which a worker can fail.

use std::sync::atomic::{AtomicU8, Ordering};

use super::sink::SinkError;
use super::source::SourceError;
use crate::engine::StepError;
use crate::engine::store::StoreError;
use crate::event::SourcePartition;
use crate::intake::breaker::Tripped;

/// The order to stop, shared by all workers of the process. It can only get more urgent.
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

const DRAIN: u8 = 1;
const ABORT: u8 = 2;

impl Stop {
    /// Finish what was taken in, commit, then end.
    pub fn drain(&self) {
        self.0.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// End now, whatever is under way.
    pub fn abort(&self) {
        self.0.fetch_max(ABORT, Ordering::Relaxed);
    }

    /// Whether to stop at all.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= DRAIN
    }

    /// Whether to stop without finishing.
    #[must_use]
    pub fn is_abort(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ABORT
    }
}

/// Starts work on a thread of its own; simulations do it at once instead.
pub type Spawn = fn(name: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<()>;

/// Starts a thread that ends by itself.
///
/// # Errors
/// If the system has none.
pub fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Does the work before it returns: under virtual time nothing may depend on when a thread gets its turn.
///
/// # Errors
/// Never.
pub fn at_once(_: &str, work: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
    work();
    Ok(())
}

/// A worker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Reading failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Writing failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Partitions went to another member before they could be given up.
    #[error("partitions were lost to another member of the group, the first is {}/{}", .0.topic, .0.partition)]
    Lost(SourcePartition),
    /// Records were not acknowledged within the time allowed.
    #[error("{0} records were not acknowledged in time")]
    Unacknowledged(usize),
    /// The schema registry does not answer.
    #[error(transparent)]
    Registry(#[from] super::registry::RegistryError),
    /// There is no thread for something that must go on beside the worker.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
    /// Where a task begins can't be decided, or not without people.
    #[error(transparent)]
    Recovery(#[from] super::detect_worker::RecoveryError),
    /// The changelog holds a record that this build can't read.
    #[error("a record of partition {partition} of the changelog can't be read: {error}")]
    ChangelogFormat {
        /// The partition.
        partition: i32,
        /// Why.
        error: crate::event::bytes::FormatError,
    },
    /// The marker that was there when the restore began is gone: somebody empties the topic.
    #[error("partition {0} of the changelog has lost its marker while it was read")]
    NoMarker(i32),
    /// The changelog could not be read.
    #[error(transparent)]
    Changelog(#[from] super::kafka::changelog::ChangelogError),
    /// The mappings in the changelog are of no use to this build.
    #[error("the mappings in the changelog can't be used by this build:\n{0}")]
    Mappings(crate::document::Mistakes),
    /// A source partition is to be decoded with a version that is not there.
    #[error(
        "the changelog says from which offset the mappings {0} apply, but has lost the mappings themselves\n  hint: apply the mappings again, then restart"
    )]
    NoMapping(i64),
    /// The lexicon can't be used.
    #[error(transparent)]
    Lexicon(#[from] crate::intake::text::LexiconError),
    /// The order to end at once came while something was under way.
    #[error("ended before it had finished")]
    Aborted,
    /// Too many bad records.
    #[error(
        "intake of {}/{} stopped: {tripped}\n  hint: see the dead letters; then fix the producer or its mapping, or raise `dlq.max_ratio` or `dlq.max_consecutive`",
        source_partition.topic,
        source_partition.partition
    )]
    Breaker {
        /// Where they came from.
        source_partition: SourcePartition,
        /// Which limit.
        tripped: Tripped,
    },
    /// A task can't go on from a journal record.
    #[error("the task of journal partition {partition} stopped at offset {offset}: {error}")]
    Journal {
        /// The journal partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// Why.
        error: Box<StepError>,
    },
    /// The state store can't be opened.
    #[error(transparent)]
    Open(#[from] super::rocks::OpenError),
}

impl WorkerError {
    /// A task can't go on from the record at this partition and offset.
    #[must_use]
    pub fn journal((partition, offset): (i32, i64), error: StepError) -> Self {
        Self::Journal { partition, offset, error: Box::new(error) }
    }

    /// The journal partition whose store holds something else than was written.
    #[must_use]
    pub fn corrupt_partition(&self) -> Option<i32> {
        match self {
            Self::Journal { partition, error, .. } => {
                matches!(**error, StepError::Store(StoreError::Corrupt(_))).then_some(*partition)
            }
            _ => None,
        }
    }

    /// Whether a new worker may succeed where this one failed. Otherwise the process ends, and people look.
    #[must_use]
    pub fn heals(&self) -> bool {
        match self {
            // The store is discarded, and the next worker rebuilds it.
            Self::Journal { .. } if self.corrupt_partition().is_some() => true,
            Self::System(_)
            | Self::NoMarker(_)
            | Self::Changelog(_)
            | Self::Source(_)
            | Self::Sink(_)
            | Self::Lost(_)
            | Self::Unacknowledged(_)
            | Self::Registry(_) => true,
            Self::Mappings(_)
            | Self::NoMapping(_)
            | Self::Lexicon(_)
            | Self::Store(_)
            | Self::Open(_)
            | Self::Recovery(_)
            | Self::ChangelogFormat { .. }
            | Self::Aborted
            | Self::Breaker { .. }
            | Self::Journal { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stop;

    #[test]
    fn an_order_to_stop_is_never_softened() {
        let stop = Stop::default();
        assert!(!stop.is_set());
        stop.abort();
        stop.drain();
        assert!(stop.is_set() && stop.is_abort());
    }
}
