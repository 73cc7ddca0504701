//! Where entities stand with each rule, and how many alerts are open (`contracts.md` §8.1): counted at every change and kept
//! in the task's state, so that asking costs nothing and a restart shows the same numbers.

use std::collections::BTreeMap;

use crate::event::bytes::{FormatError, Reader, put_varint};
use crate::rules::program::Severity;

use super::alert::Reason;
use super::firing::{Fate, Firing, RuleState};
use super::peaks::Peaks;

/// Where an entity stands with a rule that has judged it. All of them are eligible; the first that fits counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Standing {
    /// It belongs to an open alert.
    Firing = 0,
    /// True, and held by a gate that may lift.
    Waiting = 1,
    /// True, but its window or its history is too young to believe it.
    Warming = 2,
    /// A threshold is met, though not yet for as long as `for` asks.
    Pending = 3,
    /// None of these.
    Calm = 4,
}

impl Standing {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Firing, Self::Waiting, Self::Warming, Self::Pending, Self::Calm];

    /// What a rule's memory in a row says.
    #[must_use]
    pub fn of(rule: &RuleState) -> Self {
        rule.episodes.iter().map(Self::of_episode).min().unwrap_or(Self::Calm)
    }

    fn of_episode(episode: &super::firing::Episode) -> Self {
        let withheld = episode.activation.map(|activation| activation.fate);
        match withheld {
            _ if episode.member => Self::Firing,
            Some(Fate::Withheld(Reason::Warming | Reason::InsufficientHistory)) => Self::Warming,
            Some(Fate::Withheld(_)) => Self::Waiting,
            None if episode.conditions.iter().any(|state| state.since.is_some() && !state.held) => {
                Self::Pending
            }
            _ => Self::Calm,
        }
    }
}

/// What the rules say of one row, as it is counted: each rule's standing and peak of the day, each open alert's severity.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    standings: Vec<(u32, Standing)>,
    peaks: Vec<(u32, u16)>,
    alerts: Vec<(u32, Severity)>,
}

impl Entry {
    /// Takes down what a row says on a day, in place of what is here.
    pub fn take(&mut self, firing: &Firing, day: u16) {
        self.standings.clear();
        self.standings.extend(firing.rules.iter().map(|rule| (rule.key, Standing::of(rule))));
        self.peaks.clear();
        self.peaks.extend(firing.rules.iter().map(|rule| (rule.key, rule.peak.on(day))));
        self.alerts.clear();
        self.alerts.extend(firing.alerts.iter().map(|alert| (alert.lead, alert.severity)));
    }

    /// What a row says on a day.
    #[must_use]
    pub fn of(firing: &Firing, day: u16) -> Self {
        let mut entry = Self::default();
        entry.take(firing, day);
        entry
    }

    /// Takes in that a row's peaks are these, where before they were others.
    pub fn change_peaks(&self, before: &Self, peaks: &mut Peaks) {
        if self.peaks == before.peaks {
            return;
        }
        before.peaks.iter().for_each(|(rule, ratio)| peaks.change(*rule, *ratio, 0));
        self.peaks.iter().for_each(|(rule, ratio)| peaks.change(*rule, 0, *ratio));
    }
}

/// The numbers of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entities by the place of their [`Standing`].
    pub standings: [u64; Standing::ALL.len()],
    /// Open alerts that it leads, by the place of their severity in [`Severity::ALL`].
    pub open: [u64; Severity::ALL.len()],
}

impl Counts {
    /// Entities that the rule has judged.
    #[must_use]
    pub fn eligible(&self) -> u64 {
        self.standings.iter().sum()
    }

    /// Adds another task's numbers.
    pub fn add(&mut self, other: &Self) {
        let own = self.standings.iter_mut().chain(&mut self.open);
        own.zip(other.standings.iter().chain(&other.open)).for_each(|(own, more)| *own += more);
    }

    /// Entities of one standing.
    #[must_use]
    pub const fn at(&self, standing: Standing) -> u64 {
        self.standings[standing as usize]
    }
}

/// The numbers of all rules that rows remember, by [`crate::rules::program::Rule::key`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    rules: BTreeMap<u32, Counts>,
}

impl Census {
    /// A rule has judged an entity for the first time, and nothing came of it.
    pub fn admit(&mut self, rule: u32) {
        self.rules.entry(rule).or_default().standings[Standing::Calm as usize] += 1;
    }

    /// Takes in that a row says something else than before.
    pub fn change(&mut self, before: &Entry, now: &Entry) {
        if before.standings != now.standings || before.alerts != now.alerts {
            self.remove(before);
            self.add(now);
        }
    }

    /// Takes in a row.
    pub fn add(&mut self, entry: &Entry) {
        self.apply(entry, |count| *count += 1);
    }

    /// Takes a row out.
    pub fn remove(&mut self, entry: &Entry) {
        self.apply(entry, |count| *count = count.saturating_sub(1));
        self.rules.retain(|_, counts| *counts != Counts::default());
    }

    fn apply(&mut self, entry: &Entry, step: impl Fn(&mut u64)) {
        for (rule, standing) in &entry.standings {
            step(&mut self.rules.entry(*rule).or_default().standings[*standing as usize]);
        }
        for (rule, severity) in &entry.alerts {
            step(&mut self.rules.entry(*rule).or_default().open[*severity as usize]);
        }
    }

    /// The numbers of a rule.
    #[must_use]
    pub fn counts(&self, rule: u32) -> Counts {
        self.rules.get(&rule).copied().unwrap_or_default()
    }

    /// Appends its bytes: per rule its key and its numbers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.rules.len() as u64);
        for (key, counts) in &self.rules {
            put_varint(out, u64::from(*key));
            counts.standings.iter().chain(&counts.open).for_each(|count| put_varint(out, *count));
        }
    }

    /// Reads what [`Census::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are not what it wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut census = Self::default();
        for _ in 0..reader.count()? {
            let key = u32::try_from(reader.varint()?).map_err(|_| FormatError::Malformed("rule key"))?;
            let mut counts = Counts::default();
            for count in counts.standings.iter_mut().chain(&mut counts.open) {
                *count = reader.varint()?;
            }
            census.rules.insert(key, counts);
        }
        Ok(census)
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, Entry, Standing};
    use crate::event::bytes::Reader;
    use crate::rules::program::Severity;

    fn entry(standings: &[(u32, Standing)], alerts: &[(u32, Severity)]) -> Entry {
        Entry { standings: standings.to_vec(), alerts: alerts.to_vec(), ..Entry::default() }
    }

    #[test]
    fn a_row_counts_once_wherever_it_stands() {
        let calm = entry(&[(7, Standing::Calm)], &[]);
        let firing = entry(&[(7, Standing::Firing)], &[(7, Severity::Error)]);
        let mut census = Census::default();
        census.admit(7);
        census.admit(7);
        census.change(&calm, &firing);
        let counts = census.counts(7);
        assert_eq!((counts.eligible(), counts.at(Standing::Firing)), (2, 1));
        assert_eq!(counts.open[Severity::Error as usize], 1);
        census.remove(&firing);
        census.remove(&calm);
        assert_eq!(census, Census::default(), "nothing is left of a rule that no row remembers");
    }

    #[test]
    fn its_bytes_stay_what_they_are() {
        let mut census = Census::default();
        census.add(&entry(&[(7, Standing::Pending), (300, Standing::Firing)], &[(300, Severity::Critical)]));
        let mut bytes = Vec::new();
        census.encode(&mut bytes);
        let pending = [7, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        let firing = [0xac, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(bytes, [&[2][..], &pending, &firing].concat());
        assert_eq!(Census::decode(&mut Reader::new(&bytes)).unwrap(), census);
    }
}
