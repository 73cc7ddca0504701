//! A partitioned log in memory, with groups and transactions: what the demo, backtests and simulations run on.
//!
//! It keeps the promises that the rest leans on: offsets without gaps within a partition, append times that never fall,
//! one owner of a partition in a group, transactions that are visible whole or not at all, and the fencing of those who
//! have been replaced. Waiting is the clock's business, so that virtual time can run fast.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::sink::SinkError;
use super::source::SourceError;
use crate::event::{SourcePartition, Timestamp};
use crate::intake::Headers;

mod mappings;
mod sink;
mod source;

pub use mappings::MemoryMappings;
pub use sink::MemorySink;
pub use source::MemorySource;

#[cfg(test)]
mod tests;

/// The time of a topic's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOf {
    /// What the producer says, through [`MemoryLog::append`]; a sink's records are made now.
    Creation,
    /// The log's own clock.
    Append,
}

/// A record that somebody else wrote into the log: what a customer's system would produce.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Where it goes.
    pub partition: &'a SourcePartition,
    /// When it was made; not looked at where the topic takes append times.
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// When it was made or appended, see [`TimeOf`].
    pub timestamp: Timestamp,
    /// The key.
    pub key: Option<Box<[u8]>>,
    /// The value.
    pub value: Option<Box<[u8]>>,
    /// The headers.
    pub headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl Headers for Stored {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        self.headers.get(place).map(|(name, value)| (&**name, &**value))
    }
}

/// The log; clones are handles to the same one.
#[derive(Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock + Send + Sync>,
    /// Chooses among so many partitions by the key.
    partition_of: fn(&[u8], u32) -> u32,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Box<str>, Topic>,
    groups: BTreeMap<Box<str>, Group>,
    /// The youngest epoch of each transactional id.
    epochs: BTreeMap<Box<str>, u64>,
    next_member: u64,
}

#[derive(Debug)]
struct Topic {
    time: TimeOf,
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    start: i64,
    records: VecDeque<Arc<Stored>>,
}

impl Partition {
    fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.records.len() as u64)
    }

    fn get(&self, offset: i64) -> Option<&Arc<Stored>> {
        let place = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.records.get(place)
    }
}

#[derive(Debug, Default)]
struct Group {
    /// Members by number, each with its topics.
    members: BTreeMap<u64, Vec<Box<str>>>,
    owners: BTreeMap<SourcePartition, u64>,
    committed: BTreeMap<SourcePartition, i64>,
}

/// What the log refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// There is no such topic or partition.
    #[error("no partition {1} of topic `{0}`")]
    NoPartition(Box<str>, i32),
    /// The partition belongs to another member of the group.
    #[error("partition {1} of topic `{0}` belongs to another member")]
    NotOwned(Box<str>, i32),
    /// A younger producer has the same transactional id.
    #[error("transactional id `{0}` was taken over by a younger producer")]
    Fenced(Box<str>),
    /// The sink was opened without a transactional id.
    #[error("the sink is not transactional")]
    NotTransactional,
}

impl From<LogError> for SourceError {
    fn from(error: LogError) -> Self {
        Self(error.to_string())
    }
}

impl From<LogError> for SinkError {
    fn from(error: LogError) -> Self {
        Self(error.to_string())
    }
}

impl MemoryLog {
    /// A log without topics. `partition_of` chooses the partition of a keyed record among so many.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock + Send + Sync>, partition_of: fn(&[u8], u32) -> u32) -> Self {
        Self { state: Arc::default(), clock, partition_of }
    }

    /// Adds a topic, or partitions to one that exists.
    pub fn create(&self, topic: &str, partitions: usize, time: TimeOf) {
        let mut state = self.lock();
        let own = state.topics.entry(topic.into()).or_insert(Topic { time, partitions: Vec::new() });
        if own.partitions.len() < partitions {
            own.partitions.resize_with(partitions, Partition::default);
        }
    }

    /// Appends a record; its offset.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn append(&self, given: Given<'_>) -> Result<i64, LogError> {
        let record = Stored {
            timestamp: given.timestamp,
            key: given.key.map(Into::into),
            value: given.value.map(Into::into),
            headers: Vec::new(),
        };
        let now = self.clock.now();
        self.lock().append(given.partition, record, now)
    }

    /// The records of a partition from this offset on, without being a member of a group.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn read(&self, partition: &SourcePartition, from: i64) -> Result<Vec<(i64, Arc<Stored>)>, LogError> {
        let state = self.lock();
        let own = state.partition(partition)?;
        let first = from.max(own.start);
        Ok((first..own.end())
            .filter_map(|offset| own.get(offset).map(|record| (offset, record.clone())))
            .collect())
    }

    /// Forgets the records before this offset, as retention does.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn truncate(&self, partition: &SourcePartition, before: i64) -> Result<(), LogError> {
        let mut state = self.lock();
        let own = state.partition_mut(partition)?;
        while own.start < before && own.records.pop_front().is_some() {
            own.start += 1;
        }
        Ok(())
    }

    /// Joins a group that reads these topics.
    #[must_use]
    pub fn source(&self, group: &str, topics: &[&str]) -> MemorySource {
        let mut state = self.lock();
        state.next_member += 1;
        let member = state.next_member;
        let topics: Vec<Box<str>> = topics.iter().map(|topic| (*topic).into()).collect();
        state.groups.entry(group.into()).or_default().members.insert(member, topics.clone());
        drop(state);
        MemorySource::new(self.clone(), group.into(), topics, member)
    }

    /// Opens a sink whose records are visible and acknowledged at once.
    #[must_use]
    pub fn sink(&self) -> MemorySink {
        MemorySink::plain(self.clone())
    }

    /// Opens a transactional sink, which fences all earlier ones of the same id. Offsets are committed for the group.
    #[must_use]
    pub fn transactional_sink(&self, id: &str, group: &str) -> MemorySink {
        let mut state = self.lock();
        let epoch = state.epochs.entry(id.into()).or_default();
        *epoch += 1;
        let epoch = *epoch;
        drop(state);
        MemorySink::transactional(self.clone(), id, group, epoch)
    }

    /// The next offset that a group reads of a partition.
    #[must_use]
    pub fn committed(&self, group: &str, partition: &SourcePartition) -> Option<i64> {
        self.lock().groups.get(group).and_then(|group| group.committed.get(partition).copied())
    }

    /// No state is left half changed by a panic of another thread: every change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryLog").field("state", &self.state).finish_non_exhaustive()
    }
}

impl State {
    fn partition(&self, partition: &SourcePartition) -> Result<&Partition, LogError> {
        let none = || LogError::NoPartition(partition.topic.clone(), partition.partition);
        let place = usize::try_from(partition.partition).map_err(|_| none())?;
        self.topics.get(&partition.topic).and_then(|topic| topic.partitions.get(place)).ok_or_else(none)
    }

    fn partition_mut(&mut self, partition: &SourcePartition) -> Result<&mut Partition, LogError> {
        let none = || LogError::NoPartition(partition.topic.clone(), partition.partition);
        let place = usize::try_from(partition.partition).map_err(|_| none())?;
        self.topics
            .get_mut(&partition.topic)
            .and_then(|topic| topic.partitions.get_mut(place))
            .ok_or_else(none)
    }

    fn append(&mut self, to: &SourcePartition, mut record: Stored, now: Timestamp) -> Result<i64, LogError> {
        let appended = self.topics.get(&to.topic).is_some_and(|topic| topic.time == TimeOf::Append);
        let partition = self.partition_mut(to)?;
        if appended {
            record.timestamp = partition.records.back().map_or(now, |last| now.max(last.timestamp));
        }
        let offset = partition.end();
        partition.records.push_back(Arc::new(record));
        Ok(offset)
    }
}
