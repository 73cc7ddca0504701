//! The newest matches of the steps of a sequence, in the order of event time.

use crate::event::Timestamp;
use crate::event::bytes::{FormatError, Reader, put_signed, put_varint};

use super::{Marks, Taken};

/// How many times a step keeps (`rules.md` §7, sequence).
const KEPT: usize = 8;

/// An event and the steps that it may be, as bits.
type Match = (Timestamp, u8);

/// Times of a chain's first and last step.
pub type Chain = (Timestamp, Timestamp);

/// Matches by event time; of equal times the one that arrived last comes last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    pub(super) marks: Marks,
    matches: Vec<Match>,
}

impl Steps {
    /// Takes an event in; the chains of `count` steps within `within_ms` that it completes as one of those `gained`, the
    /// shortest first, at most one for each of them.
    pub(super) fn add(
        &mut self,
        (time, steps): Match,
        gained: u8,
        (count, within_ms): (usize, i64),
    ) -> (Taken, Vec<Chain>) {
        self.marks.newest = self.marks.newest.max(time);
        let place = self.matches.partition_point(|(own, _)| *own <= time);
        self.matches.insert(place, (time, steps));
        let chains = self.chains(place, gained, (count, within_ms));
        for step in 0..count {
            self.thin(1 << step);
        }
        self.matches.retain(|(_, steps)| *steps != 0);
        let kept = self.matches.iter().any(|(own, own_steps)| *own == time && own_steps & steps != 0);
        (if kept || !chains.is_empty() { Taken::Applied } else { Taken::Late }, chains)
    }

    /// Leaves a step its latest matches.
    fn thin(&mut self, step: u8) {
        let own = self.matches.iter().rev().filter(|(_, steps)| steps & step != 0).count();
        let excess = self.matches.iter_mut().filter(|(_, steps)| *steps & step != 0);
        excess.take(own.saturating_sub(KEPT)).for_each(|(_, steps)| *steps &= !step);
    }

    /// Takes an event back. Some of the steps that it may be may have been forgotten for later matches.
    pub(super) fn remove(&mut self, (time, steps): Match) {
        let is_rest = |own: &Match| own.0 == time && own.1 & !steps == 0;
        let place = self.matches.iter().position(|own| *own == (time, steps));
        if let Some(place) = place.or_else(|| self.matches.iter().position(is_rest)) {
            self.matches.remove(place);
        }
    }

    /// The chains that the match at a place is part of as one of these steps, each step by an event of its own.
    fn chains(&self, place: usize, steps: u8, (count, within_ms): (usize, i64)) -> Vec<Chain> {
        let own = (0..count).filter(|step| steps & (1 << step) != 0);
        let chain = |step: usize| {
            // The nearest before and behind: none other makes the chain shorter.
            let first = (0..step).rev().try_fold(place, |at, step| {
                (0..at).rev().find(|at| self.matches[*at].1 & (1 << step) != 0)
            })?;
            let last = (step + 1..count).try_fold(place, |at, step| {
                (at + 1..self.matches.len()).find(|at| self.matches[*at].1 & (1 << step) != 0)
            })?;
            let (first, last) = (self.matches[first].0, self.matches[last].0);
            (last.since(first) < within_ms).then_some((first, last))
        };
        let mut chains: Vec<Chain> = own.filter_map(chain).collect();
        chains.sort_by_key(|(first, last)| last.since(*first));
        chains
    }

    /// Whether every match is so old that it completes nothing after `floor`.
    pub(super) fn is_past(&self, within_ms: i64, floor: Timestamp) -> bool {
        self.matches.iter().all(|(time, _)| time.plus(within_ms) <= floor)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.matches.len() as u64);
        let mut above = self.marks.newest.0;
        for (time, steps) in self.matches.iter().rev() {
            put_signed(out, above.wrapping_sub(time.0));
            out.push(*steps);
            above = time.0;
        }
    }

    pub(super) fn decode(marks: Marks, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let count = reader.count()?;
        let mut above = marks.newest.0;
        let mut matches = Vec::with_capacity(count.min(KEPT * 8));
        for _ in 0..count {
            above = above.wrapping_sub(reader.signed()?);
            matches.push((Timestamp(above), reader.byte()?));
        }
        matches.reverse();
        if !matches.is_sorted_by_key(|(time, _)| *time) {
            return Err(FormatError::Malformed("steps"));
        }
        Ok(Self { marks, matches })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.matches.capacity() * size_of::<Match>()
    }
}
