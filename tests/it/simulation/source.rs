//! A member of a group, as a worker sees it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use forewarn::event::{SourcePartition, Timestamp};
use forewarn::runtime::source::{Assignment, CommitMode, Record, Source, SourceError};

use super::cluster::Kept;
use super::fate::{Blow, Effect};
use super::seams::{SIMULATED, kill};
use super::world::{World, world};

/// A member of a group.
pub struct SimSource {
    slot: usize,
    group: usize,
    member: u64,
    topics: Vec<&'static str>,
    owned: BTreeMap<SourcePartition, Reading>,
    giving_up: Vec<SourcePartition>,
    turn: usize,
    /// A commit that nobody waited for was refused.
    refused: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Reading {
    position: i64,
    end: Option<i64>,
}

struct Fetched {
    topic: usize,
    at: SourcePartition,
    offset: i64,
    record: Rc<Kept>,
}

impl SimSource {
    pub fn join(slot: usize, group: usize, member: u64, topics: &[&'static str]) -> Self {
        world().cluster.borrow_mut().join(group, member);
        let topics = topics.to_vec();
        Self {
            slot,
            group,
            member,
            topics,
            owned: BTreeMap::new(),
            giving_up: Vec::new(),
            turn: 0,
            refused: false,
        }
    }

    fn rebalance(&mut self, world: &World) -> Assignment {
        let mut cluster = world.cluster.borrow_mut();
        if !cluster.groups[self.group].members.contains(&self.member) {
            cluster.join(self.group, self.member);
            self.giving_up.clear();
            let lost: Vec<_> = std::mem::take(&mut self.owned).into_keys().collect();
            if !lost.is_empty() {
                return Assignment::Lost(lost);
            }
        }
        for at in self.giving_up.drain(..) {
            if cluster.owns(self.group, self.member, &at) {
                cluster.groups[self.group].owners.remove(&at);
            }
            self.owned.remove(&at);
        }
        let dealt = cluster.dealt(self.group, self.member);
        let lost: Vec<_> = self.owned.keys().filter(|own| !dealt.contains(own)).cloned().collect();
        if !lost.is_empty() {
            self.giving_up.clone_from(&lost);
            return Assignment::Revoked(lost);
        }
        let owners = &mut cluster.groups[self.group].owners;
        let gained: Vec<_> = dealt.into_iter().filter(|at| !owners.contains_key(at)).collect();
        owners.extend(gained.iter().map(|at| (at.clone(), self.member)));
        self.owned.extend(gained.iter().map(|at| (at.clone(), Reading::default())));
        if gained.is_empty() { Assignment::Unchanged } else { Assignment::Assigned(gained) }
    }

    fn fetch(&mut self, world: &World) -> Vec<Fetched> {
        let cluster = world.cluster.borrow();
        let mut fetched = Vec::new();
        self.turn += 1;
        let mut order: Vec<_> = self.owned.iter_mut().collect();
        let first = self.turn % order.len().max(1);
        order.rotate_left(first);
        for (at, reading) in order {
            let log = cluster.log(at);
            reading.end = Some(log.len() as i64);
            let topic = self.topics.iter().position(|topic| **topic == *at.topic).unwrap();
            for _ in 0..world.batch {
                let Some(record) = log.get(reading.position as usize) else { break };
                let record = Rc::clone(record);
                fetched.push(Fetched { topic, at: at.clone(), offset: reading.position, record });
                reading.position += 1;
            }
        }
        fetched
    }

    /// Records that were read before come again.
    fn rewind(&mut self) {
        for reading in self.owned.values_mut() {
            reading.position = (reading.position - 2).max(0);
        }
    }
}

impl Source for SimSource {
    fn poll(&mut self, wait: Duration, visit: &mut dyn FnMut(Record<'_>)) -> Result<Assignment, SourceError> {
        let world = world();
        let blow = world.strike(self.slot, Effect::Poll);
        match blow {
            _ if std::mem::take(&mut self.refused) => return Err(SourceError(SIMULATED.to_owned())),
            Some(Blow::Refuse) => return Err(SourceError(SIMULATED.to_owned())),
            Some(Blow::Rebalance) => world.cluster.borrow_mut().groups[self.group].deal += 1,
            Some(Blow::Twice) => self.rewind(),
            _ => {}
        }
        let change = self.rebalance(&world);
        world.await_beside(self.slot, change != Assignment::Unchanged);
        if change == Assignment::Unchanged {
            let mut fetched = self.fetch(&world);
            if fetched.is_empty() && !wait.is_zero() {
                world.pass(wait.as_millis() as i64);
                fetched = self.fetch(&world);
            }
            for Fetched { topic, at, offset, record } in &fetched {
                visit(Record {
                    topic: *topic,
                    partition: at.partition,
                    offset: *offset,
                    timestamp: Timestamp(record.time),
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: &**record,
                });
            }
        }
        if blow == Some(Blow::KillAfter) {
            kill();
        }
        Ok(change)
    }

    fn seek(&mut self, partition: &SourcePartition, offset: i64) -> Result<(), SourceError> {
        let reading = self.owned.get_mut(partition).ok_or_else(|| SourceError("not owned".to_owned()))?;
        reading.position = offset;
        Ok(())
    }

    fn committed(&mut self, partition: &SourcePartition) -> Result<Option<i64>, SourceError> {
        let world = world();
        let blow = world.strike(self.slot, Effect::Committed);
        if blow == Some(Blow::Refuse) {
            return Err(SourceError(SIMULATED.to_owned()));
        }
        let fate = &mut world.fate.borrow_mut().random;
        let committed = world.cluster.borrow_mut().committed(self.group, partition, fate);
        if blow == Some(Blow::KillAfter) {
            kill();
        }
        Ok(committed)
    }

    fn bounds(&mut self, partition: &SourcePartition) -> Result<(i64, i64), SourceError> {
        Ok((0, world().cluster.borrow().end(partition)))
    }

    fn known_end(&self, partition: &SourcePartition) -> Option<i64> {
        self.owned.get(partition).and_then(|reading| reading.end)
    }

    fn position(&self, partition: &SourcePartition) -> Option<i64> {
        self.owned.get(partition).filter(|reading| reading.end.is_some()).map(|reading| reading.position)
    }

    fn commit(&mut self, offsets: &[(SourcePartition, i64)], mode: CommitMode) -> Result<(), SourceError> {
        let world = world();
        let blow = world.strike(self.slot, Effect::Commit);
        let refused = Err(SourceError(SIMULATED.to_owned()));
        let mut cluster = world.cluster.borrow_mut();
        let owned = offsets.iter().all(|(at, _)| cluster.owns(self.group, self.member, at));
        if blow == Some(Blow::Refuse) || !owned {
            self.refused = mode == CommitMode::Background;
            return if self.refused { Ok(()) } else { refused };
        }
        cluster.commit(self.group, offsets);
        match blow {
            Some(Blow::KillAfter) => kill(),
            Some(Blow::LoseAnswer) => refused,
            _ => Ok(()),
        }
    }

    fn set_paused(&mut self, _: &SourcePartition, _: bool) -> Result<(), SourceError> {
        Ok(())
    }
}

impl Drop for SimSource {
    fn drop(&mut self) {
        if let Some(world) = World::current() {
            world.cluster.borrow_mut().leave(self.group, self.member);
        }
    }
}
