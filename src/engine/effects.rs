//! What one step of the engine asks of the world.
//!
//! **Order of execution**: 1. forwards are published and acknowledged; 2. alerts with their compacted state, decisions and
//! the journal position go out in one transaction; 3. tallies reach the metrics once that is committed; 4. now and then a
//! local checkpoint follows. Never a checkpoint ahead of what is published.

use std::collections::BTreeMap;

use crate::event::{Event, KINDS, Timestamp, Value};

use super::alert::{Alert, Decision};
use super::helpdesk::TicketTally;
use super::peaks::PeakDay;

/// The effects of a run of journal records, in the order in which they happened.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records for journal partitions.
    pub forwards: Vec<Forward>,
    /// Revisions of alerts.
    pub alerts: Vec<Alert>,
    /// Decisions about activations.
    pub decisions: Vec<Decision>,
    /// Scores of accounts' health that changed.
    pub health: Vec<HealthRecord>,
    /// Counters to add once the effects are committed.
    pub tally: Tally,
}

/// A score of an account's health, ready to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthRecord {
    /// Key of the health topic: the account.
    pub key: String,
    /// The record of `contracts.md` §6.
    pub data: Value<'static>,
}

/// A record that a task sends to a journal partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Which.
    pub partition: u16,
    /// Its value.
    pub value: Vec<u8>,
}

impl Effects {
    /// Whether nothing has to be published.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.forwards.is_empty()
            && self.alerts.is_empty()
            && self.decisions.is_empty()
            && self.health.is_empty()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.forwards.clear();
        self.alerts.clear();
        self.decisions.clear();
        self.health.clear();
        self.tally.clear();
    }
}

/// How an event ended (the input law, `contracts.md` §8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// It changed the state, or could have.
    Applied = 0,
    /// Its id was seen before.
    Duplicate = 1,
    /// Older than every pane and state it could touch.
    Late = 2,
    /// Test, internal, another environment.
    Filtered = 3,
    /// No account is known for it.
    Unattributed = 4,
    /// Bad.
    DeadLetter = 5,
}

impl Outcome {
    /// All outcomes, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Applied, Self::Duplicate, Self::Late, Self::Filtered, Self::Unattributed, Self::DeadLetter];

    /// The label of the metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::Filtered => "filtered",
            Self::Unattributed => "unattributed",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// Counters of one run, per kind and per rule. Plain numbers: the runtime turns them into metrics.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Events by kind and outcome.
    pub events: [[u64; 6]; KINDS],
    /// Events applied though older than the watermark, by kind.
    pub behind: [u64; KINDS],
    /// Frames that were read before.
    pub journal_duplicates: u64,
    /// Roll-ups sent to entities across accounts.
    pub rollups: u64,
    /// What was told to every task.
    pub broadcasts: u64,
    /// Events sent on to the account that their alias stands for.
    pub passed: u64,
    /// Events that were counted as unattributed and have found their account after all.
    pub recovered: u64,
    /// Frames sent to journal partitions.
    pub task_frames: u64,
    /// Their bytes.
    pub task_bytes: u64,
    /// Rows evicted because an account has too many of their kind, by kind.
    pub evicted: BTreeMap<Box<str>, u64>,
    /// What tickets say of the help desk.
    pub tickets: TicketTally,
    /// Per rule, in the order of the program.
    pub rules: Vec<RuleTally>,
}

/// Counters of one rule.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RuleTally {
    /// Verdicts on eligible entities.
    pub evaluations: u64,
    /// Activations whose fate is known.
    pub activations: u64,
    /// Activations that joined an open alert of the family.
    pub merged: u64,
    /// Activations withheld for good, by reason (the place in [`super::alert::Reason::ALL`]).
    pub suppressed: Vec<u64>,
    /// Revisions by action (the place in [`super::alert::Action::ALL`]).
    pub alerts: [u64; 8],
    /// Onset to detection of opened alerts, ms.
    pub time_to_detect_ms: Vec<i64>,
    /// Opened alerts that came after a ticket on the same issue.
    pub reported_first: u64,
    /// Highest ratios of entity-days that ended.
    pub peaks: PeakDay,
    /// Alerts that nobody reacted to in time.
    pub respond_by_missed: u64,
}

impl Tally {
    /// Counts how an event ended; `None`: it goes on, and ends elsewhere.
    pub fn end(&mut self, event: &Event<'_>, outcome: Option<Outcome>, watermarks: &[Timestamp; KINDS]) {
        let kind = event.kind as usize;
        let Some(outcome) = outcome else { return };
        self.events[kind][outcome as usize] += 1;
        if outcome == Outcome::Applied && event.time < watermarks[kind] {
            self.behind[kind] += 1;
        }
    }

    /// Back to zero, keeping the memory.
    pub fn clear(&mut self) {
        self.events = Default::default();
        self.behind = Default::default();
        self.journal_duplicates = 0;
        (self.rollups, self.broadcasts) = (0, 0);
        (self.passed, self.recovered) = (0, 0);
        (self.task_frames, self.task_bytes) = (0, 0);
        self.evicted.clear();
        self.tickets.clear();
        for rule in &mut self.rules {
            *rule = RuleTally::default();
        }
    }
}
