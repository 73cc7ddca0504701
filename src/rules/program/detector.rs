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
    /// Share of the matches of another filter.
    ShareOf(FilterIx),
    /// Points that fade.
    Score(Box<Scoring>),
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
            Self::Compare { .. } => "compare",
            Self::Level { .. } => "level",
            Self::Score { .. } => "score",
        }
    }

    /// What its value is compared with, from mild to bad; nothing for `event`.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        match self {
            Self::Event { .. } => &[],
            Self::Count { rungs, .. }
            | Self::Absence { rungs, .. }
            | Self::Compare { rungs, .. }
            | Self::Level { rungs, .. }
            | Self::Score { rungs, .. } => rungs,
        }
    }

    /// The series that it judges; none for `event`.
    #[must_use]
    pub const fn series(&self) -> Option<SeriesIx> {
        match self {
            Self::Event { .. } => None,
            Self::Count { series, .. }
            | Self::Absence { series, .. }
            | Self::Compare { series, .. }
            | Self::Level { series, .. }
            | Self::Score { series, .. } => Some(*series),
        }
    }

    /// The window over which it measures, if it measures something; of what has no beginning [`Window::Newest`].
    #[must_use]
    pub const fn window(&self) -> Option<&Window> {
        match self {
            Self::Count { window, .. } | Self::Compare { window, .. } | Self::Level { window, .. } => {
                Some(window)
            }
            Self::Score { .. } => Some(&Window::Newest),
            Self::Event { .. } | Self::Absence { .. } => None,
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
