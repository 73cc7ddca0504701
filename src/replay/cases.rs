//! Runs the tests that stand beside rules (`rules.md` §14).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expect::{Actual, compare};
use super::line::{Line, topic_of};
use super::{Harness, ReplayError, sources};
use crate::document::{Mistakes, Span};
use crate::engine::effects::Effects;
use crate::engine::store::Store;
use crate::event::record::to_json;
use crate::event::{Field, FieldType, Kind, Timestamp, Value};
use crate::intake::mapping::{From, Mapping};
use crate::intake::text::{LexiconError, Scorer};
use crate::intake::{Property, PropertyType};
use crate::rules::program::Stall;
use crate::rules::{Case, Loaded, What, profile_record};

/// How one test went.
#[derive(Debug)]
pub struct CaseReport {
    /// The rule's id.
    pub rule: Box<str>,
    /// The test's name.
    pub name: Box<str>,
    /// Where it stands.
    pub span: Span,
    /// What differs; empty: it passed.
    pub differences: Vec<String>,
}

impl CaseReport {
    /// Whether the test passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Why a test could not be run.
#[derive(Debug, thiserror::Error)]
enum CaseError {
    #[error("its rules can't be compiled with its lookups:\n{0}")]
    Rules(#[from] Mistakes),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Lexicon(#[from] LexiconError),
}

/// Runs the tests of all rules whose id `wanted` admits, in their order; each on an empty engine and store.
pub fn run_tests<S: Store + Default>(
    loaded: &Loaded,
    scorer: &dyn Fn() -> Result<Scorer, LexiconError>,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<CaseReport> {
    let mut reports = Vec::new();
    for tests in loaded.tests.iter().filter(|tests| wanted(&tests.rule)) {
        for case in &tests.cases {
            let differences = match scorer()
                .map_err(CaseError::from)
                .and_then(|scorer| run::<S>(loaded, &tests.rule, case, scorer))
            {
                Ok(actual) => compare(case, &actual),
                Err(error) => vec![error.to_string()],
            };
            let (rule, name, span) = (tests.rule.clone(), case.name.clone(), case.span);
            reports.push(CaseReport { rule, name, span, differences });
        }
    }
    reports
}

fn run<S: Store + Default>(
    loaded: &Loaded,
    rule: &str,
    case: &Case,
    scorer: Scorer,
) -> Result<Actual, CaseError> {
    let mut ids = vec![rule];
    ids.extend(case.with.iter().map(|id| &**id));
    let program = Arc::new(loaded.program_of(&ids, case.lookups.as_ref())?);
    let stall = program.stall;
    let sources = sources(&declared(loaded));
    let rules = Arc::clone(&program);
    let mut harness = Harness::since(program, S::default(), (sources, scorer), case.start)?;
    harness.begin(case.start);
    let mut actual = Actual { rules: Some(rules), ..Actual::default() };
    let mut troubles = troubles(case, stall).into_iter().peekable();
    for (line, record) in lines(case) {
        while let Some((at, trouble)) = troubles.next_if(|(at, _)| *at <= line.timestamp) {
            harness.run_until(at.plus(-1))?;
            trouble.strike(&mut harness);
        }
        let offset = harness.line(&line)?;
        actual.given.insert((line.topic, offset), record);
        collect(harness.take(), &mut actual);
    }
    for (at, trouble) in troubles.filter(|(at, _)| *at <= case.end) {
        harness.run_until(at.plus(-1))?;
        trouble.strike(&mut harness);
    }
    harness.run_until(case.end)?;
    collect(harness.take(), &mut actual);
    actual.dead = harness
        .report()
        .dead
        .iter()
        .map(|dead| format!("given record {} is bad: {}", dead.line, dead.letter.detail))
        .collect();
    Ok(actual)
}

/// Mappings of the contract's topics that take in what the rules' vocabulary declares, too.
#[must_use]
pub fn declared(loaded: &Loaded) -> Vec<Mapping> {
    let property = |(name, ty): &(Box<str>, FieldType)| {
        let ty = match ty {
            FieldType::Int => PropertyType::Integer,
            FieldType::Double => PropertyType::Number,
            FieldType::Bool => PropertyType::Boolean,
            FieldType::Time => PropertyType::Time,
            _ => PropertyType::String,
        };
        (Property { name: name.to_string().into(), ty }, Vec::new())
    };
    let properties: Vec<(Property, Vec<From>)> = loaded.declared.iter().map(property).collect();
    let mapping = |kind| Mapping {
        name: "vocabulary".into(),
        topic: topic_of(kind).into(),
        kind,
        unpack: Vec::new(),
        when: Vec::new(),
        set: None,
        properties: properties.clone(),
    };
    if properties.is_empty() { Vec::new() } else { Kind::ALL.map(mapping).into() }
}

/// What befalls a source.
enum Trouble {
    /// It stands still, or no longer.
    Stalled(Kind, bool),
    /// Too little has come of it since a time, or had until one.
    Low(Kind, Result<Timestamp, Timestamp>),
}

impl Trouble {
    fn strike<S: Store>(self, harness: &mut Harness<S>) {
        match self {
            Self::Stalled(kind, stalled) => harness.stall(kind, stalled),
            Self::Low(kind, low) => harness.force_volume(kind, low),
        }
    }
}

/// What befalls sources, by time. That too little comes is noticed as late as the rules say, and not at all if it is over
/// by then.
fn troubles(case: &Case, stall: Stall) -> Vec<(Timestamp, Trouble)> {
    let mut troubles = Vec::new();
    for given in &case.given {
        let at = given.at;
        match given.what {
            What::Stall(kind, ms) => {
                troubles.push((at, Trouble::Stalled(kind, true)));
                troubles.push((at.plus(ms), Trouble::Stalled(kind, false)));
            }
            What::Lose(kind, ms) if ms > stall.for_ms => {
                troubles.push((at.plus(stall.for_ms), Trouble::Low(kind, Ok(at))));
                troubles.push((at.plus(ms), Trouble::Low(kind, Err(at.plus(ms)))));
            }
            What::Lose(..) | What::Event(..) | What::Clock => {}
        }
    }
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}

/// Whether a record is lost on its way.
fn is_lost(case: &Case, at: Timestamp, kind: Kind) -> bool {
    case.given.iter().any(|given| {
        matches!(given.what, What::Lose(own, ms) if own == kind && given.at <= at && at < given.at.plus(ms))
    })
}

fn collect(effects: Effects, actual: &mut Actual) {
    actual.alerts.extend(effects.alerts.into_iter().map(|alert| alert.data));
    actual.decisions.extend(effects.decisions.into_iter().map(|decision| decision.data));
}

/// All records of a test, by time; of equal time in written order.
#[must_use]
pub fn lines(case: &Case) -> Vec<(Line, Value<'static>)> {
    let mut records: Vec<(Timestamp, Kind, Value<'static>)> = case
        .profiles
        .iter()
        .map(|entry| (case.start, Kind::Account, profile_record(entry, case.start)))
        .collect();
    let given = case.given.iter().enumerate();
    let mut later: Vec<_> = given.flat_map(|(place, given)| given.records(case.start, place)).collect();
    later.retain(|(at, kind, _)| !is_lost(case, *at, *kind));
    later.sort_by_key(|(at, ..)| *at);
    records.append(&mut later);
    let mut profiles = BTreeMap::new();
    records.into_iter().map(|(at, kind, value)| line(at, kind, value, &mut profiles)).collect()
}

type Fields = Vec<(std::borrow::Cow<'static, str>, Value<'static>)>;

fn line(
    at: Timestamp,
    kind: Kind,
    value: Value<'static>,
    profiles: &mut BTreeMap<String, (i64, Fields)>,
) -> (Line, Value<'static>) {
    let mut fields = match value {
        Value::Map(fields) => fields,
        _ => Vec::new(),
    };
    let text = |fields: &Fields, name: &str| {
        let found = fields.iter().find(|(own, _)| own == name);
        found.and_then(|(_, value)| value.as_text()).map(str::to_owned)
    };
    if kind == Kind::Account && text(&fields, "type").as_deref() == Some("account.updated") {
        fields = merged(text(&fields, "account_id").unwrap_or_default(), fields, profiles);
    }
    let features = features(&mut fields);
    let record = Value::Map(fields);
    let line = Line {
        topic: topic_of(kind).into(),
        partition: 0,
        offset: None,
        timestamp: at,
        key: None,
        value: Some(to_json(&record).into_bytes()),
        features,
    };
    (line, record)
}

/// Lays an account line over what was said of the account before, as a newer version.
fn merged(account: String, own: Fields, profiles: &mut BTreeMap<String, (i64, Fields)>) -> Fields {
    let (version, known) = profiles.entry(account).or_default();
    *version += 1;
    for (name, value) in own {
        match known.iter_mut().find(|(own, _)| *own == name) {
            Some((_, old)) => *old = value,
            None => known.push((name, value)),
        }
    }
    let mut fields = known.clone();
    let time = fields.iter().find(|(name, _)| name == "event_time").map(|(_, value)| value.clone());
    let envelope = [("profile_version", Some(Value::Int(*version))), ("updated_at", time)];
    for (name, value) in envelope {
        let Some(value) = value else { continue };
        match fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value,
            None => fields.push((name.into(), value)),
        }
    }
    fields
}

/// Takes the text features out of a record: they are computed from a body, but tests state them.
fn features(fields: &mut Fields) -> Vec<(Field, Value<'static>)> {
    let names = [
        ("classes", Field::TextClasses),
        ("tone", Field::TextTone),
        ("sentiment", Field::TextSentiment),
        ("length", Field::TextLength),
        ("language", Field::TextLanguage),
        ("lexicon", Field::TextLexicon),
    ];
    let Some(place) = fields.iter().position(|(name, _)| name == "text") else { return Vec::new() };
    let (_, stated) = fields.remove(place);
    names.into_iter().filter_map(|(name, field)| Some((field, stated.entry(name)?.clone()))).collect()
}
