//! Measures, windows and thresholds.

use crate::document::{Code, DAY_MS, Node, Table, duration_text};
use crate::event::{FieldType, Kind};
use crate::rules::compile::{Compiler, Subject};
use crate::rules::matches::{COMPARATORS, type_name};
use crate::rules::program::{Comparator, Decimal, Entity, Measure, Path, Rung, Severity, Window};
use crate::rules::value;
use crate::rules::vocabulary::{Named, Vocabulary};

/// A ring of timestamps holds no more.
const LONGEST_RING: i64 = 64;

/// The severities by name.
pub const SEVERITIES: [(&str, Severity); 4] = [
    ("info", Severity::Info),
    ("warning", Severity::Warning),
    ("error", Severity::Error),
    ("critical", Severity::Critical),
];

/// A measure and whether its value is milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measuring {
    /// What is measured.
    pub measure: Measure,
    /// Whether thresholds may be written as durations.
    pub durations: bool,
}

impl<'n> Compiler<'n> {
    /// Reads `measure`; `count` where it is absent.
    pub fn measure(&mut self, table: &Table<'n>, kind: Kind, subject: &Subject<'n>) -> Option<Measuring> {
        let Some(node) = table.optional("measure") else {
            return Some(Measuring { measure: Measure::Count, durations: false });
        };
        if node.scalar().is_some() {
            node.choice("measure", &[("count", ())], &mut self.mistakes)?;
            return Some(Measuring { measure: Measure::Count, durations: false });
        }
        let known = ["distinct", "sum", "mean", "last", "share_of"];
        let own = node.table("measure", &known, &mut self.mistakes)?;
        if let Some(field) = own.optional("last") {
            let named = self.measured_number("last", field, kind)?;
            return Some(Measuring { durations: named.durations, measure: Measure::Last(named.path) });
        }
        if let Some(field) = own.optional("mean") {
            let named = self.measured_number("mean", field, kind)?;
            return Some(Measuring { durations: named.durations, measure: Measure::Mean(named.path) });
        }
        if let Some(node) = own.optional("share_of") {
            let base = self.filter_node("share_of", node, subject)?;
            return Some(Measuring { durations: false, measure: Measure::ShareOf(base.filter) });
        }
        match (own.optional("sum"), own.optional("distinct")) {
            (Some(field), Some(by)) => {
                let named = self.measured_number("sum", field, kind);
                let by = self.measured_field(by, kind)?.path;
                let named = named?;
                let measure = Measure::SumDistinct { of: named.path, by };
                Some(Measuring { durations: named.durations, measure })
            }
            (Some(field), None) => {
                let named = self.measured_number("sum", field, kind)?;
                Some(Measuring { durations: named.durations, measure: Measure::Sum(named.path) })
            }
            (None, Some(field)) => {
                let named = self.measured_field(field, kind)?;
                Some(Measuring { durations: false, measure: Measure::Distinct(named.path) })
            }
            (None, None) => None,
        }
    }

    /// A field that is a number.
    fn measured_number(&mut self, what: &str, node: &'n Node, kind: Kind) -> Option<Named> {
        let named = self.measured_field(node, kind)?;
        if !matches!(named.ty, FieldType::Int | FieldType::Double) {
            let sentence = format!("{what} does not fit {}", type_name(named.ty));
            self.mistakes.report(node.span, Code::E03, sentence).hint("use `distinct`");
            return None;
        }
        Some(named)
    }

    /// A field of the event, or of its account's profile, that a measure reads.
    fn measured_field(&mut self, node: &'n Node, kind: Kind) -> Option<Named> {
        let name = node.text(&mut self.mistakes)?;
        let Some(field) = name.strip_prefix("account.") else { return self.event_field(name, node, kind) };
        let found = Vocabulary::account_field(field)
            .filter(|named| matches!(named.path, Path::Account(_) | Path::AccountArr));
        if found.is_none() {
            let known: Vec<String> =
                Vocabulary::account_fields().map(|name| format!("account.{name}")).collect();
            self.mistakes
                .report(node.span, Code::E06, format!("`{name}` is nothing to measure"))
                .suggest(name, known.iter().map(String::as_str));
        }
        let durations = name.ends_with("_ms");
        found.map(|named| Named { durations, ..named })
    }

    /// A field of the event alone.
    pub fn own_field(&mut self, node: &'n Node, kind: Kind) -> Option<Named> {
        let name = node.text(&mut self.mistakes)?;
        self.event_field(name, node, kind)
    }

    /// A field of events of a kind; reports an unknown one.
    pub fn event_field(&mut self, name: &str, node: &'n Node, kind: Kind) -> Option<Named> {
        let found = self.vocabulary.event_field(kind, name);
        if found.is_none() {
            self.vocabulary.unknown_field(kind, name, node.span, &mut self.mistakes);
        }
        found
    }

    /// Reads `within`: up to 24 hours, or whole days up to `most_days`.
    pub fn within(&mut self, table: &Table<'n>, most_days: i64) -> Option<(i64, &'n Node)> {
        let node = table.required("within", &mut self.mistakes)?;
        let span = node.duration(&mut self.mistakes)?;
        let text = duration_text(span);
        if span > DAY_MS && span % DAY_MS != 0 {
            let days = span / DAY_MS + 1;
            self.mistakes
                .report(
                    node.span,
                    Code::E05,
                    format!("within {} is neither <= 24h nor whole days", node.shown()),
                )
                .hint(format!("write `{days}d`"));
            return None;
        }
        if !(60_000..=most_days * DAY_MS).contains(&span) {
            let sentence = format!("within {text} is not between 1m and {most_days}d");
            self.mistakes.report(node.span, Code::E05, sentence);
            return None;
        }
        if span <= DAY_MS && span % 60 != 0 {
            let sentence = format!("within {text} does not divide into 60 panes of whole milliseconds");
            self.mistakes.report(node.span, Code::E05, sentence).hint("write whole minutes");
            return None;
        }
        Some((span, node))
    }

    /// Reads the comparator, or the ladder, of a detector. All rungs point one way, from mild to bad.
    pub fn rungs(&mut self, table: &Table<'n>, durations: bool) -> Option<Vec<Rung>> {
        let ladder = table.optional("ladder");
        let (ops, many): (Vec<_>, bool) = (self.comparators(table, durations), ladder.is_some());
        if ops.len() + usize::from(many) != 1 {
            let what = table.what;
            let sentence = format!("{what} has {} comparators", ops.len() + usize::from(many));
            self.mistakes
                .report(table.span, Code::E08, sentence)
                .detail("it takes one of gt gte lt lte ladder");
            return None;
        }
        let Some(ladder) = ladder else {
            let (op, limit) = ops.into_iter().next().flatten()?;
            return Some(vec![Rung { op, limit, severity: None, step: None }]);
        };
        let mut rungs = Vec::new();
        for node in ladder.list("ladder", &mut self.mistakes)? {
            let own = node.table("rung", &["gt", "gte", "lt", "lte", "severity"], &mut self.mistakes)?;
            let ops = self.comparators(&own, durations);
            let severity = own.required("severity", &mut self.mistakes);
            let severity = severity?.choice("severity", &SEVERITIES, &mut self.mistakes)?;
            let [one] = &ops[..] else {
                self.mistakes.report(node.span, Code::E08, "a rung has one comparator");
                return None;
            };
            let (op, limit) = (*one)?;
            rungs.push(Rung { op, limit, severity: Some(severity), step: None });
        }
        self.ordered(ladder, &rungs).then_some(rungs)
    }

    fn comparators(&mut self, table: &Table<'n>, durations: bool) -> Vec<Option<(Comparator, Decimal)>> {
        let mut found = Vec::new();
        for (name, op) in COMPARATORS {
            if let Some(node) = table.optional(name) {
                found.push(value::quantity(node, durations, &mut self.mistakes).map(|limit| (op, limit)));
            }
        }
        found
    }

    /// Whether a ladder has 1 to 8 rungs, from mild to bad; reports if not.
    pub fn ordered(&mut self, ladder: &Node, rungs: &[Rung]) -> bool {
        if rungs.is_empty() || rungs.len() > 8 {
            let sentence = format!("a ladder has 1 to 8 rungs, this has {}", rungs.len());
            self.mistakes.report(ladder.span, Code::E09, sentence);
            return false;
        }
        let upward = rungs[0].op.is_upward();
        let worse = |one: &Rung, other: &Rung| {
            let order = compare(one.limit, other.limit);
            let further = if upward { order.is_lt() } else { order.is_gt() };
            other.op.is_upward() == upward && further && one.severity <= other.severity
        };
        let fits = rungs.windows(2).all(|pair| worse(&pair[0], &pair[1]));
        if !fits {
            self.mistakes
                .report(ladder.span, Code::E09, "the rungs do not go from mild to bad")
                .detail("all compare one way, each limit is harder to reach, no severity falls");
        }
        fits
    }
}

/// Compares two decimals exactly.
pub fn compare(one: Decimal, other: Decimal) -> std::cmp::Ordering {
    let scaled = |number: Decimal, with: u8| i128::from(number.mantissa) * 10_i128.pow(u32::from(with));
    scaled(one, other.scale).cmp(&scaled(other, one.scale))
}

/// How many newest events decide an upward count: the first number that satisfies its hardest rung.
pub fn needed(rungs: &[Rung]) -> Option<i64> {
    let needs = |rung: &Rung| {
        let unit = 10_i64.checked_pow(u32::from(rung.limit.scale))?;
        let floor = rung.limit.mantissa.div_euclid(unit);
        let whole = rung.limit.mantissa.rem_euclid(unit) == 0;
        match rung.op {
            Comparator::Gt => Some(floor + 1),
            Comparator::Gte => Some(if whole { floor } else { floor + 1 }),
            Comparator::Lt | Comparator::Lte => None,
        }
    };
    rungs.iter().map(needs).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// How a count over this span is kept: exactly, where that is small and events come one by one.
pub fn window_of_count(
    span_ms: i64,
    (kind, entity): (Kind, &Entity),
    measure: &Measure,
    rungs: &[Rung],
) -> Window {
    if span_ms > DAY_MS {
        return Window::Days { days: u16::try_from(span_ms / DAY_MS).unwrap_or(u16::MAX) };
    }
    let plain = *measure == Measure::Count && kind != Kind::ErrorLog && entity.account;
    match needed(rungs).filter(|need| plain && (1..=LONGEST_RING).contains(need)) {
        Some(need) => Window::Exact { span_ms, keep: u16::try_from(need).unwrap_or(u16::MAX) },
        None => Window::Panes { span_ms },
    }
}

/// How a comparison over this span is kept.
pub fn window_of_compare(span_ms: i64) -> Window {
    if span_ms > DAY_MS {
        Window::Days { days: u16::try_from(span_ms / DAY_MS).unwrap_or(u16::MAX) }
    } else {
        Window::Panes { span_ms }
    }
}
