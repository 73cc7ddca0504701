//! System records that outlive the journal, read from the changelog without being a member of a group.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Connection, REQUEST_TIMEOUT};
use crate::event::bytes::FormatError;
use crate::journal::{Entry, System};

/// System records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// The client failed.
    #[error("the topic could not be read: {0}")]
    Client(#[from] KafkaError),
    /// A partition could not be fetched.
    #[error("the topic could not be read: {0}")]
    Fetch(String),
    /// A broker did not answer in time.
    #[error("the topic could not be read in time")]
    Timeout,
    /// A record is not what this build writes.
    #[error("a system record of the changelog can't be read: {0}")]
    Format(#[from] FormatError),
}

/// All system records of the changelog, in no order across partitions.
///
/// # Errors
/// If the log can't be read to its present end, or a record can't be understood.
pub fn system_records(connection: &Connection, topic: &str) -> Result<Vec<System>, ChangelogError> {
    let mut found = Vec::new();
    visit_to_end(connection, topic, None, &mut |message| {
        let system = message.key().is_some_and(|key| key.starts_with(b"system/"));
        if let (true, Some(value)) = (system, message.payload())
            && let Entry::System(record) = Entry::parse(value)?
        {
            found.push(record);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Visits all records of a topic, or only the last `newest` offsets of each partition, up to its present end.
pub(super) fn visit_to_end(
    connection: &Connection,
    topic: &str,
    newest: Option<i64>,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> Result<(), ChangelogError>,
) -> Result<(), ChangelogError> {
    let consumer: BaseConsumer = connection.reader().create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
    let mut assignment = TopicPartitionList::new();
    let mut left = Vec::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), REQUEST_TIMEOUT)?;
        let first = newest.map_or(low, |newest| low.max(high.saturating_sub(newest)));
        if first < high {
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(first))?;
            left.push((partition.id(), high));
        }
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(ChangelogError::Timeout);
        }
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            visit(&message?)?;
        }
        // The position, not the last record: what compaction has removed from the end never comes.
        let positions = consumer.position()?;
        left.retain(|(partition, high)| {
            let reached = positions.find_partition(topic, *partition).map(|own| own.offset());
            !matches!(reached, Some(Offset::Offset(offset)) if offset >= *high)
        });
    }
    Ok(())
}
