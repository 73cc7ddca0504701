//! The tests that stand beside rules (`rules.md` §14): parsed, not run.

use crate::document::{
    Code, DAY_MS, Entry, Mistakes, Node, Scalar, Span, Table, Value as Content, duration_ms,
};
use crate::event::{Kind, Timestamp, Value};
use crate::rules::missing;
use crate::rules::value;

/// A rule has no more tests.
const MOST_TESTS: usize = 32;

/// Where `at: 0m` lies if a test does not say: a Monday.
const START: Timestamp = Timestamp(1_767_571_200_000);

/// The kinds that a line of `given` can be.
const KINDS: [Kind; 7] =
    [Kind::Usage, Kind::ErrorLog, Kind::Billing, Kind::Ticket, Kind::Account, Kind::Outcome, Kind::Health];

/// The tests of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTests {
    /// The rule's id.
    pub rule: Box<str>,
    /// Its tests, in written order.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: Box<str>,
    /// Where it stands.
    pub span: Span,
    /// The time of `at: 0m`.
    pub start: Timestamp,
    /// Profiles known before the start: account id and its fields.
    pub profiles: Vec<Entry>,
    /// Tables that replace the set's, for [`crate::rules::Loaded::program_of`].
    pub lookups: Option<Node>,
    /// Ids of rules that run too.
    pub with: Vec<Box<str>>,
    /// What happens, in written order.
    pub given: Vec<Given>,
    /// What must come out; empty: nothing.
    pub expect: Vec<Expected>,
    /// The latest `at` of all: where the test ends.
    pub end: Timestamp,
}

/// A line of `given`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where it stands.
    pub span: Span,
    /// When it happens (first).
    pub at: Timestamp,
    /// From one time to the next, ms.
    pub every_ms: i64,
    /// How often.
    pub times: u32,
    /// What happens.
    pub what: What,
}

/// What a line of `given` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An event of this kind with these fields, as written.
    Event(Kind, Vec<Entry>),
    /// A source makes no progress for that long, ms.
    Stall(Kind, i64),
    /// Too little comes from a source for that long, ms: nothing at all.
    Lose(Kind, i64),
    /// The clock runs up to here.
    Clock,
}

/// A line of `expect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where it stands.
    pub span: Span,
    /// When it must happen.
    pub at: Timestamp,
    /// What must happen.
    pub what: Outcome,
    /// What else it must say, by name: rule, entity, severity, owner, variables.
    pub fields: Vec<Entry>,
}

/// What must come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A revision of an alert with this action.
    Action(Box<str>),
    /// A decision that withholds one, with this reason.
    Withheld(Box<str>),
}

/// Reads the tests of a rule.
pub fn read(rule: &Node, mistakes: &mut Mistakes) -> Option<RuleTests> {
    let id = rule.get("id").and_then(Node::scalar).map(|scalar| scalar.text().into())?;
    let node = rule.get("tests")?;
    let items = node.list("tests", mistakes)?;
    if items.len() > MOST_TESTS {
        let sentence = format!("a rule has at most {MOST_TESTS} tests, this has {}", items.len());
        mistakes.report(node.span, Code::E05, sentence);
    }
    Some(RuleTests { rule: id, cases: items.iter().filter_map(|item| case(item, mistakes)).collect() })
}

/// Reports tests that run with rules that do not exist.
pub fn check_references(tests: &[RuleTests], known: &[&str], mistakes: &mut Mistakes) {
    for case in tests.iter().flat_map(|own| &own.cases) {
        for other in case.with.iter().filter(|other| !known.contains(&&***other)) {
            mistakes
                .report(case.span, Code::E07, format!("no rule `{other}`"))
                .suggest(other, known.iter().copied());
        }
    }
}

fn case(node: &Node, mistakes: &mut Mistakes) -> Option<Case> {
    let known = ["name", "start", "profile", "lookups", "with", "given", "expect"];
    let table = node.table("test", &known, mistakes)?;
    let name = table.required("name", mistakes).and_then(|node| node.text(mistakes));
    let start = table.optional("start").map_or(Some(START), |node| value::time(node, mistakes));
    let profiles = table.optional("profile").map_or(Some(&[][..]), |node| node.map("profile", mistakes));
    let with = table.optional("with").map(Node::one_or_more).unwrap_or_default();
    let with = with.iter().filter_map(|node| value::id(node, mistakes)).map(Into::into).collect();
    let given = table.required("given", mistakes);
    let expect = table.required("expect", mistakes);
    let start = start?;
    let given: Vec<Given> =
        given?.list("given", mistakes)?.iter().filter_map(|node| line(node, start, mistakes)).collect();
    let expect = expected(expect?, start, mistakes)?;
    let last =
        |line: &Given| line.at.plus(line.every_ms.saturating_mul(i64::from(line.times.saturating_sub(1))));
    let ends = given.iter().map(last).chain(expect.iter().map(|line| line.at));
    Some(Case {
        name: name?.into(),
        span: node.span,
        start,
        profiles: profiles?.to_vec(),
        lookups: table.optional("lookups").cloned(),
        with,
        end: ends.max().unwrap_or(start),
        given,
        expect,
    })
}

/// `at`: a duration since the start, or a time.
fn moment(node: &Node, start: Timestamp, mistakes: &mut Mistakes) -> Option<Timestamp> {
    match node.scalar().and_then(|scalar| duration_ms(scalar.text())) {
        Some(ms) => Some(start.plus(ms)),
        None => value::time(node, mistakes),
    }
}

fn line(node: &Node, start: Timestamp, mistakes: &mut Mistakes) -> Option<Given> {
    missing::refuse_keys("given", node, mistakes);
    let kinds = KINDS.map(Kind::name);
    let known = [&["at", "every", "times", "control", "stall", "lose", "for"][..], &kinds[..]].concat();
    let table = node.table("given", &known, mistakes)?;
    let at = moment(table.required("at", mistakes)?, start, mistakes)?;
    let every_ms = table.optional("every").map_or(Some(0), |node| node.duration(mistakes))?;
    let times = table.optional("times").map_or(Some(1), |node| node.integer(1..=100_000, mistakes))?;
    let what = what(&table, mistakes)?;
    Some(Given { span: node.span, at, every_ms, times: u32::try_from(times).unwrap_or(1), what })
}

fn what(table: &Table<'_>, mistakes: &mut Mistakes) -> Option<What> {
    let troubles: [(_, fn(Kind, i64) -> What); 2] = [("stall", What::Stall), ("lose", What::Lose)];
    for (name, trouble) in troubles {
        if let Some(node) = table.optional(name) {
            let kind = node.choice("topic", &KINDS.map(|kind| (kind.name(), kind)), mistakes);
            let span = table.required("for", mistakes).and_then(|node| node.duration(mistakes));
            return Some(trouble(kind?, span?));
        }
    }
    let mut found = KINDS.iter().filter_map(|kind| table.optional(kind.name()).map(|node| (*kind, node)));
    match (found.next(), found.next()) {
        (Some((kind, node)), None) => {
            let fields = node.map("an event", mistakes)?;
            Some(What::Event(kind, fields.to_vec()))
        }
        (Some((_, node)), Some(_)) => {
            mistakes.report(node.span, Code::E08, "a line of given has one event");
            None
        }
        (None, _) => Some(What::Clock),
    }
}

fn expected(node: &Node, start: Timestamp, mistakes: &mut Mistakes) -> Option<Vec<Expected>> {
    if node.scalar().is_some_and(|scalar| scalar.text() == "nothing") {
        return Some(Vec::new());
    }
    let mut lines = Vec::new();
    for item in node.list("expect", mistakes)? {
        let entries = item.map("expect", mistakes)?;
        let Some(at) = item.get("at") else {
            mistakes.report(item.span, Code::E02, "a line of expect has no `at`");
            continue;
        };
        let at = moment(at, start, mistakes);
        let what = match (item.get("action"), item.get("withheld")) {
            (Some(node), None) => node.text(mistakes).map(|word| Outcome::Action(word.into())),
            (None, Some(node)) => node.text(mistakes).map(|word| Outcome::Withheld(word.into())),
            _ => {
                mistakes.report(item.span, Code::E02, "a line of expect has one of action and withheld");
                None
            }
        };
        let fields = entries.iter().filter(|entry| !matches!(&*entry.key, "at" | "action" | "withheld"));
        let fields = fields.cloned().collect();
        lines.extend(at.zip(what).map(|(at, what)| Expected { span: item.span, at, what, fields }));
    }
    Some(lines)
}

impl Given {
    /// The records that this line writes: when each is written, its kind, and its value in canonical form.
    /// `{n}` in strings is 1, 2, …; account `acme`, event time and a unique id are filled in.
    /// `unique` tells the lines of a test apart.
    #[must_use]
    pub fn records(&self, start: Timestamp, unique: usize) -> Vec<(Timestamp, Kind, Value<'static>)> {
        let What::Event(kind, fields) = &self.what else { return Vec::new() };
        let times = (0..i64::from(self.times)).map(|n| (n + 1, self.at.plus(n * self.every_ms)));
        times.map(|(n, at)| (at, *kind, record(*kind, fields, (n, at, start, unique)))).collect()
    }
}

/// One record: its place in the line, its time, the start, and what tells its line apart.
fn record(
    kind: Kind,
    fields: &[Entry],
    (n, at, start, unique): (i64, Timestamp, Timestamp, usize),
) -> Value<'static> {
    let mut record = Vec::new();
    let has = |name: &str| fields.iter().any(|entry| &*entry.key == name);
    let mut add = |name: &str, value: Value<'static>| insert(&mut record, name, value);
    for entry in fields {
        let none = entry.node.scalar().is_some_and(|scalar| scalar.text() == "none");
        match &*entry.key {
            "account_id" if none => {}
            "event_time" => {
                let text = entry.node.scalar().map_or("", Scalar::text);
                let time = duration_ms(text).map(|ms| start.plus(ms)).or_else(|| Timestamp::parse(text).ok());
                add("event_time", Value::Time(time.unwrap_or(at)));
            }
            name => add(name, content(&entry.node, n)),
        }
    }
    if !has("account_id") && !has("account_alias") {
        add("account_id", Value::text("acme"));
    }
    if !has("event_time") {
        add("event_time", Value::Time(at));
    }
    if !has("event_id") {
        add("event_id", Value::text(format!("test-{unique}-{n}")));
    }
    if kind == Kind::Account && !has("type") {
        add("type", Value::text("account.updated"));
    }
    // What the contract asks for and tests need not say.
    if kind == Kind::Health && !has("type") {
        add("type", Value::text("health.scored"));
    }
    if kind == Kind::Outcome && !has("actor_type") {
        add("actor_type", Value::text("system"));
    }
    if kind == Kind::Account && has("score") {
        if !has("direction") {
            add("direction", Value::text("higher_is_worse"));
        }
        if !has("scored_at") {
            add("scored_at", Value::Time(at));
        }
    }
    Value::Map(record)
}

/// Puts a value under a dotted name: `owners.csm` into the map `owners`.
fn insert(
    record: &mut Vec<(std::borrow::Cow<'static, str>, Value<'static>)>,
    name: &str,
    value: Value<'static>,
) {
    let Some((first, rest)) = name.split_once('.') else {
        record.push((name.to_owned().into(), value));
        return;
    };
    if let Some((_, Value::Map(inner))) = record.iter_mut().find(|(own, _)| own == first) {
        insert(inner, rest, value);
        return;
    }
    let mut inner = Vec::new();
    insert(&mut inner, rest, value);
    record.push((first.to_owned().into(), Value::Map(inner)));
}

/// A written value; `{n}` in strings is replaced.
fn content(node: &Node, n: i64) -> Value<'static> {
    match &node.value {
        Content::Scalar(scalar) => {
            if let Some(value) = scalar.as_bool() {
                return Value::Bool(value);
            }
            if let Some(value) = scalar.as_integer() {
                return Value::Int(value);
            }
            match scalar.text().parse::<f64>().ok().filter(|_| scalar.is_number()) {
                Some(value) => Value::Double(value),
                None => Value::text(scalar.text().replace("{n}", &n.to_string())),
            }
        }
        Content::List(items) => Value::List(items.iter().map(|item| content(item, n)).collect()),
        Content::Map(entries) => {
            let mut record = Vec::new();
            for entry in entries {
                insert(&mut record, &entry.key, content(&entry.node, n));
            }
            Value::Map(record)
        }
    }
}

/// A profile of a test as an `account.updated` record.
#[must_use]
pub fn profile_record(profile: &Entry, start: Timestamp) -> Value<'static> {
    let mut record = match content(&profile.node, 1) {
        Value::Map(record) => record,
        _ => Vec::new(),
    };
    let before = start.plus(-DAY_MS);
    let envelope = [
        ("type", Value::text("account.updated")),
        ("account_id", Value::text(profile.key.to_string())),
        ("event_id", Value::text(format!("profile-{}", profile.key))),
        ("event_time", Value::Time(before)),
        ("profile_version", Value::Int(1)),
        ("updated_at", Value::Time(before)),
    ];
    for (name, value) in envelope {
        if !record.iter().any(|(own, _)| own == name) {
            record.push((name.into(), value));
        }
    }
    Value::Map(record)
}
