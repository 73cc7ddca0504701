//! Why a rule fired: each condition with its numbers, and what would have to change.

use crate::engine::number::Exact;
use crate::event::Value;
use crate::event::record::Record;
use crate::rules::program::{Condition, Detector};

use super::ratio::ratio;
use super::scope::{Scope, band, reached, rungs};
use super::{LocalZone, Observed, Occasion, Unit, sentences, times};

/// The `explanation` of an alert.
pub(super) fn explanation(occasion: &Occasion<'_>, scope: &Scope<'_>) -> Value<'static> {
    let each = scope.rule.conditions.iter().zip(scope.observed);
    let conditions = each.map(|(condition, observed)| explained(scope, condition, observed)).collect();
    let quality = Record::new()
        .int("history_days", occasion.history_days)
        .with("coverage", coverage(scope.observed).map(double))
        .int("late_events", i64::try_from(occasion.late_events).unwrap_or(i64::MAX))
        .build();
    Record::new()
        .with("conditions", Value::List(conditions))
        .with("factors", factors(scope))
        .text("would_clear_when", sentences::would_clear_when(scope).as_deref())
        .text("would_not_have_fired_if", sentences::would_not_have_fired_if(scope).as_deref())
        .with("data_quality", quality)
        .build()
}

/// The share of the windows in which enough came of their sources, of the window that has lost most; nothing if none has.
fn coverage(observed: &[Observed]) -> Option<f64> {
    let shares = observed.iter().filter(|own| own.lost_ms > 0).filter_map(|own| {
        let (from, to) = own.window?;
        let seen = Exact::ratio(i128::from(to.since(from) - own.lost_ms), i128::from(to.since(from)))?;
        Some(rounded(seen.to_f64(), 1.0))
    });
    shares.min_by(f64::total_cmp)
}

/// What the factors of the rule's scores give.
fn factors(scope: &Scope<'_>) -> Option<Value<'static>> {
    let each = scope.rule.conditions.iter().zip(scope.observed);
    let factors = each.flat_map(|(condition, observed)| scope.factors(condition, observed));
    let records: Vec<Value<'static>> = factors
        .map(|it| Record::new().text("name", it.name).with("points", number(it.points)).build())
        .collect();
    if records.is_empty() { None } else { Some(Value::List(records)) }
}

fn explained(scope: &Scope<'_>, condition: &Condition, observed: &Observed) -> Value<'static> {
    let zone = LocalZone::named(times::zone_name(zone_source(scope, condition), scope.profile, scope.user));
    let window = |window| times::interval(window, zone);
    let unit = match condition.detector {
        Detector::Event { .. } => None,
        Detector::Compare { .. } => Some(observed.measure_unit),
        Detector::Milestone { .. } => Some(Unit::Ms),
        Detector::Level { .. } if observed.previous.is_some() => Some(observed.measure_unit),
        _ => Some(observed.unit),
    };
    numbers(condition, observed)
        .with("p_value", observed.p_value.map(|p| Value::Double(significant(p))))
        .with("current", observed.current.map(number))
        .with("baseline", observed.previous.or(observed.usual_gap_ms.map(Exact::whole)).map(number))
        .text("unit", unit.map(unit_name))
        .text("window", observed.window.map(window).as_deref())
        .text("baseline_window", observed.baseline_window.map(window).as_deref())
        .text("band", band(condition, observed))
        .text("step", observed.step.and_then(|step| scope.course(condition)?.name(step)))
        .build()
}

/// Name to ratio of a condition of an alert.
fn numbers(condition: &Condition, observed: &Observed) -> Record {
    Record::new()
        .text("name", name(condition))
        .text("detector", condition.detector.name())
        .text("op", rungs(condition).first().map_or("match", |rung| rung.op.name()))
        .with("met", Value::Bool(observed.met))
        .with("observed", shown_value(condition, observed))
        .with("threshold", threshold(condition, observed))
        .with("ratio", ratio(condition, observed).map(|ratio| double(rounded(ratio, 1.0))))
}

/// A condition of a decision.
pub(super) fn summarized(condition: &Condition, observed: &Observed) -> Value<'static> {
    Record::new()
        .text("name", name(condition))
        .with("observed", shown_value(condition, observed))
        .with("threshold", threshold(condition, observed))
        .with("met", Value::Bool(observed.met))
        .build()
}

/// The name in the rule, or that of the detector where the rule needs none.
fn name(condition: &Condition) -> &str {
    if condition.name.is_empty() { condition.detector.name() } else { &condition.name }
}

fn zone_source<'a>(scope: &Scope<'a>, condition: &Condition) -> &'a crate::rules::program::ZoneSource {
    let series =
        condition.detector.series().and_then(|series| scope.program.series.get(usize::from(series.0)));
    series.map_or(&scope.rule.zone, |series| &series.zone)
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "count",
        Unit::Ms => "ms",
        Unit::Minor => "minor",
        Unit::Share => "share",
        Unit::Days => "days",
        Unit::Number => "number",
    }
}

fn shown_value(condition: &Condition, observed: &Observed) -> Option<Value<'static>> {
    let value = observed.value?.to_f64();
    let limit = reached(condition, observed).map_or(value, |rung| rung.limit.to_f64());
    Some(double(rounded(value, limit)))
}

fn threshold(condition: &Condition, observed: &Observed) -> Option<Value<'static>> {
    reached(condition, observed).map(|rung| double(rung.limit.to_f64()))
}

fn number(value: Exact) -> Value<'static> {
    let value = value.to_f64();
    double(rounded(value, value))
}

const fn double(value: f64) -> Value<'static> {
    Value::Double(value)
}

/// Three decimals, unless that would put the value on the other side of a border, or onto it.
pub(super) fn rounded(value: f64, border: f64) -> f64 {
    let short = (value * 1000.0).round() / 1000.0;
    if short.partial_cmp(&border) == value.partial_cmp(&border) { short } else { value }
}

/// Two significant digits: more would pretend to know a probability better than it is known.
fn significant(p: f64) -> f64 {
    format!("{p:.1e}").parse().unwrap_or(p)
}

/// A probability in words: `0.043`, `3e-7`.
pub(super) fn probability(p: f64) -> String {
    let p = significant(p);
    if p < 0.001 { format!("{p:e}") } else { p.to_string() }
}
