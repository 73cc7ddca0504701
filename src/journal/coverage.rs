//! What has been covered: the arithmetic that makes intake exactly-once in effect and loss visible.
//!
//! [`Covered`] is the reader's side, [`Pending`] the writer's.

use std::collections::{BTreeMap, VecDeque};

use super::Coverage;
use super::system::{put_source, source};
use crate::event::SourcePartition;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

/// What to do with a frame's items of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nothing of it is new: drop its items, and what it says of watermark and end with them.
    Duplicate,
    /// Items before this offset are known already: drop those. A range without offsets is new too, if it is in order.
    From(i64),
    /// Offsets are missing: the task must stop.
    Gap {
        /// The offset that is due.
        expected: i64,
        /// The offset that the frame begins with.
        found: i64,
    },
    /// Nobody announced this source: the task must stop.
    Unknown,
}

/// The last offset that a journal partition has covered, for each of its sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    last: BTreeMap<SourcePartition, i64>,
}

impl Covered {
    /// Takes in an announced source that will be covered from this offset on. Known already: nothing changes.
    pub fn add(&mut self, source: &SourcePartition, first: i64) {
        if !self.last.contains_key(source) {
            self.last.insert(source.clone(), first.saturating_sub(1));
        }
    }

    /// Goes on at this offset, whatever was covered before.
    pub fn move_to(&mut self, source: &SourcePartition, first: i64) {
        self.last.insert(source.clone(), first.saturating_sub(1));
    }

    /// Forgets a source that is gone for good.
    pub fn retire(&mut self, source: &SourcePartition) {
        self.last.remove(source);
    }

    /// The last covered offset of a source; `None` if nobody announced it.
    #[must_use]
    pub fn last(&self, source: &SourcePartition) -> Option<i64> {
        self.last.get(source).copied()
    }

    /// The sources, in order, each with its last covered offset.
    pub fn iter(&self) -> impl Iterator<Item = (&SourcePartition, i64)> {
        self.last.iter().map(|(source, last)| (source, *last))
    }

    /// Judges what a frame covers of one source and, if it is in order, remembers it.
    pub fn admit(&mut self, coverage: &Coverage) -> Admission {
        let Some(last) = self.last.get_mut(&coverage.source) else { return Admission::Unknown };
        let expected = last.saturating_add(1);
        if coverage.from > expected {
            return Admission::Gap { expected, found: coverage.from };
        }
        if coverage.to <= *last && coverage.from < expected {
            return Admission::Duplicate;
        }
        *last = coverage.to.max(*last);
        Admission::From(expected)
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.last.len() as u64);
        for (source, last) in &self.last {
            put_source(out, source);
            put_signed(out, *last);
        }
    }

    /// Reads what [`Covered::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.count()?;
        let last = (0..count)
            .map(|_| Ok((source(reader)?, reader.signed()?)))
            .collect::<Result<_, FormatError>>()?;
        Ok(Self { last })
    }
}

/// Which source offsets a worker may commit: those whose frames every journal partition has acknowledged.
///
/// Sources are slots, numbers that the worker gives out; a frame's place in the list of sources serves.
#[derive(Debug)]
pub struct Pending {
    /// Frames under way, by journal partition, in the order they were sent.
    under_way: Vec<VecDeque<Sent>>,
    /// By slot: the last offset acknowledged, by journal partition.
    acknowledged: BTreeMap<usize, Vec<i64>>,
}

#[derive(Debug)]
struct Sent {
    token: u64,
    done: bool,
    upto: Vec<(usize, i64)>,
}

impl Pending {
    /// Nothing sent yet, to a journal of so many partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Self {
            under_way: std::iter::repeat_with(VecDeque::new).take(partitions).collect(),
            acknowledged: BTreeMap::new(),
        }
    }

    /// Takes over a source in this slot. `next` is its next offset: all before it is covered everywhere.
    pub fn own(&mut self, slot: usize, next: i64) {
        self.disown(slot);
        self.acknowledged.insert(slot, vec![next.saturating_sub(1); self.under_way.len()]);
    }

    /// Gives a source up: frames that are still under way say nothing of the slot any more.
    pub fn disown(&mut self, slot: usize) {
        self.acknowledged.remove(&slot);
        for sent in self.under_way.iter_mut().flatten() {
            sent.upto.retain(|(own, _)| *own != slot);
        }
    }

    /// A frame went to this journal partition; with it, each slot is covered up to the offset beside it.
    pub fn sent(&mut self, partition: usize, token: u64, upto: &[(usize, i64)]) {
        if let Some(queue) = self.under_way.get_mut(partition) {
            queue.push_back(Sent { token, done: false, upto: upto.to_vec() });
        }
    }

    /// The frame of this token is acknowledged. It counts once all frames before it in its partition are, too.
    pub fn acknowledged(&mut self, token: u64) {
        for (partition, queue) in self.under_way.iter_mut().enumerate() {
            let Some(sent) = queue.iter_mut().find(|sent| sent.token == token) else { continue };
            sent.done = true;
            while let Some(sent) = queue.pop_front_if(|sent| sent.done) {
                for (slot, to) in sent.upto {
                    let last = self.acknowledged.get_mut(&slot).and_then(|lasts| lasts.get_mut(partition));
                    if let Some(last) = last {
                        *last = to.max(*last);
                    }
                }
            }
            return;
        }
    }

    /// The offset that may be committed for the source in this slot: the next to read. `None` if it is not owned.
    #[must_use]
    pub fn committable(&self, slot: usize) -> Option<i64> {
        let lasts = self.acknowledged.get(&slot)?;
        lasts.iter().min().map(|last| last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests;
