//! What a rule set compiles to: plain data that the engine runs.
//!
//! Everything is resolved: fields to numbers, tables to rows, templates to pieces, durations to milliseconds.
//! Filters and series are shared between rules and stand in tables of their own, addressed by index.
//! Keys that rows persist ([`Series::key`], [`Rule::key`]) depend on meaning only (`rules.md` §13), never on places in a file.

use crate::event::{Field, Kind, Timestamp};

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
}

impl Program {
    /// Whether a comparison reads the series, so that the window before the current one is kept too.
    #[must_use]
    pub fn is_compared(&self, series: SeriesIx) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|own| matches!(own.detector, Detector::Compare { series: own, .. } if own == series))
    }
}

/// Which row of state a rule or series lives in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Whether the row belongs to one account.
    pub account: bool,
    /// What else the row is of; none: the account itself, or the platform.
    pub part: Option<EntityPart>,
}

/// The part of an entity's key that is not the account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityPart {
    /// Its name in the rule language: `user`, `ticket`, `integration`, `issue_key`, ….
    pub name: Box<str>,
    /// Where an event carries it.
    pub path: Path,
}

impl Entity {
    /// The entity's kind as dedup keys write it: the names joined by `+`.
    #[must_use]
    pub fn kind(&self) -> String {
        match (&self.part, self.account) {
            (None, true) => "account".to_owned(),
            (None, false) => "platform".to_owned(),
            (Some(part), true) if matches!(&*part.name, "user" | "ticket") => part.name.to_string(),
            (Some(part), true) => format!("account+{}", part.name),
            (Some(part), false) => part.name.to_string(),
        }
    }
}

/// Where a value is read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// A field of the event.
    Field(Field),
    /// A declared property of the event.
    Property(Box<str>),
    /// `account.<field>` of the newest profile.
    Account(Field),
    /// `account.arr`: `arr_minor` in major units.
    AccountArr,
    /// `account.slug`: the account's id in `[a-z0-9-]`.
    AccountSlug,
    /// An entry of a map of the profile: `account.limits[X]`, X of the entity.
    AccountEntry(Field),
    /// `user.<field>` of the row's user: user.updated, else the contact in the account's profile.
    User(Field),
    /// `ticket.unanswered`, `ticket.reopens`, `ticket.past_sla`.
    Ticket(TicketFact),
}

/// What the engine knows of a ticket beyond its event's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketFact {
    /// Public customer messages since the newest public agent one.
    Unanswered,
    /// How often it was reopened.
    Reopens,
    /// Whether the event is later than the SLA's breach.
    PastSla,
}

/// An exact decimal, mantissa × 10^-scale: thresholds compare without rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The digits.
    pub mantissa: i64,
    /// How many of them stand behind the point, at most 9.
    pub scale: u8,
}

impl Decimal {
    /// A whole number.
    #[must_use]
    pub const fn whole(value: i64) -> Self {
        Self { mantissa: value, scale: 0 }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "mantissas of rule files are far below 2^53")]
        let mantissa = self.mantissa as f64;
        mantissa / 10_f64.powi(i32::from(self.scale))
    }
}

/// A literal that fields are compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A number; durations are whole milliseconds, `30%` is 0.3.
    Number(Decimal),
    /// A string or symbol.
    Text(Box<str>),
    /// A point in time.
    Time(Timestamp),
}

/// One test of one field. A field without value satisfies only `NoneOf` and `Exists(false)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The field is one of these; a list contains one of them.
    AnyOf(Vec<Literal>),
    /// The field is none of these; a list contains none of them.
    NoneOf(Vec<Literal>),
    /// All of these comparisons hold.
    Bounds(Vec<(Comparator, Literal)>),
    /// The field has a value, or has none.
    Exists(bool),
    /// The string begins with one of these, byte by byte.
    StartsWith(Vec<Box<str>>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparator {
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
}

impl Comparator {
    /// Whether growth makes it true, so that it is judged at once.
    #[must_use]
    pub const fn is_upward(self) -> bool {
        matches!(self, Self::Gt | Self::Gte)
    }

    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }
}

/// A match: any of these groups; in a group all tests must hold. No group at all: everything matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match<P = Path>(pub Vec<Vec<(P, Test)>>);

impl<P> Default for Match<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Which events a series takes in: `topic` and `where`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter {
    /// The kind of event.
    pub kind: Kind,
    /// What must hold of it. `scope` by event fields is already folded in.
    pub matches: Match,
    /// Whether the filter names `traffic`, so that automated human-usage events may match it.
    pub names_traffic: bool,
}

/// What is measured over the matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Events; in error logs the sum of `occurrences`.
    Count,
    /// Different values.
    Distinct(Path),
    /// Sum over events that have the field.
    Sum(Path),
    /// Each value of `by` once, with its newest `of`.
    SumDistinct {
        /// What is summed.
        of: Path,
        /// What counts once.
        by: Path,
    },
    /// Mean over events that have the field.
    Mean(Path),
    /// The field at the highest event time.
    Last(Path),
    /// Share of the matches of another filter.
    ShareOf(FilterIx),
}

/// How a series cuts time (`rules.md` §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// The last `keep` timestamps: exact for upward plain counts up to 64.
    Exact {
        /// The window's length, ms.
        span_ms: i64,
        /// How many timestamps are kept: the highest threshold.
        keep: u16,
    },
    /// Panes of `span_ms / 60`, aligned to the epoch.
    Panes {
        /// The window's length, ms.
        span_ms: i64,
    },
    /// Whole local days.
    Days {
        /// The window's length, days.
        days: u16,
    },
    /// No window: the last match only (absence, level).
    Newest,
}

/// Filter, measure and entity: what a detector judges. Shared by all rules that measure the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Persisted identity: hash of kind, filter, measure, pane and entity. Unique in a program.
    pub key: u32,
    /// The events that count.
    pub filter: FilterIx,
    /// What of them.
    pub measure: Measure,
    /// How time is cut: the longest of the windows that share the series.
    pub window: Window,
    /// Days: how many complete days must be kept (compare: twice the window).
    pub keep_days: u16,
    /// Whether a negative condition reads it, so that panes are kept until the watermark has passed them.
    pub negative: bool,
    /// Which row it lives in.
    pub entity: Entity,
    /// Events up to the newest match of this filter count no more.
    pub reset: Option<FilterIx>,
    /// The zone of its local days.
    pub zone: ZoneSource,
    /// What guards and outputs ask for beside the measure.
    pub extras: Extras,
}

/// What a series keeps beside its measure, because a guard or an output asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Own gaps between matches (guard `usual_gap`), in 64ths of this `for`, ms; 0: none.
    pub gaps_for_ms: i64,
    /// The dispersion of daily counts is needed.
    pub dispersion: bool,
}

/// Whose local days and hours count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneSource {
    /// The account's time zone, else UTC.
    Account,
    /// The user's, else the account's, else UTC.
    User,
    /// This IANA zone.
    Named(Box<str>),
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

/// One rung of a ladder; a plain comparator is a ladder of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The comparison (absence and milestone: always `Gte`, the limit in ms).
    pub op: Comparator,
    /// What the value is compared with.
    pub limit: Decimal,
    /// The severity it means, if the rung says so.
    pub severity: Option<Severity>,
    /// Milestone: the step that meets it.
    pub step: Option<Box<str>>,
}

/// How elapsed time counts for an absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountAs {
    /// Watermark minus last match.
    Elapsed,
    /// Complete local days between.
    CalendarDays,
    /// Complete business days between.
    BusinessDays,
}

/// What a condition computes. Each variant is one detector of `rules.md` §7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detector {
    /// A matching event.
    Event {
        /// The events.
        filter: FilterIx,
    },
    /// A measure over a window against a threshold.
    Count {
        /// What is measured.
        series: SeriesIx,
        /// The rule's own window; its series may keep a longer one.
        window: Window,
        /// The threshold or ladder, from mild to bad.
        rungs: Vec<Rung>,
    },
    /// No match for that long.
    Absence {
        /// The matches.
        series: SeriesIx,
        /// `for`, in ms (`Elapsed`) or days.
        rungs: Vec<Rung>,
        /// What counts.
        count_as: CountAs,
        /// A time of the profile from which it counts too.
        arm: Option<Field>,
        /// Its match disarms until the next event.
        until: Option<FilterIx>,
    },
    /// A window of complete days (or of panes, up to 24 h) against the one before.
    Compare {
        /// What is measured.
        series: SeriesIx,
        /// The rule's own window.
        window: Window,
        /// `as: difference` instead of the relative change.
        difference: bool,
        /// The threshold or ladder.
        rungs: Vec<Rung>,
    },
}

/// What must hold besides the threshold (`rules.md` §8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guards {
    /// The current window's measure.
    pub min_current: Option<Decimal>,
    /// The previous window's measure.
    pub min_previous: Option<Decimal>,
    /// Absolute difference of the two.
    pub min_difference: Option<Decimal>,
    /// Events of the denominator, in both windows.
    pub min_events: Option<u32>,
    /// Distinct local days among the matches of the current window.
    pub min_days: Option<u32>,
    /// Distinct accounts among them.
    pub min_accounts: Option<u32>,
    /// Greatest p-value.
    pub significance: Option<Decimal>,
    /// The series' own dispersion instead of Poisson.
    pub own_dispersion: bool,
    /// Elapsed in multiples of the usual gap.
    pub usual_gap: Option<Decimal>,
    /// Age of the row, ms.
    pub min_age_ms: Option<i64>,
    /// Whether the stall guard of negative conditions is dropped.
    pub ignore_stall: bool,
}

/// A condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name; empty where the rule has only one and it has none.
    pub name: Box<str>,
    /// What is computed.
    pub detector: Detector,
    /// What must hold besides.
    pub guards: Guards,
    /// True only after it was true at every judgement that long, ms; 0: at once.
    pub for_ms: i64,
}

/// How conditions combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// There is one condition.
    One,
    /// All must be true.
    All,
    /// One must be true.
    Any,
}

/// When an alert is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clear {
    /// A matching event not older than the last evidence.
    Event {
        /// The events.
        filter: FilterIx,
        /// Fields that equal the alert's.
        equal: Vec<Path>,
        /// For how long no new activation may follow, ms.
        for_ms: i64,
    },
    /// A match on outputs.
    If {
        /// What must hold.
        matches: Match<Variable>,
        /// For how long, ms.
        for_ms: i64,
    },
}

/// An output of a condition (`rules.md` §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the closed list of rules.md §10, which says what each means")]
pub enum Output {
    Met,
    Value,
    Threshold,
    Onset,
    Events,
    Accounts,
    Elapsed,
    LastSeen,
    UsualGap,
    Current,
    Previous,
    Expected,
    P,
}

/// What a template, a clear or a severity test can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// An output of the condition at this place; `None`: of the whole `when`.
    Output(Option<u8>, Output),
    /// The part of the entity's key that is not the account (`user_id`, `ticket_id`, X).
    EntityPart,
    /// A field of the firing event, or of a profile.
    Path(Path),
    /// A column of a lookup of this rule: its place in [`Rule::lookups`] and the column's name.
    Lookup(u8, Box<str>),
    /// What an `attach` collected: its place in [`AlertBlock::attach`].
    Attach(u8),
    /// The sentence of what holds.
    Reason,
    /// The alert's severity.
    Severity,
    /// The highest rung reached, from 1.
    Rung,
}

/// Text with variables in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Piece>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Verbatim.
    Text(Box<str>),
    /// Replaced by the variable's value in its form of `rules.md` §10.
    Variable(Variable),
}

/// Who is meant: a role, an owner of the account, or a lookup's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// `role:NAME`.
    Role(Box<str>),
    /// `account.owners.X`: the id in the profile, else the role X.
    Owner(Field, Box<str>),
    /// A column that holds a person.
    Lookup(u8, Box<str>),
}

/// What the customer has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the closed list of contracts.md §5")]
pub enum CustomerAction {
    Required,
    Optional,
    #[default]
    None,
    AlreadyResolved,
}

impl CustomerAction {
    /// Its spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::None => "none",
            Self::AlreadyResolved => "already_resolved",
        }
    }
}

/// When the next step is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// This long after detection, ms.
    After(i64),
    /// At a time of the firing event or profile.
    At(Path),
}

/// What an alert collects: the last different values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Its name in the alert.
    pub name: Box<str>,
    /// Persisted identity of what is collected.
    pub key: u32,
    /// The events it is collected from.
    pub filter: FilterIx,
    /// The field.
    pub field: Path,
    /// How many, at most 20.
    pub max: u8,
}

/// What an alert says and to whom (`rules.md` §10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertBlock {
    /// One sentence.
    pub summary: Template,
    /// Whether customers are meant.
    pub customer: bool,
    /// Who owns it.
    pub owner: Option<Person>,
    /// Who is told.
    pub inform: Vec<Person>,
    /// The playbook's id.
    pub playbook: Option<Template>,
    /// The message template's id.
    pub template: Option<Template>,
    /// In order of preference.
    pub channels: Vec<Box<str>>,
    /// What the customer has to do.
    pub customer_action: CustomerAction,
    /// What we do.
    pub next_step: Option<Template>,
    /// Until when.
    pub next_step_due: Option<Due>,
    /// Things to create.
    pub actions: Vec<Box<str>>,
    /// The shared channel.
    pub room: Option<Template>,
    /// The customer message to prepare: its template and the customer's own action.
    pub draft: Option<(Template, Option<Template>)>,
    /// Whose fault, if the rule knows.
    pub cause: Option<Box<str>>,
    /// Reminders, ms.
    pub update_every_ms: Option<i64>,
    /// Answer expected, ms.
    pub respond_within_ms: Option<i64>,
    /// What is collected.
    pub attach: Vec<Attach>,
}

/// A lookup of a rule: which row of which table goes with an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Its name in templates.
    pub name: Box<str>,
    /// The table.
    pub table: TableIx,
    /// What the key is made of, joined by `/`.
    pub by: Vec<Variable>,
    /// No row, no activation.
    pub required: bool,
}

/// A lookup table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: Box<str>,
    /// The rows, sorted by key; `*` stands for any other key.
    pub rows: Vec<(Box<str>, Vec<(Box<str>, Vec<Literal>)>)>,
}

/// What is believed at activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnActivate {
    /// What is true already is not announced until it was false once.
    Baseline,
    /// It is announced.
    Open,
}

/// When a rule speaks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Pause between two openings of one dedup key, ms.
    pub cooldown_ms: i64,
    /// Whether a rise of severity is `escalated` (else `updated`).
    pub renotify_worse: bool,
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
    /// When it speaks again.
    pub policy: Policy,
    /// The zone of its local days.
    pub zone: ZoneSource,
}
