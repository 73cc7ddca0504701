//! Compares what came out with what a test expects, and says readably what differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Entry, Node, Scalar, duration_ms};
use crate::event::Value;
use crate::rules::program::{Literal, Path, Program, Variable};
use crate::rules::{Case, Expected, Outcome};

/// What came out of a test.
#[derive(Debug, Default)]
pub(super) struct Actual {
    /// `data` of the revisions.
    pub(super) alerts: Vec<Value<'static>>,
    /// The decisions.
    pub(super) decisions: Vec<Value<'static>>,
    /// Given records that intake refused: mistakes of the test.
    pub(super) dead: Vec<String>,
    /// The rules.
    pub(super) rules: Option<Arc<Program>>,
    /// The given records by topic and offset.
    pub(super) given: BTreeMap<(Box<str>, i64), Value<'static>>,
}

impl Actual {
    /// A field of the firing event: of the newest record among an alert's evidence.
    fn firing<'v>(&'v self, name: &str, alert: &Value<'static>) -> Option<&'v Value<'static>> {
        let Some(Value::List(sample)) = path(alert, &["evidence", "sample"]) else { return None };
        let newest = sample.iter().max_by_key(|own| (time(own.entry("time")), whole(own.entry("offset"))))?;
        let key = (text(newest, "topic").into(), whole(newest.entry("offset"))?);
        let record = self.given.get(&key)?;
        path(record, &name.trim_start_matches("event.").split('.').collect::<Vec<_>>())
    }
}

impl Actual {
    /// A column of the row that a lookup of the alert's rule finds.
    fn column(&self, name: &str, alert: &Value<'static>) -> Option<Value<'static>> {
        let (lookup, column) = name.split_once('.')?;
        let (rules, id) = (self.rules.as_ref()?, path(alert, &["rule", "id"])?.as_text()?);
        let rule = rules.rules.iter().find(|rule| rule.written_id() == id)?;
        let lookup = rule.lookups.iter().find(|own| *own.name == *lookup)?;
        let part = |variable: &Variable| match variable {
            Variable::EntityPart => {
                let part = path(alert, &["entity", "id"])?.as_text()?;
                Some(part.rsplit('/').next().unwrap_or(part).to_owned())
            }
            Variable::Path(Path::Field(field)) => key_part(self.firing(field.spec().name, alert)?),
            Variable::Path(Path::Property(name)) => {
                key_part(self.firing(&format!("properties.{name}"), alert)?)
            }
            Variable::Path(Path::Account(field)) => key_part(path(alert, &["account", field.spec().name])?),
            _ => None,
        };
        let key: Option<Vec<String>> = lookup.by.iter().map(part).collect();
        let rows = &rules.tables.get(usize::from(lookup.table.0))?.rows;
        let row = |key: &str| rows.iter().find(|(own, _)| **own == *key);
        let (_, cells) = row(&key.unwrap_or_default().join("/")).or_else(|| row("*"))?;
        match cells.iter().find(|(own, _)| **own == *column)?.1.as_slice() {
            [Literal::Text(text)] => Some(Value::text(text.to_string())),
            [Literal::Bool(flag)] => Some(Value::Bool(*flag)),
            [Literal::Number(number)] => Some(Value::Double(number.to_f64())),
            _ => None,
        }
    }
}

fn key_part(value: &Value<'static>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn whole(value: Option<&Value<'_>>) -> Option<i64> {
    match value {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// What differs; empty: the test passed.
pub(super) fn compare(case: &Case, actual: &Actual) -> Vec<String> {
    let mut differences = actual.dead.clone();
    revisions(case, actual, &mut differences);
    for expected in &case.expect {
        let Outcome::Withheld(reason) = &expected.what else { continue };
        if !actual.decisions.iter().any(|decision| is_withheld(decision, expected, reason)) {
            let seen: Vec<String> = actual.decisions.iter().map(|own| decision(case, own)).collect();
            let seen = if seen.is_empty() { "no decision at all".to_owned() } else { seen.join(", ") };
            differences.push(format!("expected {}, but there is {seen}", line(case, expected)));
        }
    }
    differences
}

fn revisions(case: &Case, actual: &Actual, differences: &mut Vec<String>) {
    let action_of = |expected: &Expected| match &expected.what {
        Outcome::Action(action) => Some(action.clone()),
        Outcome::Withheld(_) => None,
    };
    let listed = |action: &str| case.expect.iter().any(|own| action_of(own).as_deref() == Some(action));
    let optional: Vec<&str> = ["updated", "reminder"].into_iter().filter(|action| !listed(action)).collect();
    let alerts: Vec<&Value<'_>> =
        actual.alerts.iter().filter(|alert| !optional.contains(&text(alert, "action"))).collect();
    let expected: Vec<&Expected> = case.expect.iter().filter(|own| action_of(own).is_some()).collect();
    for place in 0..expected.len().max(alerts.len()) {
        match (expected.get(place), alerts.get(place)) {
            (Some(expected), Some(alert)) => {
                let wrong = fields(expected, alert, (case, actual));
                if !wrong.is_empty() {
                    let (expected, alert) = (line(case, expected), revision(case, alert));
                    differences.push(format!("expected {expected}, got {alert}: {}", wrong.join(", ")));
                    // What follows is most likely only shifted.
                    return;
                }
            }
            (Some(expected), None) => {
                differences.push(format!("expected {}, but nothing more came", line(case, expected)));
            }
            (None, Some(alert)) => {
                differences.push(format!("got {}, which is not expected", revision(case, alert)));
            }
            (None, None) => {}
        }
    }
}

fn text<'v>(value: &'v Value<'_>, name: &str) -> &'v str {
    value.entry(name).and_then(Value::as_text).unwrap_or_default()
}

fn path<'v>(value: &'v Value<'static>, path: &[&str]) -> Option<&'v Value<'static>> {
    path.iter().try_fold(value, |value, name| value.entry(name))
}

fn time(value: Option<&Value<'_>>) -> Option<i64> {
    match value {
        Some(Value::Time(time)) => Some(time.0),
        _ => None,
    }
}

fn emitted(alert: &Value<'static>) -> Option<i64> {
    time(path(alert, &["times", "emitted"]))
}

/// A time as the test writes it: since its start.
fn since(case: &Case, at: i64) -> String {
    crate::document::duration_text(at - case.start.0)
}

fn line(case: &Case, expected: &Expected) -> String {
    let mut parts = vec![format!("at: {}", since(case, expected.at.0))];
    match &expected.what {
        Outcome::Action(action) => parts.push(format!("action: {action}")),
        Outcome::Withheld(reason) => parts.push(format!("withheld: {reason}")),
    }
    parts.extend(expected.fields.iter().map(|entry| format!("{}: {}", entry.key, entry.node.shown())));
    format!("{{{}}}", parts.join(", "))
}

fn revision(case: &Case, alert: &Value<'static>) -> String {
    let at = emitted(alert).map_or_else(|| "?".to_owned(), |at| since(case, at));
    let of = |names: &[&str]| path(alert, names).and_then(Value::as_text).unwrap_or_default();
    let rule = of(&["rule", "id"]);
    let (action, severity, entity) = (of(&["action"]), of(&["severity"]), of(&["entity", "id"]));
    format!("{{at: {at}, action: {action}, rule: {rule}, entity: {entity}, severity: {severity}}}")
}

fn decision(case: &Case, decision: &Value<'static>) -> String {
    let at = time(decision.entry("at")).map_or_else(|| "?".to_owned(), |at| since(case, at));
    let (verdict, reason, rule) =
        (text(decision, "decision"), text(decision, "reason"), text(decision, "rule"));
    format!("{{at: {at}, {verdict}: {reason}, rule: {rule}}}")
}

fn is_withheld(decision: &Value<'static>, expected: &Expected, reason: &str) -> bool {
    let named = |name: &str, own: &str| {
        let wanted = expected.fields.iter().find(|entry| &*entry.key == name);
        wanted.and_then(|entry| entry.node.scalar()).is_none_or(|scalar| scalar.text() == text(decision, own))
    };
    matches!(text(decision, "decision"), "withheld" | "suppressed")
        && text(decision, "reason") == reason
        && time(decision.entry("at")) == Some(expected.at.0)
        && named("rule", "rule")
        && named("entity", "entity_id")
}

/// What of a line does not hold for a revision.
fn fields(expected: &Expected, alert: &Value<'static>, (case, actual): (&Case, &Actual)) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Outcome::Action(action) = &expected.what
        && text(alert, "action") != &**action
    {
        wrong.push(format!("action is {}", text(alert, "action")));
    }
    match emitted(alert) {
        Some(at) if at == expected.at.0 => {}
        Some(at) => wrong.push(format!("at is {}", since(case, at))),
        None => wrong.push("it has no time".to_owned()),
    }
    wrong.extend(expected.fields.iter().filter_map(|entry| field(entry, alert, actual)));
    wrong
}

/// `None` where it holds.
fn field(entry: &Entry, alert: &Value<'static>, actual: &Actual) -> Option<String> {
    let name = &*entry.key;
    let found = match name {
        "rule" => path(alert, &["rule", "id"]),
        "entity" => path(alert, &["entity", "id"]),
        "severity" => alert.entry("severity"),
        "owner" => return owner(&entry.node, alert),
        _ => variable(name, alert).or_else(|| actual.firing(name, alert)),
    };
    let column = if found.is_none() { actual.column(name, alert) } else { None };
    let Some(found) = found.or(column.as_ref()) else {
        return Some(format!("{name} is neither in the alert nor in its firing event"));
    };
    if holds(&entry.node, found) { None } else { Some(format!("{name} is {}", shown(found))) }
}

/// The owner's role or id.
fn owner(node: &Node, alert: &Value<'static>) -> Option<String> {
    let owner = path(alert, &["response", "owner"]);
    let wanted = node.scalar().map_or("", Scalar::text).trim_start_matches("role:");
    let parts = ["role", "id"].map(|part| owner.map_or("", |owner| text(owner, part)));
    if parts.contains(&wanted) { None } else { Some(format!("owner is {}", parts.join(" "))) }
}

/// The condition that a variable belongs to, and the output it names.
fn condition<'v, 'n>(name: &'n str, alert: &'v Value<'static>) -> Option<(&'v Value<'static>, &'n str)> {
    let Some(Value::List(conditions)) = path(alert, &["explanation", "conditions"]) else { return None };
    if let Some((own, output)) = name.split_once('.')
        && let Some(found) = conditions.iter().find(|condition| text(condition, "name") == own)
    {
        return Some((found, output));
    }
    match conditions.as_slice() {
        [only] => Some((only, name)),
        _ => None,
    }
}

/// A variable of the rule, where the alert record carries it.
fn variable<'v>(name: &str, alert: &'v Value<'static>) -> Option<&'v Value<'static>> {
    let output = condition(name, alert).and_then(|(condition, output)| {
        condition.entry(match output {
            "value" | "elapsed" => "observed",
            // Level: what is measured, and what it is a share of.
            // Milestone: the steps that are done, of all.
            "used" | "done" => "current",
            "total" | "previous" | "expected" | "cap" | "median" | "usual_gap" => "baseline",
            "p" => "p_value",
            "met" | "threshold" | "current" | "band" | "step" => output,
            _ => return None,
        })
    });
    let of_account = || name.strip_prefix("account.").and_then(|field| path(alert, &["account", field]));
    let of_entity = || path(alert, &["entity", name]).or_else(|| path(alert, &["entity", "keys", name]));
    let of_affected = || path(alert, &["affected", "count"]).filter(|_| name == "accounts");
    let of_alert = || of_affected().or_else(|| path(alert, &["attach", name]));
    output.or_else(of_account).or_else(of_entity).or_else(of_alert)
}

fn shown(value: &Value<'_>) -> String {
    crate::event::record::to_json(value)
}

/// Whether a value is the written one; numbers at the precision at which they are written.
fn holds(node: &Node, found: &Value<'static>) -> bool {
    let number = match found {
        #[expect(clippy::cast_precision_loss, reason = "what tests state is far below 2^53")]
        Value::Int(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    };
    match (number, found, node.one_or_more()) {
        (None, Value::List(items), wanted) => {
            items.len() == wanted.len() && items.iter().zip(wanted).all(|(item, wanted)| holds(wanted, item))
        }
        (Some(number), _, [wanted]) => wanted.scalar().is_some_and(|scalar| equals(scalar.text(), number)),
        (None, Value::Bool(value), [wanted]) => wanted.scalar().and_then(Scalar::as_bool) == Some(*value),
        (None, Value::Time(time), [wanted]) => {
            let written = wanted.scalar().map_or("", Scalar::text);
            crate::event::Timestamp::parse(written).is_ok_and(|written| written == *time)
        }
        (None, Value::Date(day), [wanted]) => {
            wanted.scalar().is_some_and(|scalar| scalar.text() == crate::event::date_text(*day))
        }
        (None, Value::Text(text), [wanted]) => wanted.scalar().is_some_and(|scalar| scalar.text() == text),
        _ => false,
    }
}

/// Whether a number is the written one, rounded half away from zero to the last digit or unit that is written.
#[expect(clippy::float_cmp, reason = "both sides are rounded to whole numbers")]
fn equals(written: &str, number: f64) -> bool {
    if let Some(ms) = duration_ms(written) {
        let unit = written.trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '-');
        let last = unit.rsplit(|sign: char| sign.is_ascii_digit()).next().unwrap_or_default();
        let step = duration_ms(&format!("1{last}")).unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "durations of tests are far below 2^53 ms")]
        return (number / step as f64).round() == (ms / step) as f64;
    }
    let (digits, factor) = match written.strip_suffix('%') {
        Some(digits) => (digits, 100.0),
        None => (written, 1.0),
    };
    let places = digits.split_once('.').map_or(0, |(_, part)| part.len());
    let scale = 10_f64.powi(i32::try_from(places).unwrap_or(0));
    digits.parse::<f64>().is_ok_and(|wanted| (number * factor * scale).round() == (wanted * scale).round())
}

#[cfg(test)]
mod tests {
    use super::equals;

    #[test]
    fn numbers_compare_at_the_precision_written() {
        for (written, number) in [
            ("-44%", -0.443),
            ("-44.3%", -0.443),
            ("3", 3.0),
            ("2.7", 2.72),
            ("7d", 604_800_000.0),
            ("1h30m", 5_400_100.0),
            ("20%", 0.2),
        ] {
            assert!(equals(written, number), "{written} {number}");
        }
        for (written, number) in
            [("-44%", -0.446), ("3", 3.6), ("2.72", 2.7), ("7d", 561_600_000.0 - 86_400_000.0), ("x", 1.0)]
        {
            assert!(!equals(written, number), "{written} {number}");
        }
    }
}
