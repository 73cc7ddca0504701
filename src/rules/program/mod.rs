//! What a rule set compiles to: plain data that the engine runs.
//!
//! Everything is resolved: fields to numbers, tables to rows, templates to pieces, durations to milliseconds.
//! Filters and series are shared between rules and stand in tables of their own, addressed by index.
//! Keys that rows persist ([`Series::key`], [`Rule::key`]) depend on meaning only (`rules.md` §13), never on places in a file.

mod alert;
mod detector;
mod health;
mod hours;
mod lookup;
mod matching;
mod policy;
mod when;

pub use alert::{AlertBlock, Attach, Clear, CustomerAction, Due, Output, Person, Piece, Template, Variable};
pub use detector::{
    Begin, Bucket, Combine, Condition, CountAs, Course, CourseSteps, Detector, Extras, Factor, Guards,
    Measure, Novelty, Points, Reference, Rung, Scoring, Series, Window, ZoneSource,
};
pub use health::{Health, HealthInput, HealthPart};
pub use hours::{Hours, Lull};
pub use lookup::{Lookup, Table};
pub use matching::{Comparator, Decimal, Entity, EntityPart, Filter, Literal, Match, Path, Test, TicketFact};
pub use policy::{
    Affects, Band, Budget, Contact, ContactBudget, Escalation, FeatureSeverity, Holdout, Inhibit, Policy,
    Priority, Rate, Sentiment, Within,
};
pub use when::{Group, Part};

/// Place of a filter in [`Program::filters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterIx(pub u16);
/// Place of a series in [`Program::series`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesIx(pub u16);
/// Place of a rule in [`Program::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIx(pub u16);
/// Place of a table in [`Program::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableIx(pub u16);

/// A compiled rule set.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Hash of the whole set, hexadecimal.
    pub rule_set: Box<str>,
    /// The rules, by id.
    pub rules: Vec<Rule>,
    /// All filters, each once.
    pub filters: Vec<Filter>,
    /// All series, each once.
    pub series: Vec<Series>,
    /// Lookup tables, by name; string lists are resolved into the matches that name them.
    pub tables: Vec<Table>,
    /// How alerts are ranked; none: not at all.
    pub priority: Option<Priority>,
    /// When a source counts as stalled.
    pub stall: Stall,
    /// How accounts' health is scored; none: not at all.
    pub health: Option<Health>,
}

/// When a kind of source brings too little to believe that events are missing (`rules.md` §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The share of what is usual below which it does, as a fraction.
    pub below: (u64, u64),
    /// Over which time, ms.
    pub for_ms: i64,
}

impl Default for Stall {
    fn default() -> Self {
        Self { below: (1, 2), for_ms: 900_000 }
    }
}

impl Program {
    /// How many rules were written; those that stand for a parent of `collapse_to` or for health are not.
    #[must_use]
    pub fn written_rules(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.id.contains('/')).count()
    }

    /// The events that a detector watches; of a sequence those of the last step.
    #[must_use]
    pub fn filter_of(&self, detector: &Detector) -> FilterIx {
        match (detector, detector.series()) {
            (Detector::Event { filter, .. }, _) => *filter,
            (_, Some(series)) => self.series[usize::from(series.0)].filter,
            (_, None) => FilterIx(u16::MAX),
        }
    }

    /// The time of the profile at which a milestone begins.
    #[must_use]
    pub fn begins_on(&self, detector: &Detector) -> Option<crate::event::Field> {
        let series = self.series.get(usize::from(detector.series()?.0))?;
        match &series.measure {
            Measure::Course(course) => match course.begin {
                Begin::On(field) => Some(field),
                Begin::At(_) => None,
            },
            _ => None,
        }
    }

    /// All filters that a detector reads.
    #[must_use]
    pub fn filters_of(&self, detector: &Detector) -> Vec<FilterIx> {
        let series = detector.series().and_then(|series| self.series.get(usize::from(series.0)));
        match series.map(|series| &series.measure) {
            Some(Measure::Steps(steps)) => steps.clone(),
            Some(Measure::ShareOf(base)) => vec![self.filter_of(detector), *base],
            // A date of the profile passes with the watermark of profiles.
            Some(Measure::Course(course)) if matches!(course.begin, Begin::On(_)) => {
                course.filters().chain([self.filter_of(detector)]).collect()
            }
            Some(Measure::Course(course)) => course.filters().collect(),
            _ => vec![self.filter_of(detector)],
        }
    }

    /// Whether a comparison reads the series, so that the window before the current one is kept too.
    #[must_use]
    pub fn is_compared(&self, series: SeriesIx) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|own| matches!(own.detector, Detector::Compare { series: own, .. } if own == series))
    }
}

/// How grave an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Needs attention.
    Warning,
    /// Needs action.
    Error,
    /// Needs action now.
    Critical,
}

impl Severity {
    /// From mild to bad.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// What kind of message a rule's alerts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// The account may be lost.
    Risk,
    /// Something to offer.
    Opportunity,
    /// Something achieved.
    Value,
    /// Something is broken for many.
    Incident,
    /// Our own house.
    Hygiene,
}

impl Category {
    /// All categories.
    pub const ALL: [Self; 5] = [Self::Risk, Self::Opportunity, Self::Value, Self::Incident, Self::Hygiene];

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Risk => "risk",
            Self::Opportunity => "opportunity",
            Self::Value => "value",
            Self::Incident => "incident",
            Self::Hygiene => "hygiene",
        }
    }
}

/// Whether a rule speaks. Drafts are checked only and retired rules are gone: neither compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Judged, with decisions, without alerts.
    Shadow,
    /// Live.
    Active,
}

/// What is believed at activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnActivate {
    /// What is true already is not announced until it was false once.
    Baseline,
    /// It is announced.
    Open,
}

/// A compiled rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: Box<str>,
    /// Hash of its meaning, six hexadecimal digits.
    pub version: Box<str>,
    /// Persisted identity of its firing state: id, entity and kinds of detectors.
    pub key: u32,
    /// A name for people.
    pub title: Box<str>,
    /// Shadow or active.
    pub mode: Mode,
    /// What is believed at activation.
    pub on_activate: OnActivate,
    /// What kind of message.
    pub category: Category,
    /// Severity where nothing else says so.
    pub severity: Severity,
    /// First hit wins.
    pub severity_by: Vec<(Match<Variable>, Severity)>,
    /// One open alert per entity, family and dedup.
    pub family: Box<str>,
    /// The highest leads.
    pub rank: i32,
    /// Which row.
    pub entity: Entity,
    /// Rows out of scope are not judged.
    pub scope: Match,
    /// How conditions combine.
    pub combine: Combine,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// Which of them count as one.
    pub groups: Vec<Group>,
    /// True only after `when` was true at every judgement that long, ms; 0, and where there is one condition: at once.
    pub for_ms: i64,
    /// Any of these ends the alert.
    pub clear: Vec<Clear>,
    /// Since opening, ms.
    pub expires_after_ms: Option<i64>,
    /// Further identity.
    pub dedup: Vec<Path>,
    /// Rows of tables that go with the alert.
    pub lookups: Vec<Lookup>,
    /// What the alert says.
    pub alert: AlertBlock,
    /// When it may speak.
    pub policy: Policy,
    /// What it holds back while its alert is open.
    pub inhibits: Vec<Inhibit>,
    /// Across accounts: which accounts its alert touches; none: all.
    pub affects: Option<Affects>,
    /// Key of the rule whose alert takes the place of many of its alerts.
    pub collapses_to: Option<u32>,
    /// Key of the rule of which its alert takes the place of many.
    pub collapses: Option<u32>,
    /// How many alerts are expected.
    pub budget: Option<Budget>,
    /// The zone of its local days.
    pub zone: ZoneSource,
}
