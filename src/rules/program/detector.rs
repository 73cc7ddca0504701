//! What is measured and when it counts: series, detectors, guards.

use crate::event::Field;

use super::{Comparator, Decimal, Entity, FilterIx, Match, Path, SeriesIx, Severity};

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
    /// The field at the highest event time up to the end of a window, however old it is.
    Known(Path),
    /// The field at the highest event time, and what it belongs to.
    Reading {
        /// The field.
        of: Path,
        /// The field that says what it belongs to.
        period: Option<Path>,
    },
    /// Share of the matches of another filter.
    ShareOf(FilterIx),
    /// Points that fade.
    Score(Box<Scoring>),
    /// Events in an order: the filter of each step.
    Steps(Vec<FilterIx>),
    /// Which values there were.
    New(Path),
    /// Number of matches, and what is usual for each hour of the week.
    Usual,
    /// Something that begins and is to reach an end.
    Course(Box<Course>),
    /// Rows in which the rule with this key holds; the filter only says by which watermarks that is known.
    Crowd(u32),
}

/// What a milestone follows from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Course {
    /// What begins it.
    pub begin: Begin,
    /// What ends it.
    pub expect: Option<FilterIx>,
    /// Where nothing is expected: the numbers of the steps that end it, once all are done.
    pub closing: Vec<u8>,
    /// The steps on its way.
    pub steps: Option<CourseSteps>,
}

/// When a course begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Begin {
    /// With a match.
    At(FilterIx),
    /// At a time of the profile; a date begins at local midnight.
    On(Field),
}

/// The steps of a course.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CourseSteps {
    /// The events that say that one is done.
    pub filter: FilterIx,
    /// The field that says which.
    pub field: Path,
    /// Their names, in order.
    pub names: Vec<Box<str>>,
}

impl Course {
    /// The number of a step.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u8> {
        let place = self.steps.as_ref()?.names.iter().position(|own| **own == *name)?;
        u8::try_from(place).ok()
    }

    /// The name of a step.
    #[must_use]
    pub fn name(&self, number: u8) -> Option<&str> {
        self.steps.as_ref()?.names.get(usize::from(number)).map(|name| &**name)
    }

    /// All filters that it reads.
    pub fn filters(&self) -> impl Iterator<Item = FilterIx> + use<'_> {
        let begin = match self.begin {
            Begin::At(filter) => Some(filter),
            Begin::On(_) => None,
        };
        begin.into_iter().chain(self.expect).chain(self.steps.as_ref().map(|steps| steps.filter))
    }
}

/// How points add up and fade (`detectors.md` §3.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scoring {
    /// After this long half of the points are left, ms.
    pub half_life_ms: i64,
    /// The score is no lower.
    pub lowest: Decimal,
    /// The score is no higher.
    pub highest: Decimal,
    /// A field that sets the score and ends older points.
    pub imported: Option<Path>,
    /// What gives points.
    pub factors: Vec<Factor>,
}

/// One thing that gives points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor {
    /// Its name in explanations.
    pub name: Box<str>,
    /// How many of its latest events count.
    pub max: u8,
    /// When it gives how many.
    pub points: Points,
}

/// When a factor gives how many points; in 256ths of a point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Points {
    /// If the event matches.
    If(Match, i32),
    /// While the rule of this id holds in the same account, for the event's values of its other keys.
    While(Box<str>, i32),
    /// By the value of a field.
    By(Path, Vec<(Box<str>, i32)>),
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
    /// Local days, weeks or months, each by itself.
    Buckets {
        /// What is counted in.
        bucket: Bucket,
        /// How many of them are looked at one after the other.
        count: u16,
    },
    /// No window: the last match only (absence, level).
    Newest,
}

/// A part of the local calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// A day.
    Day,
    /// A week from Monday on.
    Week,
    /// A month.
    Month,
}

impl Bucket {
    /// Its name in the rule language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each of them is asked for or not, whatever the others are"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Own gaps between matches (guard `usual_gap`), in 64ths of this `for`, ms; 0: none.
    pub gaps_for_ms: i64,
    /// The dispersion of daily counts is needed.
    pub dispersion: bool,
    /// The local days of its matches are told apart, whatever its window: guard `min_days`, absences counted in days.
    pub days: bool,
    /// The last value of each of the latest days is needed.
    pub pace: bool,
    /// Across accounts: whose the matches are is kept, for the guard `min_accounts` or the output `accounts`.
    pub accounts: bool,
}

impl Extras {
    /// What guards of a measure over a window need.
    #[must_use]
    pub const fn of(guards: &Guards) -> Self {
        Self {
            gaps_for_ms: 0,
            dispersion: guards.own_dispersion,
            days: guards.min_days.is_some(),
            pace: false,
            accounts: guards.min_accounts.is_some(),
        }
    }
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

/// One rung of a ladder; a plain comparator is a ladder of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// The comparison (absence and milestone: always `Gte`, the limit in ms).
    pub op: Comparator,
    /// What the value is compared with.
    pub limit: Decimal,
    /// The severity it means, if the rung says so.
    pub severity: Option<Severity>,
    /// Milestone: the number of the step that meets it.
    pub step: Option<u8>,
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
        /// Only those whose value of a field is new.
        new: Option<Novelty>,
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
    /// Each of the last complete days, weeks or months.
    Cadence {
        /// What is measured.
        series: SeriesIx,
        /// The buckets that must meet the threshold; its series keeps more.
        window: Window,
        /// The threshold or ladder.
        rungs: Vec<Rung>,
    },
    /// A window of complete days (or of panes, up to 24 h) against the one before.
    Compare {
        /// What is measured.
        series: SeriesIx,
        /// The rule's own window.
        window: Window,
        /// `as: difference` instead of the relative change.
        difference: bool,
        /// Against the own usual for the hour of the week instead of the window before.
        baseline: bool,
        /// The threshold or ladder.
        rungs: Vec<Rung>,
    },
    /// The newest value, or a measure over a window, against a limit.
    Level {
        /// What is measured.
        series: SeriesIx,
        /// The rule's own window; [`Window::Newest`]: the newest value.
        window: Window,
        /// The threshold or ladder.
        rungs: Vec<Rung>,
        /// What of the profile it is a share of.
        relative_to: Option<Reference>,
        /// The value is that of so long after the newest, at the pace of late, ms.
        forecast_ms: Option<i64>,
        /// Each rung is told once a period of the series.
        once: bool,
    },
    /// Points that fade against a limit.
    Score {
        /// The points.
        series: SeriesIx,
        /// The threshold.
        rungs: Vec<Rung>,
        /// Names of ranges of the score, each up to its limit, from low to high.
        bands: Vec<(Box<str>, Decimal)>,
    },
    /// Something that was to be reached in time.
    Milestone {
        /// How far it has come.
        series: SeriesIx,
        /// When what is due, from mild to bad, ms from the beginning.
        rungs: Vec<Rung>,
    },
    /// Events in the order of the steps, by event time.
    Sequence {
        /// Their matches.
        series: SeriesIx,
        /// Less time than this lies between the first and the last, ms.
        within_ms: i64,
    },
    /// Rows in which another rule has become true (`collapse_to`).
    Crowd {
        /// The rows.
        series: SeriesIx,
        /// Less time than this lies between the first and the last beginning; so long after the last end it is over, ms.
        within_ms: i64,
        /// How many.
        rungs: Vec<Rung>,
    },
}

/// What makes the value of a field new in a row: it was never there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Novelty {
    /// The known values.
    pub series: SeriesIx,
    /// Nothing is new until this long after the first match, ms.
    pub learn_ms: i64,
}

/// What of a profile a level is a share of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A number.
    Number(Field),
    /// The entry of a map that the entity's key names.
    Entry(Field),
    /// The length of a list.
    Length(Field),
}

impl Detector {
    /// Its name in the rule language.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Count { .. } => "count",
            Self::Absence { .. } => "absence",
            Self::Cadence { .. } => "cadence",
            Self::Compare { .. } => "compare",
            Self::Level { .. } => "level",
            Self::Score { .. } => "score",
            Self::Milestone { .. } => "milestone",
            Self::Sequence { .. } => "sequence",
            Self::Crowd { .. } => "collapse_to",
        }
    }

    /// Whether events alone make it true, until its alert is over.
    #[must_use]
    pub const fn is_eventful(&self) -> bool {
        matches!(self, Self::Event { .. } | Self::Sequence { .. })
    }

    /// What its value is compared with, from mild to bad; nothing for `event` and `sequence`.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        match self {
            Self::Event { .. } | Self::Sequence { .. } => &[],
            Self::Count { rungs, .. }
            | Self::Absence { rungs, .. }
            | Self::Cadence { rungs, .. }
            | Self::Compare { rungs, .. }
            | Self::Level { rungs, .. }
            | Self::Score { rungs, .. }
            | Self::Milestone { rungs, .. }
            | Self::Crowd { rungs, .. } => rungs,
        }
    }

    /// The series that it judges; none for `event`.
    #[must_use]
    pub const fn series(&self) -> Option<SeriesIx> {
        match self {
            Self::Event { .. } => None,
            Self::Count { series, .. }
            | Self::Absence { series, .. }
            | Self::Cadence { series, .. }
            | Self::Compare { series, .. }
            | Self::Level { series, .. }
            | Self::Score { series, .. }
            | Self::Milestone { series, .. }
            | Self::Sequence { series, .. }
            | Self::Crowd { series, .. } => Some(*series),
        }
    }

    /// The window over which it measures, if it measures something; of what has no beginning [`Window::Newest`].
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        match self {
            Self::Count { window, .. }
            | Self::Cadence { window, .. }
            | Self::Compare { window, .. }
            | Self::Level { window, .. } => Some(window),
            Self::Score { .. } => Some(&Window::Newest),
            Self::Event { .. }
            | Self::Absence { .. }
            | Self::Milestone { .. }
            | Self::Sequence { .. }
            | Self::Crowd { .. } => None,
        }
    }
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
