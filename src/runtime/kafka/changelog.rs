//! System records that outlive the journal, read from the changelog without being a member of a group.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Connection, REQUEST_TIMEOUT};
use crate::event::bytes::FormatError;
use crate::journal::{Entry, System};

/// System records could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// The client failed.
    #[error("the changelog could not be read: {0}")]
    Client(#[from] KafkaError),
    /// A broker did not answer in time.
    #[error("the changelog could not be read in time")]
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
    let consumer: BaseConsumer = connection.reader().create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
    let mut assignment = TopicPartitionList::new();
    let mut left = Vec::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition.id(), REQUEST_TIMEOUT)?;
        if low < high {
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
            left.push((partition.id(), high));
        }
    }
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut found = Vec::new();
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(ChangelogError::Timeout);
        }
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message?;
            let system = message.key().is_some_and(|key| key.starts_with(b"system/"));
            if let (true, Some(value)) = (system, message.payload())
                && let Entry::System(record) = Entry::parse(value)?
            {
                found.push(record);
            }
        }
        // The position, not the last record: what compaction has removed from the end never comes.
        let positions = consumer.position()?;
        left.retain(|(partition, high)| {
            let reached = positions.find_partition(topic, *partition).map(|own| own.offset());
            !matches!(reached, Some(Offset::Offset(offset)) if offset >= *high)
        });
    }
    Ok(found)
}
