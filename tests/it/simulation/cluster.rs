//! A broker as the workers see it: partitions, groups with members that are thrown out, producers that are fenced, and
//! transactions whose end may be under way for longer than anybody waits.
//!
//! Written anew rather than built on the log in memory: that one promises more than Kafka does.

use std::collections::BTreeMap;
use std::rc::Rc;

use forewarn::event::{SourcePartition, Timestamp};
use forewarn::intake::Headers;

use super::fate::Random;

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub time: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The transaction that it is part of.
    pub transaction: Option<usize>,
}

impl Headers for Kept {
    fn header(&self, place: usize) -> Option<(&str, &[u8])> {
        self.headers.get(place).map(|(name, value)| (&**name, &**value))
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    Aborted,
}

/// The order to commit, on its way to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndTxn {
    pub id: usize,
    pub epoch: u64,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u64,
    open: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Group {
    pub members: Vec<u64>,
    pub owners: BTreeMap<SourcePartition, u64>,
    pub committed: BTreeMap<SourcePartition, i64>,
    /// Offsets in transactions that are still open.
    pending: Vec<(usize, Vec<(SourcePartition, i64)>)>,
    topics: Vec<&'static str>,
    /// Deals differ by this.
    pub deal: usize,
}

#[derive(Debug, Default)]
pub struct Cluster {
    topics: BTreeMap<&'static str, Vec<Vec<Rc<Kept>>>>,
    pub groups: [Group; 2],
    producers: BTreeMap<usize, Producer>,
    outcomes: Vec<Outcome>,
    under_way: Vec<EndTxn>,
    /// Which topics take the broker's time.
    pub now: i64,
}

impl Cluster {
    pub fn create(&mut self, topic: &'static str, partitions: usize) {
        self.topics.insert(topic, vec![Vec::new(); partitions]);
    }

    pub fn read_by(&mut self, group: usize, topics: &[&'static str]) {
        self.groups[group].topics = topics.to_vec();
    }

    pub fn partitions(&self, topic: &str) -> usize {
        self.topics[topic].len()
    }

    pub fn log(&self, at: &SourcePartition) -> &[Rc<Kept>] {
        &self.topics[&*at.topic][at.partition as usize]
    }

    pub fn end(&self, at: &SourcePartition) -> i64 {
        self.log(at).len() as i64
    }

    /// Appends; `None` for the time takes the broker's, which never falls within a partition.
    pub fn append(&mut self, topic: &str, partition: usize, mut record: Kept, time: Option<i64>) {
        let own = &mut self.topics.get_mut(topic).unwrap()[partition];
        record.time = time.unwrap_or(self.now);
        own.push(Rc::new(record));
    }

    /// A journal that another run left, up to this offset.
    pub fn put(&mut self, topic: &'static str, partition: usize, records: &[Rc<Kept>]) {
        self.topics.get_mut(topic).unwrap()[partition] = records.to_vec();
    }

    pub fn remove(&mut self, at: &SourcePartition, offset: usize) {
        self.topics.get_mut(&*at.topic).unwrap()[at.partition as usize].remove(offset);
    }

    // --- groups

    /// The partitions that a member shall have.
    pub fn dealt(&self, group: usize, member: u64) -> Vec<SourcePartition> {
        let own = &self.groups[group];
        let all = own.topics.iter().flat_map(|topic| {
            (0..self.partitions(topic) as i32)
                .map(|partition| SourcePartition { topic: (*topic).into(), partition })
        });
        let mine = |place: usize| own.members[(place + own.deal) % own.members.len()] == member;
        all.enumerate().filter(|(place, _)| mine(*place)).map(|(_, at)| at).collect()
    }

    pub fn join(&mut self, group: usize, member: u64) {
        let own = &mut self.groups[group];
        own.members.push(member);
        own.members.sort_unstable();
    }

    /// A member left, or has not been heard of for too long.
    pub fn leave(&mut self, group: usize, member: u64) {
        let own = &mut self.groups[group];
        own.members.retain(|other| *other != member);
        own.owners.retain(|_, owner| *owner != member);
    }

    pub fn owns(&self, group: usize, member: u64, at: &SourcePartition) -> bool {
        self.groups[group].owners.get(at) == Some(&member)
    }

    pub fn commit(&mut self, group: usize, offsets: &[(SourcePartition, i64)]) {
        for (at, offset) in offsets {
            let old = self.groups[group].committed.insert(at.clone(), *offset);
            assert!(old.is_none_or(|old| old <= *offset), "the committed offset of {at:?} fell to {offset}");
        }
    }

    /// The committed offset, once no open transaction is about to change it.
    pub fn committed(&mut self, group: usize, at: &SourcePartition, random: &mut Random) -> Option<i64> {
        let concerned =
            |(_, offsets): &&(usize, Vec<(SourcePartition, i64)>)| offsets.iter().any(|(own, _)| own == at);
        let open: Vec<usize> =
            self.groups[group].pending.iter().filter(concerned).map(|(number, _)| *number).collect();
        for transaction in open {
            self.settle(transaction, random);
        }
        self.groups[group].committed.get(at).copied()
    }

    // --- transactions

    /// A new producer of this id: it ends what its predecessor left open, and fences it.
    pub fn init(&mut self, id: usize, random: &mut Random) -> u64 {
        if let Some(open) = self.producers.entry(id).or_default().open {
            self.settle(open, random);
        }
        let own = self.producers.entry(id).or_default();
        own.epoch += 1;
        own.epoch
    }

    pub fn is_current(&self, id: usize, epoch: u64) -> bool {
        self.producers.get(&id).is_some_and(|own| own.epoch == epoch)
    }

    /// The open transaction of a producer, a new one if there is none.
    pub fn transaction(&mut self, id: usize) -> usize {
        let own = self.producers.entry(id).or_default();
        *own.open.get_or_insert_with(|| {
            self.outcomes.push(Outcome::Open);
            self.outcomes.len() - 1
        })
    }

    pub fn send_offsets(&mut self, group: usize, transaction: usize, offsets: &[(SourcePartition, i64)]) {
        self.groups[group].pending.push((transaction, offsets.to_vec()));
    }

    /// The order to commit leaves the client.
    pub fn send_end(&mut self, order: &EndTxn) {
        self.under_way.push(order.clone());
    }

    /// It arrives; whether it is obeyed. It takes effect on whatever is open then.
    pub fn deliver(&mut self, order: &EndTxn) -> bool {
        self.under_way.retain(|other| other != order);
        let own = self.producers.entry(order.id).or_default();
        if own.epoch != order.epoch {
            return false;
        }
        let open = own.open.take();
        if let Some(transaction) = open {
            self.end_with(transaction, Outcome::Committed);
        }
        true
    }

    /// Whether this transaction was committed, where its end has been decided.
    pub fn decided(&self, transaction: usize) -> Option<bool> {
        match self.outcomes[transaction] {
            Outcome::Open => None,
            outcome => Some(outcome == Outcome::Committed),
        }
    }

    /// Ends an open transaction: the order to commit arrives after all, or the time is up.
    fn settle(&mut self, transaction: usize, random: &mut Random) {
        let Some((id, epoch)) = self
            .producers
            .iter()
            .find(|(_, own)| own.open == Some(transaction))
            .map(|(id, own)| (*id, own.epoch))
        else {
            return;
        };
        let order = EndTxn { id, epoch };
        if self.under_way.contains(&order) && random.coin() {
            self.deliver(&order);
            return;
        }
        let own = self.producers.entry(id).or_default();
        own.open = None;
        own.epoch += 1;
        self.end_with(transaction, Outcome::Aborted);
    }

    fn end_with(&mut self, transaction: usize, outcome: Outcome) {
        self.outcomes[transaction] = outcome;
        for group in 0..self.groups.len() {
            let (ended, open) = std::mem::take(&mut self.groups[group].pending)
                .into_iter()
                .partition(|(own, _)| *own == transaction);
            self.groups[group].pending = open;
            let ended: Vec<(usize, Vec<(SourcePartition, i64)>)> = ended;
            if outcome == Outcome::Committed {
                ended.iter().for_each(|(_, offsets)| self.commit(group, offsets));
            }
        }
    }

    /// Whether any transaction is open.
    pub fn has_open(&self) -> bool {
        self.outcomes.contains(&Outcome::Open)
    }

    /// What a `read_committed` reader sees of a topic, in the order of partitions.
    pub fn visible(&self, topic: &str) -> Vec<Rc<Kept>> {
        let seen = |record: &&Rc<Kept>| {
            record.transaction.is_none_or(|own| self.outcomes[own] == Outcome::Committed)
        };
        self.topics[topic].iter().flatten().filter(seen).cloned().collect()
    }

    pub fn time(&self) -> Timestamp {
        Timestamp(self.now)
    }
}
