//! Puts a revision together, in the order of fields of `contracts.md` §5.

use crate::event::record::Record;
use crate::event::{Field, Value};
use crate::rules::program::{Path, Program, Rule, RuleIx};

use super::ids::{entity_id, entity_key};
use super::scope::{Scope, field};
use super::{Alert, Evidence, Occasion, dedup_key, explain, priority, response, size, template};

/// Topic that outcomes are written to.
const OUTCOMES: &str = "risk.outcomes";
/// Topic of decisions, which name every account that an alert touches.
const DECISIONS: &str = "risk.decisions";
/// Most source records shown.
const SAMPLE_MAX: usize = 10;

impl<'a> Occasion<'a> {
    /// What the rule's texts and tests can name.
    #[must_use]
    pub fn scope(&self) -> Scope<'a> {
        Scope {
            program: self.program,
            rule: self.rule,
            entity: self.entity,
            profile: self.profile,
            user: self.user,
            observed: self.observed,
            captured: self.captured,
            attach: self.attach,
            severity: self.severity,
        }
    }
}

/// Builds a revision. Equal occasions give equal bytes.
#[must_use]
pub fn build(occasion: &Occasion<'_>) -> Alert {
    let scope = occasion.scope();
    let rule = occasion.rule;
    let kind = rule.entity.kind();
    let dedup = dedup_key(&rule.family, &kind, occasion.entity, occasion.dedup);
    let summary = match occasion.keep_summary {
        Some(kept) => kept.to_owned(),
        None => template::render(&rule.alert.summary, &scope),
    };
    let revision = i64::from(occasion.revision);
    let id = format!("{}/{revision}", occasion.alert_id);
    let data = head(occasion, &dedup, &id)
        .with("rule", rule_record(rule))
        .texts("members", ids(occasion.program, occasion.members))
        .texts("supersedes", ids(occasion.program, occasion.supersedes))
        .text("severity", occasion.severity.name())
        .text("category", rule.category.name())
        .text("cause", cause(&scope))
        .with("customer_reported_first", Value::Bool(occasion.customer_reported_first))
        .with("priority", priority::priority(occasion))
        .with("entity", entity(occasion, &kind))
        .with("account", account(occasion))
        .with("affected", affected(occasion))
        .with("times", times(occasion))
        .text("summary", summary.as_str())
        .with("explanation", explain::explanation(occasion, &scope))
        .with("evidence", evidence(occasion))
        .with("attach", attached(occasion))
        .text("parent", occasion.terms.parent.as_deref())
        .with("response", response::response(occasion, &scope))
        .with("contact", contact(occasion))
        .with("experiment", occasion.terms.experiment.map(|group| experiment(group, false)))
        .with("reply_to", Record::new().text("topic", OUTCOMES).build())
        .with("origin", origin(occasion))
        .text("traceparent", occasion.traceparent)
        .build();
    Alert {
        key: entity_key(&kind, occasion.entity),
        closes: occasion.action.closes(),
        rule: place(occasion.program, rule),
        action: occasion.action,
        summary,
        data: size::limited(data),
        attributes: attributes(occasion, id, &kind),
        dedup_key: dedup,
    }
}

fn head(occasion: &Occasion<'_>, dedup: &str, id: &str) -> Record {
    Record::new()
        .text("alert_id", occasion.alert_id)
        .int("revision", i64::from(occasion.revision))
        .text("action", occasion.action.name())
        .text("status", occasion.status)
        .text("reason", occasion.reason)
        .text("dedup_key", dedup)
        .text("idempotency_key", id)
}

fn rule_record(rule: &Rule) -> Value<'static> {
    Record::new()
        .text("id", rule.written_id())
        .text("version", &*rule.version)
        .text("title", &*rule.title)
        .text("family", &*rule.family)
        .build()
}

fn ids<'a>(program: &'a Program, rules: &'a [RuleIx]) -> impl Iterator<Item = &'a str> {
    rules.iter().filter_map(|rule| program.rules.get(usize::from(rule.0))).map(Rule::written_id)
}

/// Place of a rule in its program, whose rules are sorted by id.
pub(super) fn place(program: &Program, rule: &Rule) -> RuleIx {
    let place = program.rules.iter().position(|own| own.id == rule.id).unwrap_or(0);
    RuleIx(u16::try_from(place).unwrap_or(u16::MAX))
}

/// Whom an alert across accounts touches: whom it was asked for, else who is counted.
fn affected(occasion: &Occasion<'_>) -> Option<Value<'static>> {
    let list = |field: Field| {
        let own = occasion.captured.iter().find(|(path, _)| *path == Path::Field(field));
        own.map(|(_, value)| value.clone())
    };
    if let Some(own) = &occasion.terms.affected {
        let top = own.top.iter().map(|member| {
            Record::new()
                .text("account_id", &*member.account)
                .int("tier", member.tier)
                .int("arr_minor", member.arr_minor)
                .build()
        });
        let record = Record::new()
            .int("count", i64::try_from(own.accounts).unwrap_or(i64::MAX))
            .with("exact", Value::Bool(own.is_exact))
            .int("arr_minor", own.arr_minor)
            .with("services", list(Field::Services))
            .with("regions", list(Field::Regions))
            .with("top", Value::List(top.collect()))
            .text("more", DECISIONS);
        return Some(record.build());
    }
    let counted = occasion.rule.conditions.iter().zip(occasion.observed);
    let counted = counted.filter(|(condition, _)| !condition.detector.is_eventful());
    let accounts = counted.filter_map(|(_, seen)| seen.accounts).max();
    let accounts = accounts.filter(|_| !occasion.rule.entity.account)?;
    let record = Record::new().int("count", i64::try_from(accounts).unwrap_or(i64::MAX));
    Some(record.with("exact", Value::Bool(true)).build())
}

fn cause<'a>(scope: &Scope<'a>) -> Option<&'a str> {
    let own = scope.rule.alert.cause.as_deref();
    own.or_else(|| scope.captured(&Path::Field(Field::Cause)).and_then(Value::as_text))
}

/// The row: `user_id` for persons, else the part under its own name.
fn entity(occasion: &Occasion<'_>, kind: &str) -> Value<'static> {
    let record = Record::new()
        .text("type", kind)
        .text("id", entity_id(occasion.entity).as_str())
        .text("account_id", occasion.entity.account);
    let (Some(part), Some(id)) = (&occasion.rule.entity.part, occasion.entity.part) else {
        return record.build();
    };
    match &*part.name {
        "user" => record.text("user_id", id).build(),
        name => {
            let name = if name == "ticket" { "ticket_id" } else { name };
            let keys = vec![(name.to_owned().into(), Value::text(id.to_owned()))];
            record.with("keys", Value::Map(keys)).build()
        }
    }
}

/// What the profile says of the account; nothing across accounts.
fn account(occasion: &Occasion<'_>) -> Value<'static> {
    const SHOWN: [(&str, Field); 10] = [
        ("name", Field::Name),
        ("tier", Field::Tier),
        ("arr_minor", Field::ArrMinor),
        ("currency", Field::Currency),
        ("plan", Field::Plan),
        ("segment", Field::Segment),
        ("lifecycle", Field::Lifecycle),
        ("renewal_date", Field::RenewalDate),
        ("timezone", Field::Timezone),
        ("profile_version", Field::ProfileVersion),
    ];
    let profile = occasion.profile.filter(|_| occasion.entity.account.is_some());
    let record = SHOWN
        .into_iter()
        .fold(Record::new(), |record, (name, own)| record.with(name, field(profile, own).cloned()));
    record.build()
}

fn times(occasion: &Occasion<'_>) -> Value<'static> {
    Record::new()
        .with("onset", Value::Time(occasion.onset))
        .with("last_evidence", occasion.last_evidence.map(Value::Time))
        .with("detected", Value::Time(occasion.detected))
        .with("emitted", Value::Time(occasion.emitted))
        .with("respond_by", occasion.respond_by.map(Value::Time))
        .with("not_before", occasion.terms.not_before.map(Value::Time))
        .with("expires", occasion.expires.map(Value::Time))
        .build()
}

fn evidence(occasion: &Occasion<'_>) -> Value<'static> {
    let sample = |evidence: &Evidence| {
        Record::new()
            .text("topic", &*evidence.topic)
            .int("partition", i64::from(evidence.partition))
            .int("offset", evidence.offset)
            .with("time", Value::Time(evidence.time))
            .text("label", &*evidence.label)
            .build()
    };
    let count = i64::try_from(occasion.evidence_count).unwrap_or(i64::MAX);
    Record::new()
        .int("count", count)
        .with("sample", Value::List(occasion.evidence.iter().take(SAMPLE_MAX).map(sample).collect()))
        .build()
}

/// What the rule collected, as strings, by the name it gave them.
fn attached(occasion: &Occasion<'_>) -> Value<'static> {
    let named = occasion.rule.alert.attach.iter().zip(occasion.attach);
    let lists = named.filter(|(_, values)| !values.is_empty()).map(|(attach, values)| {
        let items = values.iter().map(|value| Value::text(super::ids::plain(value))).collect();
        (attach.name.to_string().into(), Value::List(items))
    });
    Value::Map(lists.collect())
}

fn contact(occasion: &Occasion<'_>) -> Value<'static> {
    let forbidden = response::do_not_contact(occasion.profile);
    Record::new()
        .with("allowed", Value::Bool(!forbidden))
        .with("do_not_contact", Value::Bool(forbidden))
        .int("budget_used", occasion.terms.spent.map(|spent| i64::from(spent.used)))
        .int("budget_max", occasion.terms.spent.map(|spent| i64::from(spent.max)))
        .with("last_contacted", occasion.terms.last_contacted.map(Value::Time))
        .build()
}

/// An account's place in an experiment.
pub(super) fn experiment(group: &str, control: bool) -> Value<'static> {
    Record::new().text("group", group).text("arm", if control { "control" } else { "treatment" }).build()
}

fn origin(occasion: &Occasion<'_>) -> Value<'static> {
    Record::new()
        .text("application_id", occasion.application_id)
        .int("journal_partition", i64::from(occasion.journal_partition))
        .int("journal_offset", occasion.journal_offset)
        .build()
}

/// `CloudEvents` attributes.
fn attributes(occasion: &Occasion<'_>, id: String, kind: &str) -> Vec<(&'static str, String)> {
    let mut attributes = vec![
        ("specversion", "1.0".to_owned()),
        ("id", id),
        ("source", format!("/forewarn/{}", occasion.application_id)),
        ("type", "forewarn.alert.v1".to_owned()),
        ("subject", format!("{kind}/{}", entity_id(occasion.entity))),
        ("time", occasion.emitted.to_string()),
        ("partitionkey", entity_key(kind, occasion.entity)),
    ];
    attributes.extend(occasion.traceparent.map(|trace| ("traceparent", trace.to_owned())));
    attributes
}
