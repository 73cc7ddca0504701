//! Persisted identity: what rows know series, rules and attachments by.
//!
//! The text that is hashed spells out meaning in names of the rule language, never places in a file or in a table,
//! so a program compiled from reordered or reformatted files finds its rows again (`rules.md` §13).

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use crate::document::{Node, Value};
use crate::rules::program::{
    Attach, Begin, Clear, Course, Detector, Entity, Filter, FilterIx, Literal, Match, Measure, Path, Points,
    Scoring, Series, Test, TicketFact, Window, ZoneSource,
};

/// The key of a meaning: the low 32 bits of its XXH3-64.
pub fn key(meaning: &str) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is kept")]
    let low = xxh3_64(meaning.as_bytes()) as u32;
    low
}

/// The meaning of a series.
pub fn series(series: &Series, filters: &[Filter]) -> String {
    let mut text = String::from("series");
    put_filter(&mut text, series.filter, filters);
    put_measure(&mut text, &series.measure, filters);
    let window = match series.window {
        Window::Exact { span_ms, .. } => format!("exact {span_ms}"),
        Window::Panes { span_ms } => format!("panes {span_ms}"),
        Window::Days { .. } => "days".to_owned(),
        Window::Buckets { bucket, .. } => format!("each {}", bucket.name()),
        Window::Newest => "newest".to_owned(),
    };
    put(&mut text, &window);
    put_entity(&mut text, &series.entity);
    if let Some(reset) = series.reset {
        put(&mut text, "reset");
        put_filter(&mut text, reset, filters);
    }
    match &series.zone {
        ZoneSource::Account => put(&mut text, "account"),
        ZoneSource::User => put(&mut text, "user"),
        ZoneSource::Named(name) => {
            put(&mut text, "zone");
            put(&mut text, name);
        }
    }
    text
}

/// The meaning of a rule's firing state: id, entity, kinds of detectors.
pub fn rule<'d>(id: &str, entity: &Entity, detectors: impl Iterator<Item = &'d Detector>) -> String {
    let mut text = String::from("rule");
    put(&mut text, id);
    put_entity(&mut text, entity);
    for detector in detectors {
        put(&mut text, detector.name());
    }
    text
}

/// The meaning of an attachment.
pub fn attach(attach: &Attach, entity: &Entity, filters: &[Filter]) -> String {
    let mut text = String::from("attach");
    put_filter(&mut text, attach.filter, filters);
    put_path(&mut text, &attach.field);
    put_entity(&mut text, entity);
    text
}

/// The meaning of a clear item.
pub fn clear(clear: &Clear, filters: &[Filter]) -> String {
    let mut text = String::from("clear");
    match clear {
        Clear::Event { filter, equal, for_ms } => {
            put_filter(&mut text, *filter, filters);
            equal.iter().for_each(|path| put_path(&mut text, path));
            put(&mut text, &for_ms.to_string());
        }
        Clear::If { matches, for_ms } => {
            put(&mut text, &format!("{matches:?} {for_ms}"));
        }
    }
    text
}

/// The hash of a document's content, whatever its layout and the order of its keys.
pub fn content<'n>(nodes: impl Iterator<Item = &'n Node>, without: &[&str]) -> u64 {
    let mut text = String::new();
    for node in nodes {
        put_node(&mut text, node, without);
    }
    xxh3_64(text.as_bytes())
}

fn put_node(text: &mut String, node: &Node, without: &[&str]) {
    match &node.value {
        Value::Scalar(scalar) => {
            put(text, if scalar.as_text().is_some() { "text" } else { "plain" });
            put(text, scalar.text());
        }
        Value::List(items) => {
            put(text, "list");
            put(text, &items.len().to_string());
            for item in items {
                put_node(text, item, &[]);
            }
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().filter(|entry| !without.contains(&&*entry.key)).collect();
            sorted.sort_by(|one, other| one.key.cmp(&other.key));
            put(text, "map");
            put(text, &sorted.len().to_string());
            for entry in sorted {
                put(text, &entry.key);
                put_node(text, &entry.node, &[]);
            }
        }
    }
}

/// Appends a word with its length, so that no two lists of words read the same.
fn put(text: &mut String, word: &str) {
    let _ = write!(text, " {}:{word}", word.len());
}

fn put_filter(text: &mut String, place: FilterIx, filters: &[Filter]) {
    let Some(filter) = filters.get(usize::from(place.0)) else { return };
    put(text, filter.kind.name());
    put_match(text, &filter.matches);
}

fn put_match(text: &mut String, matches: &Match) {
    put(text, &format!("any {}", matches.0.len()));
    for group in &matches.0 {
        put(text, &format!("all {}", group.len()));
        for (path, test) in group {
            put_path(text, path);
            put_test(text, test);
        }
    }
}

fn put_test(text: &mut String, test: &Test) {
    match test {
        Test::AnyOf(values) | Test::NoneOf(values) => {
            let name = if matches!(test, Test::AnyOf(_)) { "is" } else { "not" };
            put(text, &format!("{name} {}", values.len()));
            for value in values {
                put_literal(text, value);
            }
        }
        Test::Bounds(bounds) => {
            for (op, literal) in bounds {
                put(text, op.name());
                put_literal(text, literal);
            }
        }
        Test::Exists(wanted) => put(text, if *wanted { "exists" } else { "lacks" }),
        Test::StartsWith(prefixes) => {
            put(text, &format!("starts {}", prefixes.len()));
            for prefix in prefixes {
                put(text, prefix);
            }
        }
    }
}

fn put_literal(text: &mut String, literal: &Literal) {
    match literal {
        Literal::Bool(value) => put(text, if *value { "true" } else { "false" }),
        Literal::Number(number) => put(text, &format!("n{}e{}", number.mantissa, number.scale)),
        Literal::Text(value) => put(text, &format!("t{value}")),
        Literal::Time(time) => put(text, &format!("at{}", time.0)),
    }
}

fn put_path(text: &mut String, path: &Path) {
    let word = match path {
        Path::Field(field) => field.spec().name.to_owned(),
        Path::Property(name) => format!("properties.{name}"),
        Path::Account(field) => format!("account.{}", field.spec().name),
        Path::AccountArr => "account.arr".to_owned(),
        Path::AccountSlug => "account.slug".to_owned(),
        Path::AccountEntry(field) => format!("account.{}[]", field.spec().name),
        Path::User(field) => format!("user.{}", field.spec().name),
        Path::Ticket(TicketFact::Unanswered) => "ticket.unanswered".to_owned(),
        Path::Ticket(TicketFact::Reopens) => "ticket.reopens".to_owned(),
        Path::Ticket(TicketFact::PastSla) => "ticket.past_sla".to_owned(),
    };
    put(text, &word);
}

fn put_measure(text: &mut String, measure: &Measure, filters: &[Filter]) {
    let (name, paths): (&str, Vec<&Path>) = match measure {
        Measure::Count => ("count", Vec::new()),
        Measure::Distinct(path) => ("distinct", vec![path]),
        Measure::Sum(path) => ("sum", vec![path]),
        Measure::SumDistinct { of, by } => ("sum_distinct", vec![of, by]),
        Measure::Mean(path) => ("mean", vec![path]),
        Measure::Last(path) => ("last", vec![path]),
        Measure::Known(path) => ("known", vec![path]),
        Measure::ShareOf(_) => ("share_of", Vec::new()),
        Measure::Score(scoring) => ("score", scoring.imported.iter().collect()),
        Measure::Steps(_) => ("steps", Vec::new()),
        Measure::Course(_) => ("course", Vec::new()),
        Measure::New(path) => ("new", vec![path]),
        Measure::Usual => ("usual", Vec::new()),
        Measure::Crowd(_) => ("crowd", Vec::new()),
        Measure::Reading { of, period } => ("reading", std::iter::once(of).chain(period).collect()),
    };
    put(text, name);
    for path in paths {
        put_path(text, path);
    }
    match measure {
        Measure::ShareOf(filter) => put_filter(text, *filter, filters),
        Measure::Score(scoring) => put_scoring(text, scoring),
        Measure::Course(course) => put_course(text, course, filters),
        Measure::Crowd(rule) => put(text, &rule.to_string()),
        Measure::Steps(steps) => steps.iter().for_each(|step| put_filter(text, *step, filters)),
        _ => {}
    }
}

fn put_course(text: &mut String, course: &Course, filters: &[Filter]) {
    match course.begin {
        Begin::At(filter) => put_filter(text, filter, filters),
        Begin::On(field) => put_path(text, &Path::Account(field)),
    }
    if let Some(expect) = course.expect {
        put(text, "expect");
        put_filter(text, expect, filters);
    }
    for number in &course.closing {
        put(text, &format!("closes {number}"));
    }
    if let Some(steps) = &course.steps {
        put(text, "steps");
        put_filter(text, steps.filter, filters);
        put_path(text, &steps.field);
        steps.names.iter().for_each(|name| put(text, name));
    }
}

fn put_scoring(text: &mut String, scoring: &Scoring) {
    put(text, &format!("half life {}", scoring.half_life_ms));
    for bound in [scoring.lowest, scoring.highest] {
        put_literal(text, &Literal::Number(bound));
    }
    for factor in &scoring.factors {
        put(text, &factor.name);
        put(text, &format!("max {}", factor.max));
        match &factor.points {
            Points::If(matches, points) => {
                put_match(text, matches);
                put(text, &format!("add {points}"));
            }
            Points::While(rule, points) => {
                put(text, &format!("while {rule}"));
                put(text, &format!("add {points}"));
            }
            Points::By(path, values) => {
                put_path(text, path);
                for (value, points) in values {
                    put(text, value);
                    put(text, &format!("add {points}"));
                }
            }
        }
    }
}

fn put_entity(text: &mut String, entity: &Entity) {
    put(text, if entity.account { "of account" } else { "across" });
    match &entity.part {
        Some(part) => {
            put(text, &part.name);
            put_path(text, &part.path);
        }
        None => put(text, "itself"),
    }
}
