//! A producer, as a worker sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use forewarn::event::SourcePartition;
use forewarn::runtime::sink::{Outgoing, Sink, SinkError};

use super::cluster::{EndTxn, Kept};
use super::fate::{Blow, Effect};
use super::seams::{SIMULATED, kill};
use super::world::{DETECT, topic, world};

/// A producer, plain or transactional.
pub struct SimSink {
    slot: usize,
    member: u64,
    /// Epoch of a transactional one.
    epoch: Option<u64>,
    buffer: Vec<(&'static str, usize, Kept, u64)>,
    acknowledged: Vec<u64>,
    /// The transaction that ends.
    ending: Option<usize>,
}

impl SimSink {
    pub fn plain(slot: usize, member: u64) -> Self {
        Self { slot, member, epoch: None, buffer: Vec::new(), acknowledged: Vec::new(), ending: None }
    }

    pub fn transactional(slot: usize, member: u64) -> Self {
        let world = world();
        let epoch = world.cluster.borrow_mut().init(slot, &mut world.fate.borrow_mut().random);
        Self { epoch: Some(epoch), ..Self::plain(slot, member) }
    }

    /// Appends the first so many of what is kept.
    fn append(&mut self, count: usize, transaction: Option<usize>) {
        let world = world();
        let mut cluster = world.cluster.borrow_mut();
        for (topic, partition, record, token) in self.buffer.drain(..count) {
            cluster.append(topic, partition, Kept { transaction, ..record }, None);
            self.acknowledged.push(token);
        }
    }

    /// Keeps the records of some partitions only: a crash takes a different tail of each.
    fn tear(&mut self) {
        let world = world();
        let random = &mut world.fate.borrow_mut().random;
        let mut torn: BTreeMap<(&str, usize), bool> = BTreeMap::new();
        self.buffer.retain(|(topic, partition, ..)| {
            let gone = torn.entry((topic, *partition)).or_default();
            *gone |= random.coin();
            !*gone
        });
    }

    /// Some partitions answer later: what was sent to them.
    fn hold_back(&mut self) -> Vec<(&'static str, usize, Kept, u64)> {
        let world = world();
        let random = &mut world.fate.borrow_mut().random;
        let mut slow: BTreeMap<(&str, usize), bool> = BTreeMap::new();
        let (later, now) =
            std::mem::take(&mut self.buffer).into_iter().partition(|(topic, partition, ..)| {
                *slow.entry((topic, *partition)).or_insert_with(|| random.coin())
            });
        self.buffer = now;
        later
    }

    fn order(&self) -> Option<EndTxn> {
        self.epoch.map(|epoch| EndTxn { id: self.slot, epoch })
    }
}

fn refused() -> SinkError {
    SinkError(SIMULATED.to_owned())
}

impl Sink for SimSink {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        let world = world();
        let topic = topic(record.topic);
        let count = world.cluster.borrow().partitions(topic);
        let by_key = |key| forewarn::intake::partition_of(key, count as u32) as usize;
        let partition = record.partition.map_or_else(|| record.key.map_or(0, by_key), |own| own as usize);
        let kept = Kept {
            time: 0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
            transaction: None,
        };
        self.buffer.push((topic, partition, kept, record.token));
        Ok(())
    }

    fn acknowledged(&mut self, wait: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError> {
        if self.epoch.is_some() || self.buffer.is_empty() {
            return Ok(());
        }
        let world = world();
        let blow = world.strike(self.slot, Effect::Acknowledge);
        world.pass(wait.as_millis() as i64);
        match blow {
            Some(Blow::Refuse) => return Err(refused()),
            Some(Blow::Late) => {
                let later = self.hold_back();
                self.append(self.buffer.len(), None);
                tokens.append(&mut self.acknowledged);
                self.buffer = later;
                return Ok(());
            }
            Some(Blow::KillMidway) => self.tear(),
            Some(Blow::Twice) => {
                let again = self.buffer.clone();
                self.append(self.buffer.len(), None);
                self.acknowledged.clear();
                self.buffer = again;
            }
            _ => {}
        }
        self.append(self.buffer.len(), None);
        tokens.append(&mut self.acknowledged);
        match blow {
            Some(Blow::KillAfter | Blow::KillMidway) => kill(),
            Some(Blow::LoseAnswer) => Err(refused()),
            _ => Ok(()),
        }
    }

    fn in_flight(&self) -> usize {
        self.buffer.len()
    }

    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        let world = world();
        let blow = world.strike(self.slot, Effect::Begin);
        let order = self.order().ok_or_else(refused)?;
        if blow == Some(Blow::Refuse) || !world.cluster.borrow().is_current(order.id, order.epoch) {
            return Err(refused());
        }
        if blow == Some(Blow::KillMidway) {
            self.tear();
        }
        let transaction = world.cluster.borrow_mut().transaction(order.id);
        self.append(self.buffer.len(), Some(transaction));
        self.acknowledged.clear();
        if blow == Some(Blow::KillMidway) {
            kill();
        }
        let mut cluster = world.cluster.borrow_mut();
        // A member that was thrown out is refused: its partitions belong to somebody else.
        if !offsets.iter().all(|(at, _)| cluster.owns(DETECT, self.member, at)) {
            return Err(refused());
        }
        cluster.send_offsets(DETECT, transaction, offsets);
        cluster.send_end(&order);
        self.ending = Some(transaction);
        drop(cluster);
        if matches!(blow, Some(Blow::KillAfter)) {
            kill();
        }
        Ok(())
    }

    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        let (Some(transaction), Some(order)) = (self.ending, self.order()) else { return Ok(true) };
        let world = world();
        let blow = world.strike(self.slot, Effect::End);
        if blow == Some(Blow::Late) {
            world.pass(wait.as_millis() as i64);
            return Ok(false);
        }
        if blow == Some(Blow::Refuse) {
            return Err(refused());
        }
        let mut cluster = world.cluster.borrow_mut();
        let done = match cluster.decided(transaction) {
            Some(committed) => committed,
            None => cluster.deliver(&order),
        };
        drop(cluster);
        self.ending = None;
        match blow {
            Some(Blow::KillAfter) => kill(),
            Some(Blow::LoseAnswer) => Err(refused()),
            _ if done => Ok(true),
            _ => Err(refused()),
        }
    }
}
