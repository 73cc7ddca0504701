//! Detectors and guards.

use crate::document::{Code, DAY_MS, Node, Scalar, Span, Table, Value, duration_text};
use crate::event::{Field, FieldType, Kind};
use crate::rules::compile::{Compiler, Filtered, Measured, Subject};
use crate::rules::measure::{SEVERITIES, needed, window_of_compare, window_of_count};
use crate::rules::program::{
    Comparator, CountAs, Decimal, Detector, Entity, Extras, Guards, Measure, Novelty, Output, Rung, Window,
};
use crate::rules::value;

/// For so long after the first match, unless the rule says otherwise, nothing is new.
const LEARN_MS: i64 = 7 * DAY_MS;

/// A row across accounts tells so many accounts apart.
const ACCOUNTS_MAX: i64 = 16_384;

/// What names and guards must know of a compiled detector.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The detector.
    pub detector: Detector,
    /// The events it watches.
    pub kind: Kind,
    /// Whether an event makes it true, so that there is a firing event.
    pub fires: bool,
    /// Whether it is a lack of something.
    pub negative: bool,
    /// Whether its value is milliseconds.
    pub durations: bool,
    /// Its measure.
    pub measure: Option<Measure>,
    /// Its name in the language.
    pub name: &'static str,
}

/// The outputs of a milestone.
const MILESTONE: [(&str, Output, FieldType); 10] = [
    ("met", Output::Met, FieldType::Bool),
    ("value", Output::Value, FieldType::Double),
    ("threshold", Output::Threshold, FieldType::Double),
    ("onset", Output::Onset, FieldType::Time),
    ("start", Output::Start, FieldType::Time),
    ("elapsed", Output::Elapsed, FieldType::Int),
    ("step", Output::Step, FieldType::Text),
    ("missing", Output::Missing, FieldType::Texts),
    ("done", Output::Done, FieldType::Int),
    ("total", Output::Total, FieldType::Int),
];

impl Judged {
    /// The outputs it has.
    pub fn outputs(&self) -> &'static [(&'static str, Output, FieldType)] {
        const COMMON: (&str, Output, FieldType) = ("met", Output::Met, FieldType::Bool);
        const VALUE: (&str, Output, FieldType) = ("value", Output::Value, FieldType::Double);
        const THRESHOLD: (&str, Output, FieldType) = ("threshold", Output::Threshold, FieldType::Double);
        const ONSET: (&str, Output, FieldType) = ("onset", Output::Onset, FieldType::Time);
        const ACCOUNTS: (&str, Output, FieldType) = ("accounts", Output::Accounts, FieldType::Int);
        match self.detector {
            Detector::Event { .. } | Detector::Crowd { .. } => &[COMMON, VALUE, THRESHOLD, ONSET],
            Detector::Milestone { .. } => &MILESTONE,
            Detector::Sequence { .. } => {
                &[COMMON, VALUE, THRESHOLD, ONSET, ("elapsed", Output::Elapsed, FieldType::Int)]
            }
            Detector::Count { .. } => {
                &[COMMON, VALUE, THRESHOLD, ONSET, ("events", Output::Events, FieldType::Int), ACCOUNTS]
            }
            Detector::Absence { .. } => &[
                COMMON,
                VALUE,
                THRESHOLD,
                ONSET,
                ("elapsed", Output::Elapsed, FieldType::Int),
                ("last_seen", Output::LastSeen, FieldType::Time),
                ("usual_gap", Output::UsualGap, FieldType::Int),
            ],
            Detector::Cadence { .. } => &[
                COMMON,
                VALUE,
                THRESHOLD,
                ONSET,
                ("buckets", Output::Buckets, FieldType::Texts),
                ("median", Output::Median, FieldType::Double),
                ("current", Output::Current, FieldType::Double),
                ("last", Output::Last, FieldType::Double),
            ],
            Detector::Compare { .. } => &[
                COMMON,
                VALUE,
                THRESHOLD,
                ONSET,
                ("current", Output::Current, FieldType::Double),
                ("previous", Output::Previous, FieldType::Double),
                ("expected", Output::Expected, FieldType::Double),
                ("p", Output::P, FieldType::Double),
                ACCOUNTS,
            ],
            Detector::Level { .. } => &[
                COMMON,
                VALUE,
                THRESHOLD,
                ONSET,
                ("events", Output::Events, FieldType::Int),
                ACCOUNTS,
                ("used", Output::Used, FieldType::Double),
                ("cap", Output::Cap, FieldType::Double),
                ("eta", Output::Eta, FieldType::Time),
            ],
            Detector::Score { .. } => &[
                COMMON,
                VALUE,
                THRESHOLD,
                ONSET,
                ("band", Output::Band, FieldType::Text),
                ("top_factors", Output::TopFactors, FieldType::Texts),
            ],
        }
    }
}

impl<'n> Compiler<'n> {
    /// `event: {topic, where}`.
    pub fn event_detector(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<Judged> {
        let table = node.table("event", &["topic", "where", "new", "learn"], &mut self.mistakes)?;
        let filtered = self.filter(&table, subject)?;
        let new = match table.optional("new") {
            Some(field) => Some(self.novelty((&table, field), filtered, subject)?),
            None => None,
        };
        if new.is_none()
            && let Some(learn) = table.entry("learn")
        {
            self.mistakes
                .report(learn.span, Code::E08, "learn without new means nothing")
                .hint("name the field: `new: error_code`");
        }
        Some(Judged {
            detector: Detector::Event { filter: filtered.filter, new },
            kind: filtered.kind,
            fires: true,
            negative: false,
            durations: false,
            measure: None,
            name: "event",
        })
    }

    /// What makes an event new: its field, and how long nothing is.
    fn novelty(
        &mut self,
        (table, field): (&Table<'n>, &'n Node),
        filtered: Filtered,
        subject: &Subject<'n>,
    ) -> Option<Novelty> {
        let named = self.own_field(field, filtered.kind)?;
        let learn = table.optional("learn").map(|node| value::span_ms(node, &mut self.mistakes));
        let series = self.series(
            table.span,
            Measured {
                filter: filtered.filter,
                measure: Measure::New(named.path),
                window: Window::Newest,
                keep_days: 0,
                negative: false,
                reset: None,
                extras: Extras::default(),
                subject,
            },
        );
        Some(Novelty { series, learn_ms: learn.unwrap_or(Some(LEARN_MS))? })
    }

    /// `count: {topic, where, measure, within, comparator, reset}`.
    pub fn count_detector(
        &mut self,
        node: &'n Node,
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let known = ["topic", "where", "measure", "within", "gt", "gte", "lt", "lte", "ladder", "reset"];
        let table = node.table("count", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let within = self.within(&table, 63);
        let reset = table.optional("reset").map(|node| self.filter_node("reset", node, subject));
        let measuring = self.measure(&table, filtered?.kind, subject)?;
        let rungs = self.rungs(&table, measuring.durations)?;
        let (filtered, (span_ms, _)) = (filtered?, within?);
        let upward = rungs.iter().all(|rung| rung.op.is_upward());
        if needed(&rungs).is_some_and(|need| need < 1) {
            self.mistakes.report(node.span, Code::E05, "this threshold is met by no event at all");
            return None;
        }
        let of = (filtered.kind, &subject.entity);
        let window = window_of_count(span_ms, of, &measuring.measure, &rungs);
        let keep_days = match window {
            Window::Days { days } => days,
            _ => 0,
        };
        let reset = match reset {
            Some(reset) => Some(reset?.filter),
            None => None,
        };
        let series = self.series(
            node.span,
            Measured {
                filter: filtered.filter,
                measure: measuring.measure.clone(),
                window,
                keep_days,
                negative: !upward,
                reset,
                extras: Extras::of(guards),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Count { series, window, rungs },
            kind: filtered.kind,
            fires: upward,
            negative: !upward,
            durations: measuring.durations,
            measure: Some(measuring.measure),
            name: "count",
        })
    }

    /// `absence: {topic, where, for or ladder, count_as, arm, until}`.
    pub fn absence_detector(
        &mut self,
        node: &'n Node,
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let known = ["topic", "where", "for", "ladder", "count_as", "arm", "until"];
        let table = node.table("absence", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let count_as = self.count_as(&table);
        let arm = table.optional("arm").map(|node| self.arm(node));
        let until = table.optional("until").map(|node| self.filter_node("until", node, subject));
        let rungs = self.absence_rungs(&table, count_as?)?;
        let (filtered, count_as) = (filtered?, count_as?);
        let until = match until {
            Some(until) => Some(until?.filter),
            None => None,
        };
        let arm = match arm {
            Some(arm) => arm?,
            None => None,
        };
        let unit = if count_as == CountAs::Elapsed { 1 } else { DAY_MS };
        let shortest = rungs.first().map_or(0, |rung| rung.limit.mantissa * unit);
        let series = self.series(
            node.span,
            Measured {
                filter: filtered.filter,
                measure: Measure::Count,
                window: Window::Newest,
                keep_days: 0,
                negative: true,
                reset: None,
                extras: Extras {
                    gaps_for_ms: if guards.usual_gap.is_some() { shortest } else { 0 },
                    days: count_as != CountAs::Elapsed,
                    ..Extras::default()
                },
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Absence { series, rungs, count_as, arm, until },
            kind: filtered.kind,
            fires: false,
            negative: true,
            durations: true,
            measure: None,
            name: "absence",
        })
    }

    fn count_as(&mut self, table: &Table<'n>) -> Option<CountAs> {
        let Some(node) = table.optional("count_as") else { return Some(CountAs::Elapsed) };
        let known = [
            ("elapsed", CountAs::Elapsed),
            ("calendar_days", CountAs::CalendarDays),
            ("business_days", CountAs::BusinessDays),
        ];
        node.choice("way to count", &known, &mut self.mistakes)
    }

    /// `first_event`, or a time of the profile.
    fn arm(&mut self, node: &'n Node) -> Option<Option<Field>> {
        let word = node.text(&mut self.mistakes)?;
        if word == "first_event" {
            return Some(None);
        }
        let field = word.strip_prefix("account.").and_then(|name| Field::named(Kind::Account, name));
        let time = field.filter(|field| matches!(field.spec().ty, FieldType::Time | FieldType::Date));
        if time.is_none() {
            self.mistakes
                .report(node.span, Code::E04, format!("`{word}` is nothing to count from"))
                .detail("arm takes first_event or a time of the profile, such as account.created_at");
        }
        time.map(Some)
    }

    fn absence_rungs(&mut self, table: &Table<'n>, count_as: CountAs) -> Option<Vec<Rung>> {
        let (plain, ladder) = (table.optional("for"), table.optional("ladder"));
        match (plain, ladder) {
            (Some(node), None) => {
                let limit = self.absence_limit(node, count_as)?;
                Some(vec![Rung { op: Comparator::Gte, limit, severity: None, step: None }])
            }
            (None, Some(ladder)) => {
                let mut rungs = Vec::new();
                for node in ladder.list("ladder", &mut self.mistakes)? {
                    let own = node.table("rung", &["for", "severity"], &mut self.mistakes)?;
                    let limit = own.required("for", &mut self.mistakes);
                    let severity = own.required("severity", &mut self.mistakes);
                    let severity = severity?.choice("severity", &SEVERITIES, &mut self.mistakes);
                    let limit = self.absence_limit(limit?, count_as)?;
                    rungs.push(Rung { op: Comparator::Gte, limit, severity: Some(severity?), step: None });
                }
                self.ordered(ladder, &rungs).then_some(rungs)
            }
            (Some(node), Some(_)) => {
                self.mistakes.report(node.span, Code::E08, "absence has both `for` and `ladder`");
                None
            }
            (None, None) => {
                self.mistakes
                    .report(table.span, Code::E02, "absence has no `for`")
                    .hint("write `for: 7d`, or a ladder");
                None
            }
        }
    }

    fn absence_limit(&mut self, node: &'n Node, count_as: CountAs) -> Option<Decimal> {
        let ms = value::span_ms(node, &mut self.mistakes)?;
        if ms < 60_000 {
            self.mistakes.report(
                node.span,
                Code::E05,
                format!("absence for {} is under a minute", duration_text(ms)),
            );
            return None;
        }
        if count_as == CountAs::Elapsed {
            return Some(Decimal::whole(ms));
        }
        if ms % DAY_MS != 0 {
            self.mistakes
                .report(node.span, Code::E05, format!("{} is not whole days", node.shown()))
                .hint("count_as: calendar_days and business_days count days");
            return None;
        }
        Some(Decimal::whole(ms / DAY_MS))
    }

    /// `compare: {topic, where, measure, within, against, as, comparator}`.
    pub fn compare_detector(
        &mut self,
        node: &'n Node,
        guards: &Guards,
        subject: &Subject<'n>,
    ) -> Option<Judged> {
        let known =
            ["topic", "where", "measure", "within", "against", "as", "gt", "gte", "lt", "lte", "ladder"];
        let table = node.table("compare", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let within = self.within(&table, 31);
        let against = table.required("against", &mut self.mistakes);
        let known = [("previous", true), ("baseline", false)];
        let previous = against.and_then(|node| node.choice("comparison", &known, &mut self.mistakes));
        if let (Some(false), Some(node)) = (previous, against) {
            let span_ms = within?.0;
            return self.baseline_detector((&table, node), (filtered?, span_ms), guards, subject);
        }
        let difference = table.optional("as").map_or(Some(false), |node| {
            node.choice("form of a change", &[("change", false), ("difference", true)], &mut self.mistakes)
        });
        let mut measuring = self.measure(&table, filtered?.kind, subject)?;
        // What was known when a window ended, not what came within it.
        if let Measure::Last(of) = measuring.measure {
            measuring.measure = Measure::Known(of);
        }
        let rungs = self.rungs(&table, measuring.durations && difference?)?;
        let (filtered, (span_ms, _), difference) = (filtered?, within?, difference?);
        previous?;
        let upward = rungs.iter().all(|rung| rung.op.is_upward());
        let window = window_of_compare(span_ms);
        let keep_days = match window {
            Window::Days { days } => 2 * days,
            _ => 0,
        };
        let series = self.series(
            node.span,
            Measured {
                filter: filtered.filter,
                measure: measuring.measure.clone(),
                window,
                keep_days,
                negative: !upward || keep_days > 0,
                reset: None,
                extras: Extras::of(guards),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Compare { series, window, difference, baseline: false, rungs },
            kind: filtered.kind,
            fires: upward && keep_days == 0,
            negative: !upward,
            durations: measuring.durations,
            measure: Some(measuring.measure),
            name: "compare",
        })
    }

    /// Reads `guard`; whether it fits the detector is [`Self::guards_fit`].
    pub fn guards(&mut self, node: &'n Node) -> Option<Guards> {
        let table = node.table("guard", &GUARDS.map(|(name, _)| name), &mut self.mistakes)?;
        let mut guards = Guards::default();
        let mistakes = &mut self.mistakes;
        let mut number = |name: &str| table.optional(name).and_then(|node| value::number(node, mistakes));
        guards.min_current = number("min_current");
        guards.min_previous = number("min_previous");
        guards.min_difference = number("min_difference");
        guards.usual_gap = number("usual_gap");
        guards.significance = number("significance");
        if guards.significance.is_some_and(|p| p.to_f64() > 1.0)
            && let Some(node) = table.optional("significance")
        {
            mistakes.report(node.span, Code::E05, "significance is not between 0 and 1");
        }
        let days = table.optional("min_days").and_then(|node| node.integer(1..=63, mistakes));
        let events = table.optional("min_events").and_then(|node| node.integer(1..=1_000_000_000, mistakes));
        guards.min_events = events.and_then(|events| u32::try_from(events).ok());
        guards.min_days = days.and_then(|days| u32::try_from(days).ok());
        let accounts =
            table.optional("min_accounts").and_then(|node| node.integer(1..=ACCOUNTS_MAX, mistakes));
        guards.min_accounts = accounts.and_then(|accounts| u32::try_from(accounts).ok());
        guards.min_age_ms = table.optional("min_age").and_then(|node| value::span_ms(node, mistakes));
        let dispersion = [("poisson", false), ("own", true)];
        guards.own_dispersion = table
            .optional("dispersion")
            .and_then(|node| node.choice("dispersion", &dispersion, mistakes))
            .unwrap_or(false);
        guards.ignore_stall = table
            .optional("stall")
            .and_then(|node| node.choice("way to treat stalls", &[("ignore", true)], mistakes))
            .unwrap_or(false);
        Some(guards)
    }

    /// Reports guards that do not fit the detector.
    pub fn guards_fit(
        &mut self,
        at: Span,
        (node, guards): (Option<&'n Node>, &Guards),
        judged: &Judged,
        entity: &Entity,
    ) {
        if let Some(Value::Map(entries)) = node.map(|node| &node.value) {
            for entry in entries {
                let Some((name, fits)) = GUARDS.iter().find(|(name, _)| *name == &*entry.key) else {
                    continue;
                };
                if let Err((detail, hint)) = fits(judged) {
                    let sentence = format!("{name} does not fit {}", described(judged));
                    self.mistakes.report(entry.span, Code::E08, sentence).detail(detail).hint(hint);
                }
            }
            if node.is_some_and(|node| node.get("dispersion").is_some() && node.get("significance").is_none())
            {
                let span = node.map_or(at, |node| node.span);
                self.mistakes.report(span, Code::E08, "dispersion without significance means nothing");
            }
        }
        if let Some(days) = node.and_then(|node| node.get("min_days")) {
            let bound = days.scalar().and_then(Scalar::as_integer).unwrap_or(0);
            let why = match &judged.detector {
                Detector::Compare { window, .. } if is_hours(window) => {
                    "a compare within hours counts no days"
                }
                Detector::Count { window, .. } if is_hours(window) && bound > 2 => {
                    "a window of up to 24h touches two local days at most"
                }
                _ => "",
            };
            if !why.is_empty() {
                self.mistakes.report(days.span, Code::E08, why).hint("write `within` in whole days: `2d`");
            }
        }
        if let Some(accounts) = node.and_then(|node| node.get("min_accounts"))
            && entity.account
            && guards.min_accounts.is_some_and(|bound| bound > 1)
        {
            self.mistakes
                .report(accounts.span, Code::E08, "a row of one account never has matches of several")
                .hint("leave it out, or take an entity across accounts: `entity: platform`");
        }
    }
}

/// Whether a window is measured in hours, not in days.
const fn is_hours(window: &Window) -> bool {
    !matches!(window, Window::Days { .. })
}

/// How messages call a detector with its measure.
fn described(judged: &Judged) -> String {
    match &judged.measure {
        _ if matches!(judged.detector, Detector::Compare { baseline: true, .. }) => {
            "a compare with the baseline".to_owned()
        }
        Some(Measure::Sum(_)) => format!("a {} on sum", judged.name),
        Some(Measure::Distinct(_)) => format!("a {} on distinct", judged.name),
        Some(Measure::Mean(_)) => format!("a {} on mean", judged.name),
        Some(Measure::ShareOf(_)) => format!("a {} on share_of", judged.name),
        Some(Measure::Last(_) | Measure::Known(_)) => format!("a {} on last", judged.name),
        _ => {
            format!("{} {}", if matches!(judged.name, "event" | "absence") { "an" } else { "a" }, judged.name)
        }
    }
}

type Fits = fn(&Judged) -> Result<(), (&'static str, &'static str)>;

/// The guards, and what each fits.
const GUARDS: [(&str, Fits); 11] = [
    ("min_current", is_compare),
    ("min_previous", has_before),
    ("min_difference", has_previous),
    ("min_events", is_relative),
    ("min_days", has_matches),
    ("min_accounts", has_owners),
    ("significance", is_test_of_counts),
    ("dispersion", is_dispersed),
    ("usual_gap", is_absence),
    ("min_age", always),
    ("stall", is_negative),
];

#[expect(clippy::unnecessary_wraps, reason = "one of the tests of the table above")]
fn always(_: &Judged) -> Result<(), (&'static str, &'static str)> {
    Ok(())
}

fn is_compare(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { .. } => Ok(()),
        _ => Err(("it compares two windows", "raise the threshold instead")),
    }
}

fn has_previous(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { baseline: true, .. } => {
            Err(("it looks at the window before", "use `min_current`"))
        }
        _ => is_compare(judged),
    }
}

fn has_before(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { baseline: true, .. } => has_previous(judged),
        Detector::Compare { .. } | Detector::Cadence { .. } => Ok(()),
        _ => Err(("it looks at what was before", "raise the threshold instead")),
    }
}

fn has_matches(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { .. } | Detector::Count { .. } => Ok(()),
        _ => Err(("it counts days with matches", "leave it out")),
    }
}

fn has_owners(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { .. } | Detector::Count { .. } => Ok(()),
        _ => Err(("it counts accounts with matches", "leave it out")),
    }
}

fn is_test_of_counts(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match (&judged.detector, &judged.measure) {
        (Detector::Compare { .. }, Some(Measure::Count)) => Ok(()),
        (Detector::Compare { .. }, _) => Err(("it tests counts", "use `min_current`, `min_days`")),
        _ => Err(("it tests counts of two windows", "leave it out")),
    }
}

fn is_dispersed(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Compare { baseline: true, .. } => {
            Err(("a baseline has its own dispersion", "leave it out"))
        }
        _ => is_test_of_counts(judged),
    }
}

fn is_relative(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match (&judged.detector, &judged.measure) {
        (Detector::Cadence { .. }, _) => Err(("it looks at a whole window", "leave it out")),
        (_, Some(Measure::ShareOf(_) | Measure::Mean(_))) => Ok(()),
        _ => Err(("it counts what a share or mean is of", "use a higher threshold")),
    }
}

fn is_absence(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    match judged.detector {
        Detector::Absence { .. } => Ok(()),
        _ => Err(("it is about gaps between matches", "leave it out")),
    }
}

fn is_negative(judged: &Judged) -> Result<(), (&'static str, &'static str)> {
    if judged.negative {
        return Ok(());
    }
    Err(("a stalled source hides only what is missing", "leave it out"))
}
