//! Rows of tasks on the changelog: written in long transactions, read by the thousand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::batch::BatchQueue;
use super::changelog::ChangelogError;
use super::sink::{Deliveries, Producer, drain, failed, produce};
use super::{Connection, REQUEST_TIMEOUT, bounds};
use crate::event::SourcePartition;
use crate::runtime::changelog::Kept;
use crate::runtime::sink::{Outgoing, Sink, SinkError};
use crate::runtime::worker::WorkerError;

/// How long one look for records waits.
const WAIT: Duration = Duration::from_millis(100);

/// A writer of one partition's transactions. What it is sent goes out at once, as a transaction may be larger than memory;
/// it is visible when the commit is done.
///
/// Its transactional id belongs to the partition, not to the process: who opens it next fences this one, and ends what it
/// has left open.
pub struct RowsSink {
    producer: Producer,
    /// How many records it was given.
    sent: u64,
    /// Whether a transaction is open.
    begun: bool,
    timeout: Duration,
}

impl RowsSink {
    /// Opens the writer of a partition.
    ///
    /// # Errors
    /// If a property is refused, no broker answers, or the cluster does not allow it.
    pub fn open(connection: &Connection, partition: i32) -> Result<Self, SinkError> {
        let producer = connection.rows_producer(partition).create_with_context(Deliveries::default());
        let producer = Producer::new(producer.map_err(failed)?);
        producer.init_transactions(REQUEST_TIMEOUT).map_err(failed)?;
        Ok(Self { producer, sent: 0, begun: false, timeout: Connection::ROWS_TIMEOUT })
    }

    /// Waits until the broker has all that was sent; whether it has.
    fn drain(&self, wait: Duration) -> Result<bool, SinkError> {
        // The client's own flush looks once in 100 ms.
        drain(&self.producer, self.sent, Instant::now() + wait)
    }
}

impl Sink for RowsSink {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        if !self.begun {
            self.producer.begin_transaction().map_err(failed)?;
            self.begun = true;
        }
        produce(&self.producer, &record)?;
        self.sent += 1;
        Ok(())
    }

    /// Acknowledges nothing, as long as the transaction may still be aborted; but it waits until all was taken.
    fn acknowledged(&mut self, wait: Duration, _: &mut Vec<u64>) -> Result<(), SinkError> {
        self.drain(wait).map(drop)
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.sent - self.producer.context().delivered()).unwrap_or(usize::MAX)
    }

    /// The offsets are none of its business: it belongs to no group.
    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        if self.begun && offsets.is_empty() {
            return Ok(());
        }
        Err(SinkError("there is no transaction, or offsets of a group were to be part of it".to_owned()))
    }

    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        if !self.begun {
            return Ok(true);
        }
        if !self.drain(wait.min(self.timeout))? {
            return Ok(false);
        }
        self.producer.commit_transaction(self.timeout).map_err(failed)?;
        self.begun = false;
        Ok(true)
    }
}

/// Visits what is committed of a partition, or only its last offsets, up to its present end.
///
/// # Errors
/// If the log can't be read, or the visitor says so.
pub fn read_rows(
    connection: &Connection,
    (topic, partition): (&str, i32),
    newest: Option<i64>,
    visit: &mut dyn FnMut(Kept<'_>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let consumer: Arc<BaseConsumer<DefaultConsumerContext>> =
        Arc::new(connection.rows_reader().create().map_err(ChangelogError::from)?);
    let (low, high) = bounds(&consumer, topic, partition).map_err(ChangelogError::from)?;
    let first = newest.map_or(low, |newest| low.max(high.saturating_sub(newest)));
    if first >= high {
        return Ok(());
    }
    let no_queue = || ChangelogError::Timeout;
    let mut queue = BatchQueue::new(Arc::clone(&consumer), &[topic.to_owned()]).ok_or_else(no_queue)?;
    let own = SourcePartition { topic: topic.into(), partition };
    if !queue.forward(&own) {
        return Err(no_queue().into());
    }
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(first)).map_err(ChangelogError::from)?;
    consumer.assign(&assignment).map_err(ChangelogError::from)?;
    let mut deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let mut end = Ok(());
        let (visited, error) = queue.visit(WAIT, &mut |record| {
            if end.is_ok() && record.offset < high {
                let remaining = high.saturating_sub(record.offset + 1).unsigned_abs();
                end = visit(Kept { key: record.key.unwrap_or_default(), value: record.value, remaining });
            }
        });
        end?;
        if let Some(error) = error {
            return Err(ChangelogError::Fetch(error.message).into());
        }
        if queue.consumer_waits() {
            // Nothing but events of the client comes here: records have a queue of their own.
            consumer.poll(Duration::ZERO).transpose().map_err(ChangelogError::from)?;
        }
        // The position, not the last record: the markers of transactions and what compaction has removed never come.
        let positions = consumer.position().map_err(ChangelogError::from)?;
        let reached = positions.find_partition(topic, partition).map(|own| own.offset());
        if matches!(reached, Some(Offset::Offset(offset)) if offset >= high) {
            return Ok(());
        }
        if visited > 0 {
            deadline = Instant::now() + REQUEST_TIMEOUT;
        } else if Instant::now() > deadline {
            return Err(ChangelogError::Timeout.into());
        }
    }
}
