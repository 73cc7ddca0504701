//! System records that outlive the journal, read from the changelog without being a member of a group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Connection, REQUEST_TIMEOUT, bounds};
use crate::event::bytes::FormatError;
use crate::event::{SourcePartition, Timestamp};
use crate::intake::Headers;
use crate::journal::{Entry, System};
use crate::runtime::mappings::{MappingLog, Trace};
use crate::runtime::sink::SinkError;
use crate::runtime::source::Record;
use crate::runtime::worker::WorkerError;

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
    /// What a record asks for could not be written.
    #[error(transparent)]
    Write(#[from] SinkError),
    /// A record is not what this build writes.
    #[error("a system record of the changelog can't be read: {0}")]
    Format(#[from] FormatError),
}

/// How many of the newest records of each journal partition are looked through for what a source's last owner decoded:
/// first few, since owners speak every second, then more, then the search is given up.
const LOOK_BACK: [i64; 3] = [64, 512, 4096];

/// The system records of the changelog, followed from its beginning on.
pub struct SystemRecords {
    connection: Connection,
    consumer: BaseConsumer,
    place: SourcePartition,
    journal: String,
    next: i64,
}

impl SystemRecords {
    /// Follows this partition of the changelog; `journal` is the topic where frames are.
    ///
    /// # Errors
    /// If the client refuses.
    pub fn open(
        connection: &Connection,
        place: SourcePartition,
        journal: String,
    ) -> Result<Self, ChangelogError> {
        let consumer: BaseConsumer = connection.reader().create()?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&place.topic, place.partition, Offset::Beginning)?;
        consumer.assign(&assignment)?;
        Ok(Self { connection: connection.clone(), consumer, place, journal, next: 0 })
    }

    /// What came since the last call, up to the present end.
    ///
    /// # Errors
    /// If the log can't be read to its present end, or a record can't be understood.
    pub fn read(&mut self) -> Result<Vec<System>, ChangelogError> {
        let (topic, partition) = (&*self.place.topic, self.place.partition);
        let (_, end) = bounds(&self.consumer, topic, partition)?;
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let mut found = Vec::new();
        while self.next < end {
            if Instant::now() > deadline {
                return Err(ChangelogError::Timeout);
            }
            if let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
                let message = message?;
                let system = message.key().is_some_and(|key| key.starts_with(b"system/"));
                if let (true, Some(value)) = (system, message.payload())
                    && let Entry::System(record) = Entry::parse(value)?
                {
                    found.push(record);
                }
            }
            // The position, not the last record: what compaction has removed from the end never comes.
            let positions = self.consumer.position()?;
            if let Some(Offset::Offset(offset)) =
                positions.find_partition(topic, partition).map(|own| own.offset())
            {
                self.next = offset;
            }
        }
        Ok(found)
    }

    /// See [`MappingLog::decoded`].
    fn search(&self, source: &SourcePartition, start: i64) -> Result<Option<i64>, ChangelogError> {
        for newest in LOOK_BACK {
            let mut traces: BTreeMap<i32, Trace> = BTreeMap::new();
            let cut = visit_to_end(&self.connection, &self.journal, Some(newest), &mut |message| {
                let trace = traces.entry(message.partition()).or_default();
                trace.record(message.payload().unwrap_or_default(), source, start);
                Ok(())
            })?;
            let whole = |partition: &i32| traces.get(partition).is_some_and(|trace| trace.whole);
            if cut.iter().all(whole) {
                return Ok(traces.values().map(|trace| trace.next).max().map(|next| next.max(start)));
            }
        }
        Ok(None)
    }
}

impl MappingLog for SystemRecords {
    fn place(&self) -> SourcePartition {
        self.place.clone()
    }

    fn news(&mut self) -> Result<Vec<System>, WorkerError> {
        Ok(self.read()?)
    }

    fn decoded(&mut self, source: &SourcePartition, start: i64) -> Result<Option<i64>, WorkerError> {
        Ok(self.search(source, start)?)
    }
}

/// Visits all records of a topic, or only the last `newest` offsets of each partition, up to its present end. Tells the
/// partitions of which older records were left out.
pub(super) fn visit_to_end(
    connection: &Connection,
    topic: &str,
    newest: Option<i64>,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> Result<(), ChangelogError>,
) -> Result<Vec<i32>, ChangelogError> {
    let consumer: BaseConsumer = connection.reader().create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
    let mut assignment = TopicPartitionList::new();
    let (mut left, mut cut) = (Vec::new(), Vec::new());
    for partition in partitions {
        let (low, high) = bounds(&consumer, topic, partition.id())?;
        let first = newest.map_or(low, |newest| low.max(high.saturating_sub(newest)));
        if first > low {
            cut.push(partition.id());
        }
        if first < high {
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(first))?;
            left.push((partition.id(), high));
        }
    }
    visit_assigned(&consumer, (topic, &assignment), left, visit)?;
    Ok(cut)
}

/// Visits an assignment of one topic's partitions up to these ends.
fn visit_assigned<E: From<ChangelogError>>(
    consumer: &BaseConsumer,
    (topic, assignment): (&str, &TopicPartitionList),
    mut left: Vec<(i32, i64)>,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    consumer.assign(assignment).map_err(ChangelogError::from)?;
    let mut deadline = Instant::now() + REQUEST_TIMEOUT;
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(ChangelogError::Timeout.into());
        }
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            visit(&message.map_err(ChangelogError::from)?)?;
            deadline = Instant::now() + REQUEST_TIMEOUT;
        }
        // The position, not the last record: what compaction has removed from the end never comes.
        let positions = consumer.position().map_err(ChangelogError::from)?;
        left.retain(|(partition, high)| {
            let reached = positions.find_partition(topic, *partition).map(|own| own.offset());
            !matches!(reached, Some(Offset::Offset(offset)) if offset >= *high)
        });
    }
    Ok(())
}

/// Visits a partition from an offset up to before another, or up to its present end. What is gone is passed over.
///
/// # Errors
/// If the partition can't be read, or the visitor says so.
pub fn read_partition(
    connection: &Connection,
    partition: &SourcePartition,
    range: Range<i64>,
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let consumer: BaseConsumer = connection.reader().create().map_err(ChangelogError::from)?;
    let (topic, number) = (&*partition.topic, partition.partition);
    let (low, high) = bounds(&consumer, topic, number).map_err(ChangelogError::from)?;
    let (first, end) = (range.start.max(low), range.end.min(high));
    if first >= end {
        return Ok(());
    }
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, number, Offset::Offset(first)).map_err(ChangelogError::from)?;
    visit_assigned(&consumer, (topic, &assignment), vec![(number, end)], &mut |message| {
        if message.offset() >= end {
            return Ok(());
        }
        visit(&Record {
            topic: 0,
            partition: number,
            offset: message.offset(),
            timestamp: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
            key: message.key(),
            value: message.payload(),
            headers: &MessageHeaders(message.headers()),
        })
    })
}

/// Headers of a message of the wrapper's.
struct MessageHeaders<'m>(Option<&'m BorrowedHeaders>);

impl std::fmt::Debug for MessageHeaders<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("MessageHeaders").finish_non_exhaustive()
    }
}

impl Headers for MessageHeaders<'_> {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        let header = self.0?.try_get(place)?;
        Some((header.key, header.value.unwrap_or_default()))
    }
}
