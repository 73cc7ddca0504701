//! Reading from the log in memory, as a member of a group.
//!
//! Partitions are dealt to the members in turn. Who has too many gives them up first; then they are taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Group, LogError, MemoryLog, State, Stored};
use crate::event::SourcePartition;
use crate::runtime::source::{Assignment, CommitMode, Record, Source, SourceError};

/// Most records of one poll, unless [`MemorySource::set_batch`] says otherwise.
const BATCH: usize = 500;

/// A member of a group. Dropped, it leaves the group and its partitions go to the others.
#[derive(Debug)]
pub struct MemorySource {
    log: MemoryLog,
    group: Box<str>,
    topics: Vec<Box<str>>,
    member: u64,
    owned: BTreeMap<SourcePartition, Reading>,
    giving_up: Vec<SourcePartition>,
    batch: usize,
    /// How many polls there were: each begins with another partition.
    turn: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Reading {
    position: i64,
    end: Option<i64>,
    paused: bool,
}

/// A record on its way to the visitor.
struct Fetched {
    topic: usize,
    partition: i32,
    offset: i64,
    record: Arc<Stored>,
}

impl MemorySource {
    pub(super) const fn new(log: MemoryLog, group: Box<str>, topics: Vec<Box<str>>, member: u64) -> Self {
        Self {
            log,
            group,
            topics,
            member,
            owned: BTreeMap::new(),
            giving_up: Vec::new(),
            batch: BATCH,
            turn: 0,
        }
    }

    /// Sets how many records one poll brings at most.
    pub const fn set_batch(&mut self, batch: usize) {
        self.batch = batch;
    }

    /// Gives up, takes over, or leaves things as they are.
    fn rebalance(&mut self) -> Assignment {
        let mut state = self.log.lock();
        let dealt = dealt_to(&state, &self.group, self.member);
        let Some(group) = state.groups.get_mut(&self.group) else { return Assignment::Unchanged };
        for partition in self.giving_up.drain(..) {
            group.owners.remove(&partition);
            self.owned.remove(&partition);
        }
        let lost: Vec<_> = self.owned.keys().filter(|own| !dealt.contains(own)).cloned().collect();
        if !lost.is_empty() {
            self.giving_up.clone_from(&lost);
            return Assignment::Revoked(lost);
        }
        let free = |own: &SourcePartition| !group.owners.contains_key(own);
        let gained: Vec<_> = dealt.into_iter().filter(free).collect();
        let committed: Vec<_> = gained.iter().map(|own| group.committed.get(own).copied()).collect();
        group.owners.extend(gained.iter().map(|own| (own.clone(), self.member)));
        for (own, committed) in gained.iter().zip(committed) {
            let start = state.partition(own).map_or(0, |partition| partition.start);
            let position = committed.unwrap_or(start);
            self.owned.insert(own.clone(), Reading { position, ..Reading::default() });
        }
        if gained.is_empty() { Assignment::Unchanged } else { Assignment::Assigned(gained) }
    }

    fn fetch(&mut self) -> Vec<Fetched> {
        let state = self.log.lock();
        let mut fetched = Vec::new();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % self.owned.len().max(1);
        let mut order: Vec<_> = self.owned.iter_mut().collect();
        order.rotate_left(first);
        for (own, reading) in order {
            let Ok(partition) = state.partition(own) else { continue };
            reading.end = Some(partition.end());
            let topic = self.topics.iter().position(|topic| *topic == own.topic).unwrap_or_default();
            reading.position = reading.position.max(partition.start);
            while !reading.paused && fetched.len() < self.batch {
                let Some(record) = partition.get(reading.position) else { break };
                let (offset, record) = (reading.position, record.clone());
                fetched.push(Fetched { topic, partition: own.partition, offset, record });
                reading.position += 1;
            }
        }
        fetched
    }

    fn reading(&mut self, partition: &SourcePartition) -> Result<&mut Reading, LogError> {
        let none = || LogError::NotOwned(partition.topic.clone(), partition.partition);
        self.owned.get_mut(partition).ok_or_else(none)
    }
}

/// The partitions that a member shall have: those of a topic go in turn to the members that read it.
fn dealt_to(state: &State, group: &str, member: u64) -> BTreeSet<SourcePartition> {
    let mut dealt = BTreeSet::new();
    let Some(group) = state.groups.get(group) else { return dealt };
    for (name, topic) in &state.topics {
        let readers: Vec<u64> = readers(group, name);
        let mut turns = readers.iter().cycle();
        for (partition, _) in (0..).zip(&topic.partitions) {
            if turns.next() == Some(&member) {
                dealt.insert(SourcePartition { topic: name.clone(), partition });
            }
        }
    }
    dealt
}

fn readers(group: &Group, topic: &str) -> Vec<u64> {
    let reads = |topics: &[Box<str>]| topics.iter().any(|own| **own == *topic);
    group.members.iter().filter(|(_, topics)| reads(topics)).map(|(member, _)| *member).collect()
}

impl Source for MemorySource {
    fn poll(&mut self, wait: Duration, visit: &mut dyn FnMut(Record<'_>)) -> Result<Assignment, SourceError> {
        let changed = self.rebalance();
        if changed != Assignment::Unchanged {
            return Ok(changed);
        }
        let mut fetched = self.fetch();
        if fetched.is_empty() && !wait.is_zero() {
            self.log.clock.pause(wait);
            fetched = self.fetch();
        }
        for Fetched { topic, partition, offset, record } in &fetched {
            visit(Record {
                topic: *topic,
                partition: *partition,
                offset: *offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &**record,
            });
        }
        Ok(Assignment::Unchanged)
    }

    fn seek(&mut self, partition: &SourcePartition, offset: i64) -> Result<(), SourceError> {
        self.reading(partition)?.position = offset;
        Ok(())
    }

    fn committed(&mut self, partition: &SourcePartition) -> Result<Option<i64>, SourceError> {
        Ok(self.log.committed(&self.group, partition))
    }

    fn bounds(&mut self, partition: &SourcePartition) -> Result<(i64, i64), SourceError> {
        let state = self.log.lock();
        let own = state.partition(partition)?;
        Ok((own.start, own.end()))
    }

    fn known_end(&self, partition: &SourcePartition) -> Option<i64> {
        self.owned.get(partition).and_then(|reading| reading.end)
    }

    fn position(&self, partition: &SourcePartition) -> Option<i64> {
        self.owned.get(partition).filter(|reading| reading.end.is_some()).map(|reading| reading.position)
    }

    fn commit(&mut self, offsets: &[(SourcePartition, i64)], _: CommitMode) -> Result<(), SourceError> {
        for (partition, _) in offsets {
            self.reading(partition)?;
        }
        let mut state = self.log.lock();
        if let Some(group) = state.groups.get_mut(&self.group) {
            group.committed.extend(offsets.iter().cloned());
        }
        Ok(())
    }

    fn set_paused(&mut self, partition: &SourcePartition, paused: bool) -> Result<(), SourceError> {
        self.reading(partition)?.paused = paused;
        Ok(())
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        if let Some(group) = state.groups.get_mut(&self.group) {
            group.members.remove(&self.member);
            group.owners.retain(|_, owner| *owner != self.member);
        }
    }
}
