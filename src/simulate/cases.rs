//! The tests that stand beside rules, played by accounts of their own among the company: each test that raises an alert is an
//! incident, each that raises none is a look-alike (`rules.md` §14).

use std::collections::BTreeSet;

use super::account::display_name;
use super::record::{Generated, Queue};
use super::rng::Rng;
use super::{DAY, HOUR, MINUTE, Planted, Truth};
use crate::event::{Kind, Text, Timestamp, Value, date_text, parse_date};
use crate::replay::{case_lines, topic_of};
use crate::rules::{Case, Outcome, RuleTests, What};

/// Fields whose values name what rules count across accounts: each playing of a test has its own.
const SHARED: [&str; 7] =
    ["feature_area", "incident_id", "integration", "region", "root_cause", "service", "services"];
/// What every playing has of its own besides.
const OWN: [&str; 2] = ["account_id", "event_id"];
/// The same of profiles.
const SHARED_LISTS: [&str; 1] = ["services_used"];
/// An alert is in time so long after the test expects it: rows are looked at in the ten minutes after midnight, and half
/// a minute may pass before openings.
const PATIENCE_MS: i64 = 45 * MINUTE;

/// Events are on their way for so long.
const LATE_MS: i64 = 10 * MINUTE;
/// The topic of profiles.
const PROFILES: &str = topic_of(Kind::Account);

/// About all tickets of the company, of which those of a test are too few.
const OF_ALL: [&str; 1] = ["tag-coverage-low"];

/// What people write who feel like this.
const PHRASES: [(&str, &str); 6] = [
    ("recurrence", "This keeps happening."),
    ("earlier_tickets", "It is the same as in my previous ticket."),
    ("manager_request", "Let me talk to your manager."),
    ("churn_language", "We will cancel our subscription."),
    ("legal_threat", "Our lawyer will write to you."),
    ("thanks", "Thank you."),
];
const STRONG: &str = "This is terrible, awful, useless and unacceptable.";
const MILD: &str = "We have a problem with it.";
const CALM: &str = "The report shows other numbers than the list.";

/// One playing of a test.
#[derive(Debug)]
pub(super) struct Play<'t> {
    rule: &'t str,
    case: &'t Case,
    /// Added to the test's times, ms: whole weeks.
    shift: i64,
    tag: String,
}

impl<'t> Play<'t> {
    /// When its first record is written, ms.
    pub(super) const fn begins(&self) -> i64 {
        self.case.start.0 + self.shift
    }

    /// Until when it says what its rules do.
    pub(super) const fn ends(&self) -> Timestamp {
        Timestamp(self.case.end.0 + self.shift + PATIENCE_MS)
    }

    /// Whether it plays while something lasts, ms, or shortly after.
    pub(super) fn overlaps(&self, from: i64, until: i64) -> bool {
        self.begins() < until + 8 * DAY && self.case.end.0 + self.shift > from - DAY
    }

    /// What it must lead to.
    pub(super) fn truth(&self) -> Vec<Planted> {
        let renamed = renamed(self.case);
        let opened = |outcome: &Outcome| matches!(outcome, Outcome::Action(action) if &**action == "opened");
        let mut truth = Vec::new();
        for expected in self.case.expect.iter().filter(|own| opened(&own.what)) {
            let field = |name: &str| {
                let found = expected.fields.iter().find(|entry| &*entry.key == name);
                found.and_then(|entry| entry.node.scalar()).map(|scalar| scalar.text().to_owned())
            };
            let at = expected.at.0 + self.shift;
            truth.push(Planted {
                rule: field("rule").unwrap_or_else(|| self.rule.to_owned()).into(),
                entity: field("entity")
                    .map(|entity| self.entity(&entity, &renamed))
                    .unwrap_or_default()
                    .into(),
                tag: Some(self.tag.clone().into()),
                kind: Truth::Incident,
                onset: onset(self.case, expected.at).plus(self.shift),
                from: Timestamp(at - MINUTE),
                until: Timestamp(at + PATIENCE_MS),
            });
        }
        if truth.is_empty() {
            truth.push(Planted {
                rule: self.rule.into(),
                entity: "".into(),
                tag: Some(self.tag.clone().into()),
                kind: Truth::Lookalike,
                onset: Timestamp(self.begins()),
                from: Timestamp(self.begins()),
                until: Timestamp(self.case.end.0 + self.shift + DAY),
            });
        }
        truth
    }

    /// The rules that it is about.
    pub(super) fn rules(&self) -> impl Iterator<Item = &'t str> {
        std::iter::once(self.rule).chain(self.case.with.iter().map(|id| &**id))
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    fn entity(&self, written: &str, renamed: &BTreeSet<String>) -> String {
        let parts = written.split('/');
        let named = parts
            .map(|part| if renamed.contains(part) { format!("{part}{}", self.tag) } else { part.to_owned() });
        named.collect::<Vec<_>>().join("/")
    }

    /// Says what its accounts are called of which the test has no profile.
    fn introduce(&self, queue: &mut Queue) {
        let (mut known, mut all) = (BTreeSet::new(), BTreeSet::new());
        for (line, record) in case_lines(self.case) {
            let account = record.entry("account_id").and_then(Value::as_text).map(str::to_owned);
            if line.known_topic() == PROFILES {
                known.extend(account.clone());
            }
            all.extend(account);
        }
        let time = self.begins();
        for account in all.difference(&known) {
            let key = format!("{account}{}", self.tag);
            let fields = [
                ("type", Value::text("account.updated")),
                ("account_id", Value::text(key.clone())),
                ("event_id", Value::text(format!("profile-{key}"))),
                ("event_time", Value::Time(Timestamp(time - DAY))),
                ("updated_at", Value::Time(Timestamp(time - DAY))),
                ("profile_version", Value::Int(1)),
                ("name", Value::text(display_name(&key))),
            ];
            let value = Value::Map(fields.map(|(name, value)| (name.into(), value)).into());
            queue.push_whole(Generated { topic: PROFILES, key, time: Timestamp(time), value });
        }
    }

    /// Puts its records into the queue.
    pub(super) fn perform(&self, queue: &mut Queue) {
        self.introduce(queue);
        for (line, record) in case_lines(self.case) {
            let Value::Map(fields) = record else { continue };
            let text = |name: &str| {
                let found = fields.iter().find(|(own, _)| own == name);
                found.and_then(|(_, value)| value.as_text()).unwrap_or_default().to_owned()
            };
            let key = format!("{}{}", text("account_id"), self.tag);
            let is_unnamed = line.known_topic() == PROFILES && text("name").is_empty();
            let mut fields: Vec<(Text<'static>, Value<'static>)> =
                fields.into_iter().map(|(name, value)| self.shifted(name, value)).collect();
            if is_unnamed {
                fields.push(("name".into(), Value::text(display_name(&key))));
            }
            if !line.features.is_empty() {
                fields.push(("body".into(), Value::text(body(&line.features))));
                fields.push(("is_public".into(), Value::Bool(true)));
            }
            let time = line.timestamp.plus(self.shift);
            queue.push_whole(Generated { topic: line.known_topic(), key, time, value: Value::Map(fields) });
        }
    }

    fn shifted(&self, name: Text<'static>, value: Value<'static>) -> (Text<'static>, Value<'static>) {
        let value = match (&*name, value) {
            (own, Value::Text(text)) if OWN.contains(&own) || SHARED.contains(&own) => {
                Value::text(format!("{text}{}", self.tag))
            }
            (own, Value::List(items)) if SHARED.contains(&own) || SHARED_LISTS.contains(&own) => {
                let tagged = |item: Value<'static>| match item {
                    Value::Text(text) => Value::text(format!("{text}{}", self.tag)),
                    item => item,
                };
                Value::List(items.into_iter().map(tagged).collect())
            }
            (_, Value::Map(entries)) => {
                Value::Map(entries.into_iter().map(|(name, value)| self.moved(name, value)).collect())
            }
            (_, value) => self.later(value),
        };
        (name, value)
    }

    fn moved(&self, name: Text<'static>, value: Value<'static>) -> (Text<'static>, Value<'static>) {
        (name, self.later(value))
    }

    /// A time or day, so much later; anything else as it is.
    fn later(&self, value: Value<'static>) -> Value<'static> {
        let days = i32::try_from(self.shift / DAY).unwrap_or(0);
        match value {
            Value::Time(time) => Value::Time(time.plus(self.shift)),
            Value::Date(day) => Value::Date(day + days),
            Value::Text(text) if text.len() == 10 => match parse_date(&text) {
                Ok(day) => Value::text(date_text(day + days)),
                Err(_) => Value::Text(text),
            },
            Value::Text(text) if text.len() > 10 => match Timestamp::parse(&text) {
                Ok(time) => Value::Time(time.plus(self.shift)),
                Err(_) => Value::Text(text),
            },
            value => value,
        }
    }
}

/// What is renamed in a test's entities: accounts, and what is shared between them.
fn renamed(case: &Case) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, record) in case_lines(case) {
        let Value::Map(fields) = record else { continue };
        for (name, value) in fields {
            let own = &*name == "account_id" || SHARED.contains(&&*name);
            names.extend(value.as_text().filter(|_| own).map(str::to_owned));
        }
    }
    names
}

/// When that began which a test expects to be told at a time: of the last line before, its first record, or if nothing
/// more comes of it, its last one.
fn onset(case: &Case, at: Timestamp) -> Timestamp {
    let spans = case.given.iter().filter(|given| matches!(given.what, What::Event(..))).map(|given| {
        let last = given.at.plus((i64::from(given.times) - 1) * given.every_ms);
        (given.at, last.min(at))
    });
    let newest = spans.filter(|(first, _)| *first <= at).max_by_key(|(first, last)| (*last, *first));
    match newest {
        Some((first, last)) if at.since(last) <= LATE_MS => first,
        Some((_, last)) => last,
        None => case.start,
    }
}

/// A message with these features.
fn body(features: &[(crate::event::Field, Value<'static>)]) -> String {
    use crate::event::Field::{TextClasses, TextTone};
    let mut words: Vec<String> = Vec::new();
    for (field, value) in features {
        match (field, value) {
            (TextClasses, Value::List(classes)) => {
                let said = classes.iter().filter_map(Value::as_text).filter_map(|class| {
                    PHRASES.iter().find(|(own, _)| *own == class).map(|(_, phrase)| (*phrase).to_owned())
                });
                words.extend(said);
                if classes.iter().any(|class| class.as_text() == Some("shouting")) {
                    words.push("WHY DOES NOBODY LOOK AT THIS AT LAST".to_owned());
                }
            }
            (TextTone, Value::Text(tone)) => {
                words.push(if &**tone == "strong" { STRONG } else { MILD }.to_owned());
            }
            _ => {}
        }
    }
    if words.is_empty() {
        words.push(CALM.to_owned());
    }
    words.join(" ")
}

/// Whether a test can be played among others: it needs no tables of its own, nothing befalls a whole source, and its
/// times may move by weeks.
fn is_playable(case: &Case) -> bool {
    let zoned = |entry: &crate::document::Entry| entry.node.get("timezone").is_some();
    let plays = |what: &What| match what {
        // Health is the engine's own to tell.
        What::Event(kind, _) => *kind != Kind::Health,
        What::Clock => true,
        What::Stall(..) | What::Lose(..) => false,
    };
    case.lookups.is_none()
        && case.given.iter().all(|given| plays(&given.what))
        && !case.profiles.iter().any(zoned)
}

/// Whether a test expects an alert about everything.
fn is_of_platform(case: &Case) -> bool {
    let mut fields = case.expect.iter().flat_map(|expected| &expected.fields);
    fields.any(|entry| {
        &*entry.key == "entity" && entry.node.scalar().is_some_and(|scalar| scalar.text() == "platform")
    })
}

/// Deals the tests of rules over these days, each so often.
pub(super) fn deal(
    tests: &[RuleTests],
    (seed, times): (u64, usize),
    (base, days): (i64, i64),
) -> Vec<Play<'_>> {
    let mut rng = Rng::keyed(seed, &[u64::MAX - 1]);
    let mut plays = Vec::new();
    for tests in tests.iter().filter(|tests| !OF_ALL.contains(&&*tests.rule)) {
        for case in tests.cases.iter().filter(|case| is_playable(case)) {
            let length = case.end.since(case.start);
            let first = (base + DAY - case.start.0).div_euclid(7 * DAY) + 1;
            let last = (base + days * DAY - 6 * HOUR - length - case.start.0).div_euclid(7 * DAY);
            for _ in 0..times {
                if last < first {
                    continue;
                }
                // What is about the platform holds back others: most tests begin on a Monday.
                let days = if is_of_platform(case) { 3 } else { 0 };
                let shift = rng.between(first, last) * 7 * DAY + days * DAY;
                let tag = format!("-p{}", plays.len());
                plays.push(Play { rule: &tests.rule, case, shift, tag });
            }
        }
    }
    plays.sort_by_key(|play| (play.begins(), play.tag.clone()));
    plays
}
