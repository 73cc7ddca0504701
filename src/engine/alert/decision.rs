//! Decisions: what became of an activation (`contracts.md` §6).

use crate::event::record::Record;
use crate::event::{Timestamp, Value};
use crate::rules::program::{Mode, Program, Rule};

use super::explain::{rounded, summarized};
use super::ids::{entity_id, entity_key};
use super::ratio::rule_ratio;
use super::{Decision, EntityRef, Observed, Reason, Verdict, build, dedup_key};

/// Everything a decision is built from.
#[derive(Debug, Clone, Copy)]
pub struct DecisionInput<'a> {
    /// Journal time.
    pub at: Timestamp,
    /// The compiled rules.
    pub program: &'a Program,
    /// The rule; its mode is that of the decision.
    pub rule: &'a Rule,
    /// The row.
    pub entity: EntityRef<'a>,
    /// Values of the rule's `dedup` fields.
    pub dedup: &'a [Value<'static>],
    /// What became of the activation.
    pub verdict: Verdict,
    /// The gate that holds it.
    pub reason: Option<Reason>,
    /// Whether this is the last word on it.
    pub last: bool,
    /// Journal time at which the gate may lift.
    pub until: Option<Timestamp>,
    /// The alert it opened or joined.
    pub alert_id: Option<&'a str>,
    /// One entry a condition.
    pub observed: &'a [Observed],
    /// The account that an alert across accounts hits.
    pub affected: Option<&'a str>,
    /// The experiment and whether the account is in its control arm, where that decides.
    pub experiment: Option<(&'a str, bool)>,
    /// The journal partition of the task.
    pub journal_partition: u16,
    /// The journal record at which it was decided.
    pub journal_offset: i64,
    /// Place among the decisions of that record.
    pub index: u32,
}

/// Builds a decision.
#[must_use]
pub fn decision(input: &DecisionInput<'_>) -> Decision {
    let rule = input.rule;
    let kind = rule.entity.kind();
    let conditions = rule.conditions.iter().zip(input.observed);
    let conditions = conditions.map(|(condition, observed)| summarized(condition, observed)).collect();
    let ratio = rule_ratio(rule, input.observed).map(|ratio| Value::Double(rounded(ratio, 1.0)));
    let origin = Record::new()
        .int("journal_partition", i64::from(input.journal_partition))
        .int("journal_offset", input.journal_offset)
        .int("index", i64::from(input.index))
        .build();
    let data = Record::new()
        .with("at", Value::Time(input.at))
        .text("rule", rule.written_id())
        .text("rule_version", &*rule.version)
        .text("family", &*rule.family)
        .text("entity_type", kind.as_str())
        .text("entity_id", entity_id(input.entity).as_str())
        .text("dedup_key", dedup_key(&rule.family, &kind, input.entity, input.dedup).as_str())
        .text("account_id", input.affected.or(input.entity.account))
        .text("mode", if rule.mode == Mode::Shadow { "shadow" } else { "live" })
        .text("decision", input.verdict.name())
        .text("reason", input.reason.map(Reason::name))
        .with("final", Value::Bool(input.last))
        .with("until", input.until.map(Value::Time))
        .text("alert_id", input.alert_id)
        .with("ratio", ratio)
        .with("conditions", Value::List(conditions))
        .with("experiment", input.experiment.map(|(group, control)| build::experiment(group, control)))
        .with("origin", origin)
        .build();
    Decision { key: entity_key(&kind, input.entity), rule: build::place(input.program, rule), data }
}
