//! Writing to the log in memory.

use std::time::Duration;

use super::{LogError, MemoryLog, State, Stored};
use crate::event::{SourcePartition, Timestamp};
use crate::runtime::sink::{Outgoing, Sink, SinkError};

/// A producer. What a transactional one was sent and has not started to commit is lost with it.
#[derive(Debug)]
pub struct MemorySink {
    log: MemoryLog,
    transaction: Option<Transaction>,
    acknowledged: Vec<u64>,
}

#[derive(Debug)]
struct Transaction {
    id: Box<str>,
    group: Box<str>,
    epoch: u64,
    records: Vec<(SourcePartition, Stored)>,
}

impl MemorySink {
    pub(super) const fn plain(log: MemoryLog) -> Self {
        Self { log, transaction: None, acknowledged: Vec::new() }
    }

    pub(super) fn transactional(log: MemoryLog, id: &str, group: &str, epoch: u64) -> Self {
        let transaction = Transaction { id: id.into(), group: group.into(), epoch, records: Vec::new() };
        Self { log, transaction: Some(transaction), acknowledged: Vec::new() }
    }

    fn place(&self, record: &Outgoing<'_>) -> Result<SourcePartition, LogError> {
        let state = self.log.lock();
        let count = state.topics.get(record.topic).map_or(0, |topic| topic.partitions.len());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let chosen = || record.key.map_or(0, |key| (self.log.partition_of)(key, count.max(1)).cast_signed());
        let place = SourcePartition {
            topic: record.topic.into(),
            partition: record.partition.unwrap_or_else(chosen),
        };
        state.partition(&place)?;
        Ok(place)
    }
}

impl Transaction {
    fn check(&self, state: &State) -> Result<(), LogError> {
        let current = state.epochs.get(&self.id) == Some(&self.epoch);
        if current { Ok(()) } else { Err(LogError::Fenced(self.id.clone())) }
    }
}

impl Sink for MemorySink {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        let place = self.place(&record)?;
        let now = self.log.clock.now();
        let stored = stored(&record, now);
        if let Some(transaction) = &mut self.transaction {
            transaction.check(&self.log.lock())?;
            transaction.records.push((place, stored));
        } else {
            self.log.lock().append(&place, stored, now)?;
            self.acknowledged.push(record.token);
        }
        Ok(())
    }

    fn acknowledged(&mut self, _: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError> {
        tokens.append(&mut self.acknowledged);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.transaction.as_ref().map_or(self.acknowledged.len(), |transaction| transaction.records.len())
    }

    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        let transaction = self.transaction.as_mut().ok_or(LogError::NotTransactional)?;
        let now = self.log.clock.now();
        let mut state = self.log.lock();
        transaction.check(&state)?;
        for (place, record) in transaction.records.drain(..) {
            state.append(&place, record, now)?;
        }
        let group = state.groups.entry(transaction.group.clone()).or_default();
        group.committed.extend(offsets.iter().cloned());
        Ok(())
    }

    fn commit_done(&mut self, _: Duration) -> Result<bool, SinkError> {
        Ok(true)
    }
}

fn stored(record: &Outgoing<'_>, timestamp: Timestamp) -> Stored {
    Stored {
        timestamp,
        key: record.key.map(Into::into),
        value: record.value.map(Into::into),
        headers: record.headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}
