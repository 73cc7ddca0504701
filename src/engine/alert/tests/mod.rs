//! Rules and observations that the tests of this room share.

mod example;
mod full;
mod scope;
mod sentences;

use crate::engine::number::Exact;
use crate::event::{Field, Kind, Timestamp, Value};
use crate::rules::program::{
    AlertBlock, Category, Combine, Comparator, Condition, Decimal, Detector, Entity, EntityPart, Extras,
    Filter, FilterIx, Guards, Literal, Match, Measure, Mode, OnActivate, Path, Policy, Program, Rule, Rung,
    Series, SeriesIx, Severity, Test, Window, ZoneSource,
};

use super::{EntityRef, Observed, Scope, Unit};

/// A point in time.
pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A rung without severity.
pub fn rung(op: Comparator, limit: Decimal) -> Rung {
    Rung { op, limit, severity: None, step: None }
}

/// A condition without guards.
pub fn condition(name: &str, detector: Detector) -> Condition {
    Condition { name: name.into(), detector, guards: Guards::default(), for_ms: 0 }
}

/// A count of 10 minutes over the first series against one threshold.
pub fn condition_count(op: Comparator, limit: Decimal) -> Condition {
    let window = Window::Panes { span_ms: 600_000 };
    condition("", Detector::Count { series: SeriesIx(0), window, rungs: vec![rung(op, limit)] })
}

/// An observation that holds, with a value and nothing else.
pub fn observed(value: Exact, unit: Unit) -> Observed {
    Observed {
        met: true,
        guard: None,
        value: Some(value),
        unit,
        rung: 1,
        onset: None,
        events: None,
        accounts: None,
        elapsed_ms: None,
        last_seen: None,
        usual_gap_ms: None,
        current: None,
        previous: None,
        measure_unit: Unit::Count,
        p_value: None,
        window: None,
        baseline_window: None,
        band: None,
        factors: Vec::new(),
        step: None,
        missing: Vec::new(),
        eta: None,
        buckets: Vec::new(),
        lost_ms: 0,
    }
}

/// An observation of a compare with the window before.
pub fn compared(current: i64, previous: i64, unit: Unit) -> Observed {
    let change = Exact::ratio(i128::from(current - previous), i128::from(previous)).unwrap();
    Observed {
        current: Some(Exact::whole(current)),
        previous: Some(Exact::whole(previous)),
        measure_unit: unit,
        ..observed(change, Unit::Share)
    }
}

/// A filter for events of one kind with these names.
pub fn filter(kind: Kind, names: &[&str]) -> Filter {
    let names = names.iter().map(|name| Literal::Text((*name).into())).collect();
    let tests = vec![(Path::Field(kind.name_field()), Test::AnyOf(names))];
    Filter { kind, matches: Match(vec![tests]), names_traffic: false }
}

/// A series of that filter.
pub fn series(filter: u16, measure: Measure) -> Series {
    Series {
        key: u32::from(filter),
        filter: FilterIx(filter),
        measure,
        window: Window::Days { days: 30 },
        keep_days: 60,
        negative: false,
        entity: account(),
        reset: None,
        zone: ZoneSource::Account,
        extras: Extras::default(),
    }
}

/// The account's own row.
pub fn account() -> Entity {
    Entity { account: true, part: None }
}

/// Rows of something within an account.
pub fn part(name: &str, field: Field) -> Entity {
    Entity { account: true, part: Some(EntityPart { name: name.into(), path: Path::Field(field) }) }
}

/// A rule that judges accounts, without texts.
pub fn rule(id: &str, conditions: Vec<Condition>) -> Rule {
    Rule {
        id: id.into(),
        version: "9f2c1e".into(),
        key: 1,
        title: "A rule".into(),
        mode: Mode::Active,
        on_activate: OnActivate::Open,
        category: Category::Risk,
        severity: Severity::Warning,
        severity_by: Vec::new(),
        family: "a-family".into(),
        rank: 0,
        entity: account(),
        scope: Match::default(),
        combine: if conditions.len() == 1 { Combine::One } else { Combine::All },
        groups: Vec::new(),
        for_ms: 0,
        conditions,
        clear: Vec::new(),
        expires_after_ms: None,
        dedup: Vec::new(),
        lookups: Vec::new(),
        alert: AlertBlock::default(),
        policy: Policy { cooldown_ms: 0, ..Policy::built_in() },
        inhibits: Vec::new(),
        affects: None,
        collapses_to: None,
        collapses: None,
        budget: None,
        zone: ZoneSource::Account,
    }
}

/// A program of one rule.
pub fn program(rule: Rule, filters: Vec<Filter>, series: Vec<Series>) -> Program {
    Program { rule_set: "set".into(), rules: vec![rule], filters, series, ..Program::default() }
}

/// What the texts of a program's first rule see on the account `acme`.
pub fn scope<'a>(program: &'a Program, observed: &'a [Observed]) -> Scope<'a> {
    Scope {
        program,
        rule: &program.rules[0],
        entity: EntityRef { account: Some("acme"), part: None },
        profile: None,
        user: None,
        observed,
        captured: &[],
        attach: &[],
        severity: Severity::Warning,
    }
}

/// A string value.
pub fn text(text: &str) -> Value<'static> {
    Value::text(text.to_owned())
}
