//! Alerts and decisions: what a revision says, built from what the lifecycle knows.
//!
//! [`Occasion`] is all that a revision is built from; [`Alert`] and [`Decision`] are the records of `contracts.md` §5 and §6.

mod build;
mod clearing;
mod decision;
mod explain;
mod forms;
mod ids;
mod priority;
mod ratio;
mod response;
mod scope;
mod sentences;
mod size;
mod template;
mod times;

pub use build::build;
pub use decision::{DecisionInput, decision};
pub use forms::{Datum, Form, exponent};
pub use ids::{alert_id, dedup_key, entity_id, entity_key};
pub use ratio::{ratio, rule_ratio};
pub use scope::{Scope, TableRow};
pub use size::ALERT_BYTES_MAX;
pub use template::{captured_paths, render};
pub use times::LocalZone;

use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Path, Program, Rule, RuleIx, Severity};

use super::affected::Affected;
use super::dealings::Spent;
use super::number::Exact;

/// What happened to an alert (`contracts.md` §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the closed list of contracts.md §5.1, which says when each happens")]
pub enum Action {
    Opened = 0,
    Updated = 1,
    Escalated = 2,
    Reminder = 3,
    Acknowledged = 4,
    Resolved = 5,
    Expired = 6,
    Withdrawn = 7,
}

impl Action {
    /// All actions, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Opened,
        Self::Updated,
        Self::Escalated,
        Self::Reminder,
        Self::Acknowledged,
        Self::Resolved,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Escalated => "escalated",
            Self::Reminder => "reminder",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether it closes the alert.
    #[must_use]
    pub const fn closes(self) -> bool {
        matches!(self, Self::Resolved | Self::Expired | Self::Withdrawn)
    }
}

/// Why an activation is withheld or suppressed: the gates of `contracts.md` §5.1, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the closed list of contracts.md §5.1, which says what each means")]
pub enum Reason {
    OutOfScope = 0,
    Shadow = 1,
    Warming = 2,
    InsufficientHistory = 3,
    NotSignificant = 4,
    SourceStalled = 5,
    ExpiredBeforeEmit = 6,
    Snoozed = 7,
    Inhibited = 8,
    Family = 9,
    Cooldown = 10,
    Holdout = 11,
    ContactBudget = 12,
    QuietHours = 13,
}

impl Reason {
    /// All reasons, in the order of the gates.
    pub const ALL: [Self; 14] = [
        Self::OutOfScope,
        Self::Shadow,
        Self::Warming,
        Self::InsufficientHistory,
        Self::NotSignificant,
        Self::SourceStalled,
        Self::ExpiredBeforeEmit,
        Self::Snoozed,
        Self::Inhibited,
        Self::Family,
        Self::Cooldown,
        Self::Holdout,
        Self::ContactBudget,
        Self::QuietHours,
    ];

    /// Whether it says that a guard fails: the threshold is met, but it does not count.
    #[must_use]
    pub const fn is_guard(self) -> bool {
        matches!(self, Self::Warming | Self::InsufficientHistory | Self::NotSignificant | Self::SourceStalled)
    }

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OutOfScope => "out_of_scope",
            Self::Shadow => "shadow",
            Self::Warming => "warming",
            Self::InsufficientHistory => "insufficient_history",
            Self::NotSignificant => "not_significant",
            Self::SourceStalled => "source_stalled",
            Self::ExpiredBeforeEmit => "expired_before_emit",
            Self::Snoozed => "snoozed",
            Self::Inhibited => "inhibited",
            Self::Family => "family",
            Self::Cooldown => "cooldown",
            Self::Holdout => "holdout",
            Self::ContactBudget => "contact_budget",
            Self::QuietHours => "quiet_hours",
        }
    }
}

/// What a decision says of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the closed list of contracts.md §6, which says what each means")]
pub enum Verdict {
    Opened,
    Merged,
    Withheld,
    Suppressed,
    Affected,
}

impl Verdict {
    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Merged => "merged",
            Self::Withheld => "withheld",
            Self::Suppressed => "suppressed",
            Self::Affected => "affected",
        }
    }
}

/// What a value of a condition is counted in, for templates and `unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Events, values.
    Count,
    /// Milliseconds.
    Ms,
    /// Smallest unit of a currency.
    Minor,
    /// A share or relative change, 1 = 100 %.
    Share,
    /// Local days.
    Days,
    /// Anything else.
    Number,
}

/// What a condition saw when it was judged last. Missing outputs are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Whether the condition holds (threshold and guards).
    pub met: bool,
    /// Threshold met, but this guard failed.
    pub guard: Option<Reason>,
    /// The value, and what it is counted in.
    pub value: Option<Exact>,
    /// Unit of value and threshold.
    pub unit: Unit,
    /// Highest rung reached, from 1; 0: none.
    pub rung: u8,
    /// Since when it holds, event time.
    pub onset: Option<Timestamp>,
    /// Matches in the window (current window).
    pub events: Option<u64>,
    /// Distinct accounts among them.
    pub accounts: Option<u64>,
    /// Absence: time without a match, ms.
    pub elapsed_ms: Option<i64>,
    /// Absence: the last match.
    pub last_seen: Option<Timestamp>,
    /// Absence: own usual gap, ms.
    pub usual_gap_ms: Option<i64>,
    /// Compare: the current window's measure. Level: what is measured, in the same unit. Milestone: the steps that are
    /// done. Cadence: the running bucket.
    pub current: Option<Exact>,
    /// Compare: the previous window's measure. Level: what it is a share of. Milestone: all steps. Cadence: what was usual
    /// before.
    pub previous: Option<Exact>,
    /// Unit of current and previous.
    pub measure_unit: Unit,
    /// p-value of the significance guard.
    pub p_value: Option<f64>,
    /// The judged window (from, to], written with exclusive end.
    pub window: Option<(Timestamp, Timestamp)>,
    /// The window it is compared with.
    pub baseline_window: Option<(Timestamp, Timestamp)>,
    /// Score: which band it is in, from 0.
    pub band: Option<u8>,
    /// Score: what its factors give, in 256ths of a point, the weightiest first.
    pub factors: Vec<(u8, i64)>,
    /// Milestone: the number of the step that is overdue first, else missing first.
    pub step: Option<u8>,
    /// Milestone: the numbers of the steps that are not done.
    pub missing: Vec<u8>,
    /// Level: when its limit is reached, at the pace of late; none without one.
    pub eta: Option<Timestamp>,
    /// Cadence: the buckets that are judged, the oldest first, in the unit of the measure.
    pub buckets: Vec<Exact>,
    /// How much of the window was lost because too little came of its source, ms.
    pub lost_ms: i64,
}

/// A row's entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityRef<'a> {
    /// The account, unless the row is across accounts.
    pub account: Option<&'a str>,
    /// The other part of the key.
    pub part: Option<&'a str>,
}

/// One source record behind an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The source topic.
    pub topic: Box<str>,
    /// Its partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Event time.
    pub time: Timestamp,
    /// What it was, in our words: the event's name and its telling fields.
    pub label: Box<str>,
}

/// Everything a revision is built from.
#[derive(Debug, Clone)]
pub struct Occasion<'a> {
    /// `application_id` of the deployment.
    pub application_id: &'a str,
    /// The journal partition of the task.
    pub journal_partition: u16,
    /// The journal record that made this revision.
    pub journal_offset: i64,
    /// The compiled rules.
    pub program: &'a Program,
    /// The leading rule.
    pub rule: &'a Rule,
    /// Rules of the family that hold now, by rank.
    pub members: &'a [RuleIx],
    /// Rules of the family that once led and were outranked.
    pub supersedes: &'a [RuleIx],
    /// Identity: alert id, from [`alert_id`].
    pub alert_id: &'a str,
    /// From 1.
    pub revision: u32,
    /// What happened.
    pub action: Action,
    /// What the alert is now: firing, acknowledged, resolved, expired, withdrawn.
    pub status: &'a str,
    /// Why, for closing and escalated revisions.
    pub reason: Option<&'a str>,
    /// The severity now.
    pub severity: Severity,
    /// The row.
    pub entity: EntityRef<'a>,
    /// Values of the rule's `dedup` fields.
    pub dedup: &'a [Value<'static>],
    /// The newest account.updated: its fields, sorted.
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    /// The row's user: user.updated, else the contact.
    pub user: Option<&'a [(Field, Value<'static>)]>,
    /// What the account's sentiment counts in priorities, 1 to 5; `None`: not known.
    pub sentiment: Option<i64>,
    /// Whether a ticket on the same issue came in between onset and detection.
    pub customer_reported_first: bool,
    /// One entry a condition of the leading rule.
    pub observed: &'a [Observed],
    /// Fields of the firing event that the rule names (see [`captured_paths`]).
    pub captured: &'a [(Path, Value<'static>)],
    /// One list an `attach` of the rule, newest first.
    pub attach: &'a [Vec<Value<'static>>],
    /// How many matches stand behind the alert.
    pub evidence_count: u64,
    /// The newest of them, at most 10.
    pub evidence: &'a [Evidence],
    /// Days since the entity's first event.
    pub history_days: Option<i64>,
    /// Late events counted in this entity's windows since the opening.
    pub late_events: u64,
    /// Event time: since when the condition holds.
    pub onset: Timestamp,
    /// Event time of the newest match.
    pub last_evidence: Option<Timestamp>,
    /// Journal time of the opening revision.
    pub detected: Timestamp,
    /// Journal time of this revision.
    pub emitted: Timestamp,
    /// Journal time by which somebody should answer.
    pub respond_by: Option<Timestamp>,
    /// Journal time at which the alert expires.
    pub expires: Option<Timestamp>,
    /// The summary to repeat (closing revisions keep the last).
    pub keep_summary: Option<&'a str>,
    /// W3C trace context of the firing event.
    pub traceparent: Option<&'a str>,
    /// What policies add.
    pub terms: Terms<'a>,
}

/// What policies add to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms<'a> {
    /// Which steps of the rule's escalation were taken, as bits.
    pub taken: u8,
    /// Journal time before which no customer may be contacted.
    pub not_before: Option<Timestamp>,
    /// Journal time by which the next step is due, if that is counted in business days.
    pub due: Option<Timestamp>,
    /// What is used of the budget of contacts.
    pub spent: Option<Spent>,
    /// Journal time of the last contact.
    pub last_contacted: Option<Timestamp>,
    /// The experiment in whose treatment arm the account is.
    pub experiment: Option<&'a str>,
    /// What the feature that it is about counts in priorities, 1 to 5; `None`: nothing is known of it.
    pub feature_severity: Option<u8>,
    /// The alert that stands in the place of this one.
    pub parent: Option<Box<str>>,
    /// Whom it touches, if that was asked.
    pub affected: Option<Box<Affected>>,
}

/// A revision of an alert, ready to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Key of the alerts topic: the entity key.
    pub key: String,
    /// Key of the compacted state topic.
    pub dedup_key: String,
    /// Whether this revision closes the alert: the state topic gets a tombstone.
    pub closes: bool,
    /// Place of the leading rule, for the metrics.
    pub rule: RuleIx,
    /// What happened, for the metrics.
    pub action: Action,
    /// The summary, for the next revision and for logs.
    pub summary: String,
    /// `data` of the contract, in the contract's order, without nulls and empty collections.
    pub data: Value<'static>,
    /// `CloudEvents` attributes, in binary mode the `ce_…` headers: names without prefix.
    pub attributes: Vec<(&'static str, String)>,
}

/// A decision about an activation, ready to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Key of the decisions topic: the entity key.
    pub key: String,
    /// Place of the rule, for the metrics.
    pub rule: RuleIx,
    /// The record of `contracts.md` §6.
    pub data: Value<'static>,
}

#[cfg(test)]
mod tests;
