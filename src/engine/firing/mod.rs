//! What a row remembers of rules: episodes, activations, open alerts, evidence.
//!
//! All of it is encoded with the row, so that after a restart everything goes on as if there had been none.

mod bounds;
mod calm;
mod codec;

use crate::event::{Timestamp, Value};
use crate::rules::program::{Path, Severity};

pub use bounds::{Basis, Bound};
pub use calm::Calm;
pub use codec::put_calm;

pub use super::affected::Affected;
use super::alert::Reason;
pub use super::health::HealthState;
use super::number::Exact;
pub use super::peaks::Peak;

/// Most records that stand as evidence behind one alert.
pub const EVIDENCE_MAX: usize = 10;
/// Most clear events that an event rule remembers in a row.
pub const CLEARS_MAX: usize = 16;
/// Most episodes of one rule in one row; the longest idle ones without open alert go first.
pub const EPISODES_MAX: usize = 64;

/// All that the rules remember in one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Firing {
    /// By key of the rule.
    pub rules: Vec<RuleState>,
    /// Open alerts: one a family and dedup values.
    pub alerts: Vec<OpenAlert>,
    /// What `attach` collects.
    pub attached: Vec<Attached>,
    /// What the bounds of rules rest on.
    pub basis: Basis,
}

/// What one rule remembers in one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleState {
    /// [`crate::rules::program::Rule::key`].
    pub key: u32,
    /// Hash of the rule's version when it was judged last: after a change it is judged anew in silence.
    pub version: u32,
    /// How near it came to its threshold.
    pub peak: Peak,
    /// One a dedup value; a rule without dedup has exactly one from its first judgement on.
    pub episodes: Vec<Episode>,
    /// Newest clear events, for event conditions: a match that is not newer is ignored.
    pub clears: Vec<ClearSeen>,
    /// When the watermark means something to it next.
    pub bound: Bound,
}

/// A clear event that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClearSeen {
    /// Its event time.
    pub time: Timestamp,
    /// Which item of the rule's clear it is.
    pub place: u8,
    /// Hash of the fields that must equal the alert's.
    pub equal: u64,
}

/// One run of a rule on one dedup value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Episode {
    /// Values of the rule's dedup fields; an empty text where the event has none.
    pub dedup: Vec<Value<'static>>,
    /// By condition.
    pub conditions: Vec<ConditionState>,
    /// While `when` is true, guards apart.
    pub activation: Option<Activation>,
    /// Not announced until `when` was false once.
    pub disarmed: bool,
    /// It is a member of the open alert: the alert waits for its clear.
    pub member: bool,
    /// By clear item: since when it holds, event time.
    pub clearing: Vec<Option<Timestamp>>,
    /// The newest match: for clear events and the alert.
    pub last_evidence: Option<Timestamp>,
    /// The newest matches, oldest first, at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Proof>,
    /// How many matches there were: since the first of an event episode.
    pub matches: u32,
    /// Fields of the firing event that the rule names.
    pub captured: Vec<(Path, Value<'static>)>,
    /// Journal time of the rule's last opening of this dedup key.
    pub opened: Option<Timestamp>,
    /// Whom its alert touches, once that was asked.
    pub affected: Option<Box<Affected>>,
    /// What was told of the account's health, in the episode of the rule that measures it.
    pub health: Option<Box<HealthState>>,
}

/// What is remembered of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConditionState {
    /// Since when the threshold is met at every judgement (event: since the match; sequence: since its last step), event
    /// time.
    pub since: Option<Timestamp>,
    /// It was met at every judgement for as long as `for` asks.
    pub held: bool,
    /// Absence: disarmed by an `until` event of this time. Sequence: its first step was at this time.
    pub anchor: Option<Timestamp>,
    /// Level with `once_per`: what has been told in this period.
    pub told: Option<Told>,
}

/// What a condition has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Hash of the period.
    pub period: u64,
    /// The highest rung, from 1.
    pub rung: u8,
}

/// An episode in which `when` is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// The time for which it was judged true, event time.
    pub at: Timestamp,
    /// Since when it holds, event time.
    pub onset: Timestamp,
    /// Journal time of its beginning.
    pub begun: Timestamp,
    /// What became of it.
    pub fate: Fate,
    /// Journal time at which the gate that holds it may lift.
    pub until: Option<Timestamp>,
    /// The parent that its alerts collapse to has heard of it.
    pub told: bool,
}

/// What became of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not decided yet.
    New,
    /// A gate holds it, and has said so.
    Withheld(Reason),
    /// It opened an alert.
    Opened,
    /// It joined one.
    Merged,
    /// A gate that never lifts holds it.
    Suppressed,
}

/// One source record, as rows keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// Event time.
    pub time: Timestamp,
    /// The record's offset.
    pub offset: i64,
    /// Place in the task's list of source partitions.
    pub source: u16,
    /// Place in the task's list of labels.
    pub label: u16,
    /// How many matches it stands for.
    pub weight: u32,
}

/// An open alert.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenAlert {
    /// Hash of the family.
    pub family: u32,
    /// Values of the dedup fields.
    pub dedup: Vec<Value<'static>>,
    /// Its id.
    pub alert_id: Box<str>,
    /// The last revision, from 1.
    pub revision: u32,
    /// Key of the rule that leads.
    pub lead: u32,
    /// Keys of rules that led and were outranked.
    pub supersedes: Vec<u32>,
    /// Never falls.
    pub severity: Severity,
    /// Event time: since when it holds.
    pub onset: Timestamp,
    /// Journal time of the opening.
    pub detected: Timestamp,
    /// Journal time of the last revision that was no reminder.
    pub revised: Timestamp,
    /// Journal time of the next reminder.
    pub reminder: Option<Timestamp>,
    /// Journal time until which somebody must have reacted; none once somebody has, or it is past.
    pub respond_by: Option<Timestamp>,
    /// How many `escalate` steps of the lead have come due.
    pub steps: u8,
    /// Which of them were taken, as bits.
    pub taken: u8,
    /// Something has changed that may be said a minute after the last revision.
    pub pending: bool,
    /// A ticket on the same issue came in between onset and detection.
    pub reported: bool,
    /// What was said last.
    pub said: Said,
    /// Late events since the opening.
    pub late_events: u32,
}

/// What the last revision said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// The summary.
    pub summary: Box<str>,
    /// The values of the lead's conditions.
    pub values: Vec<Option<Exact>>,
    /// Keys of the members, by rank.
    pub members: Vec<u32>,
    /// Highest rung.
    pub rung: u8,
    /// Highest band of a score, from 1; 0: none.
    pub band: u8,
    /// Hash of the owner.
    pub owner: u64,
}

/// What one `attach` has collected in a row: newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached {
    /// [`crate::rules::program::Attach::key`].
    pub key: u32,
    /// Different values and the event time of each.
    pub values: Vec<(Timestamp, Value<'static>)>,
}

impl Firing {
    /// The state of a rule, if there is one.
    #[must_use]
    pub fn rule(&self, key: u32) -> Option<&RuleState> {
        self.rules.iter().find(|state| state.key == key)
    }

    /// The state of a rule, if there is one, to change: its next mark may be another one then.
    pub fn rule_mut(&mut self, key: u32) -> Option<&mut RuleState> {
        let state = self.rules.iter_mut().find(|state| state.key == key)?;
        state.forget_bound();
        Some(state)
    }

    /// Place of the open alert of a family and dedup values.
    #[must_use]
    pub fn alert(&self, family: u32, dedup: &[Value<'static>]) -> Option<usize> {
        self.alerts.iter().position(|alert| alert.family == family && alert.dedup == dedup)
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.alerts.is_empty() && self.attached.is_empty()
    }

    /// About how many bytes it occupies beside its own size.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let episode = |episode: &Episode| {
            size_of::<Episode>()
                + episode.evidence.capacity() * size_of::<Proof>()
                + episode.conditions.capacity() * size_of::<ConditionState>()
                + episode.captured.len() * 64
        };
        let rules: usize = self
            .rules
            .iter()
            .map(|rule| size_of::<RuleState>() + rule.episodes.iter().map(episode).sum::<usize>())
            .sum();
        rules + self.alerts.len() * 512 + self.attached.len() * 256
    }

    /// Takes a value into what an `attach` collects.
    pub fn attach(&mut self, key: u32, max: u8, time: Timestamp, value: Value<'static>) {
        let place = self.attached.iter().position(|own| own.key == key).unwrap_or_else(|| {
            self.attached.push(Attached { key, values: Vec::new() });
            self.attached.len() - 1
        });
        let values = &mut self.attached[place].values;
        if let Some(own) = values.iter().position(|(_, own)| *own == value) {
            if values[own].0 > time {
                return;
            }
            values.remove(own);
        }
        let at = values.partition_point(|(own, _)| *own > time);
        values.insert(at, (time, value));
        values.truncate(usize::from(max.max(1)));
    }

    /// What an `attach` has collected, newest first.
    #[must_use]
    pub fn attached(&self, key: u32) -> Vec<Value<'static>> {
        let own = self.attached.iter().find(|own| own.key == key);
        own.map_or_else(Vec::new, |own| own.values.iter().map(|(_, value)| value.clone()).collect())
    }
}

impl RuleState {
    /// A rule that has seen nothing yet.
    #[must_use]
    pub const fn new(key: u32, version: u32) -> Self {
        let peak = Peak { day: 0, ratio: 0 };
        Self { key, version, peak, episodes: Vec::new(), clears: Vec::new(), bound: Bound(None) }
    }

    /// Whether the rule holds, guards included.
    #[must_use]
    pub fn holds(&self) -> bool {
        let fails = |fate| matches!(fate, Fate::Withheld(reason) if reason.is_guard());
        self.episodes.iter().any(|own| own.activation.is_some_and(|activation| !fails(activation.fate)))
    }

    /// Place of the episode of these dedup values, made if there is none.
    pub fn episode(&mut self, dedup: &[Value<'static>], shape: (usize, usize)) -> usize {
        if let Some(place) = self.episodes.iter().position(|episode| episode.dedup == dedup) {
            return place;
        }
        let new = Episode {
            dedup: dedup.to_vec(),
            conditions: vec![ConditionState::default(); shape.0],
            clearing: vec![None; shape.1],
            ..Episode::default()
        };
        match self.idle_episode().filter(|_| self.episodes.len() >= EPISODES_MAX) {
            Some(idle) => {
                self.episodes[idle] = new;
                idle
            }
            None => {
                self.episodes.push(new);
                self.episodes.len() - 1
            }
        }
    }

    /// The episode that is missed least.
    fn idle_episode(&self) -> Option<usize> {
        let idle = |episode: &&(usize, &Episode)| !episode.1.member && episode.1.activation.is_none();
        let all: Vec<(usize, &Episode)> = self.episodes.iter().enumerate().collect();
        all.iter()
            .filter(idle)
            .min_by_key(|(place, episode)| (episode.last_evidence, *place))
            .map(|(place, _)| *place)
    }

    /// Remembers a clear event.
    pub fn remember_clear(&mut self, seen: ClearSeen) {
        let at = self.clears.partition_point(|own| own.time <= seen.time);
        self.clears.insert(at, seen);
        if self.clears.len() > CLEARS_MAX {
            self.clears.remove(0);
        }
    }
}

impl Episode {
    /// Takes a match in as evidence.
    pub fn prove(&mut self, proof: Proof) {
        self.last_evidence = self.last_evidence.max(Some(proof.time));
        self.matches = self.matches.saturating_add(proof.weight);
        let at = self.evidence.partition_point(|own| *own <= proof);
        if self.evidence.len() == EVIDENCE_MAX {
            if at == 0 {
                return;
            }
            self.evidence.remove(0);
            self.evidence.insert(at - 1, proof);
        } else {
            self.evidence.insert(at, proof);
        }
    }

    /// Takes a match back.
    pub fn disprove(&mut self, proof: &Proof) {
        self.matches = self.matches.saturating_sub(proof.weight);
        self.evidence.retain(|own| own.source != proof.source || own.offset != proof.offset);
        self.last_evidence = self.evidence.last().map(|own| own.time);
    }

    /// Whether nothing has come of it.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.activation.is_none() && !self.member && !self.disarmed
    }

    /// Whether nothing would be lost with it but its cool-down, if that is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp, cooldown_ms: i64) -> bool {
        let cool = self.opened.is_none_or(|opened| opened.plus(cooldown_ms) <= now);
        !self.member && self.activation.is_none() && cool
    }
}

#[cfg(test)]
mod tests;
