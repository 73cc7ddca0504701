//! How alerts are ranked against each other: `defaults.priority` (`rules.md` §12).

use crate::document::{Code, Node, Span};
use crate::event::FieldType;
use crate::rules::compile::Compiler;
use crate::rules::measure::compare;
use crate::rules::program::{
    Band, Condition, Decimal, Detector, FeatureSeverity, Literal, Path, Priority, Sentiment,
};
use crate::rules::value;
use crate::rules::vocabulary::{self, Vocabulary};

/// Totals of a priority: three parts of 1 to 5.
const TOTALS: std::ops::RangeInclusive<u8> = 3..=15;

/// The score that a sentiment names, and its steps.
#[derive(Debug, Clone, Copy)]
pub struct Named<'n> {
    rule: &'n str,
    condition: &'n str,
    upto: [Decimal; 4],
    span: Span,
}

impl<'n> Compiler<'n> {
    /// Reads `defaults.priority`.
    pub fn priority(&mut self, node: &'n Node) -> Option<Priority> {
        let known = ["arr_tier", "sentiment", "feature_severity", "bands"];
        let table = node.table("priority", &known, &mut self.mistakes)?;
        let arr_tier = table.optional("arr_tier").and_then(|node| {
            let name = node.text(&mut self.mistakes)?;
            let named = name.strip_prefix("account.").and_then(Vocabulary::account_field);
            match named {
                Some(vocabulary::Named { path: Path::Account(field), ty: FieldType::Int, .. }) => Some(field),
                _ => {
                    let sentence = format!("`{name}` is no whole number of the profile");
                    self.mistakes
                        .report(node.span, Code::E06, sentence)
                        .hint("write `account.tier`, which is 1 to 5");
                    None
                }
            }
        });
        if let Some(node) = table.optional("sentiment") {
            self.defaults.sentiment = self.sentiment(node);
        }
        let bands = table.optional("bands").map(|node| self.priority_bands(node)).unwrap_or_default();
        self.defaults.feature_severity = table.optional("feature_severity");
        Some(Priority { arr_tier, sentiment: None, feature_severity: None, bands })
    }

    /// Reads `feature_severity`, once the tables that it reads are those that count.
    pub fn resolve_feature_severity(&mut self) {
        let found = self.defaults.feature_severity.take().and_then(|node| self.feature_severity(node));
        if let Some(priority) = &mut self.program.priority {
            priority.feature_severity = found;
        }
    }

    fn feature_severity(&mut self, node: &'n Node) -> Option<FeatureSeverity> {
        let table = node.table("feature_severity", &["table", "by", "column"], &mut self.mistakes)?;
        let (named, by) =
            (table.required("table", &mut self.mistakes), table.required("by", &mut self.mistakes));
        let column = table.required("column", &mut self.mistakes);
        let by = by.and_then(|node| self.shared_field(node));
        let (name, column) = (named?.text(&mut self.mistakes)?, column?);
        let word = column.text(&mut self.mistakes)?;
        let Some(source) = self.tables.iter().find(|source| *source.table.name == *name) else {
            self.unknown_table(name, named?.span);
            return None;
        };
        let severity = |cells: &[(Box<str>, Vec<Literal>)]| {
            let cell = cells.iter().find(|(own, _)| **own == *word).map(|(_, values)| values.as_slice());
            match cell {
                Some([Literal::Number(number)]) if number.scale == 0 => {
                    u8::try_from(number.mantissa).ok().filter(|severity| (1..=5).contains(severity))
                }
                _ => None,
            }
        };
        let rows: Option<Vec<(Box<str>, u8)>> =
            source.table.rows.iter().map(|(key, cells)| Some((key.clone(), severity(cells)?))).collect();
        if rows.is_none() {
            let sentence = format!("`{word}` is not 1 to 5 in every row of `{name}`");
            self.mistakes.report(column.span, Code::E03, sentence);
        }
        Some(FeatureSeverity { by: by?, rows: rows? })
    }

    /// Reads `sentiment`; which score it names is known when all rules are read.
    fn sentiment(&mut self, node: &'n Node) -> Option<Named<'n>> {
        let table = node.table("sentiment", &["score", "upto"], &mut self.mistakes)?;
        let score = table.required("score", &mut self.mistakes);
        let upto = table.required("upto", &mut self.mistakes).and_then(|node| self.steps(node));
        let score = score?;
        let text = score.text(&mut self.mistakes)?;
        let Some((rule, condition)) = text.split_once('.') else {
            self.mistakes
                .report(score.span, Code::E03, format!("`{text}` names no condition"))
                .hint("write `RULE.CONDITION`, the condition being a score");
            return None;
        };
        Some(Named { rule, condition, upto: upto?, span: score.span })
    }

    /// The scores up to which the sentiment counts 1, 2, 3 and 4.
    fn steps(&mut self, node: &'n Node) -> Option<[Decimal; 4]> {
        let items = node.list("upto", &mut self.mistakes)?;
        let found: Option<Vec<Decimal>> =
            items.iter().map(|item| value::quantity(item, false, &mut self.mistakes)).collect();
        let steps: Option<[Decimal; 4]> = found?.try_into().ok();
        let rising = |steps: &[Decimal; 4]| steps.windows(2).all(|two| compare(two[0], two[1]).is_lt());
        let steps = steps.filter(rising);
        if steps.is_none() {
            self.mistakes
                .report(node.span, Code::E09, "`upto` is four numbers, each above the one before")
                .hint("write `[30, 60, 90, 120]`");
        }
        steps
    }

    /// Finds the score that the priority's sentiment names, once the rules are compiled; `ids` are those of all rules, of
    /// which only some may be chosen.
    pub fn resolve_sentiment(&mut self, ids: &[&str]) {
        let Some(named) = self.defaults.sentiment.take() else { return };
        let (rule, condition) = (named.rule, named.condition);
        let Some(found) = self.program.rules.iter().find(|own| *own.id == *rule) else {
            if !ids.contains(&rule) {
                self.mistakes.report(named.span, Code::E07, format!("no rule `{rule}`"));
            }
            return;
        };
        let is_named = |own: &&Condition| {
            if own.name.is_empty() { own.detector.name() == condition } else { *own.name == *condition }
        };
        let detector = found.conditions.iter().find(is_named).map(|own| &own.detector);
        let sentence = match detector {
            None => format!("`{rule}` has no condition `{condition}`"),
            Some(Detector::Score { series, .. }) => {
                if let Some(priority) = &mut self.program.priority {
                    priority.sentiment = Some(Sentiment { series: *series, upto: named.upto });
                }
                return;
            }
            Some(_) => format!("`{rule}.{condition}` is no score"),
        };
        self.mistakes.report(named.span, Code::E08, sentence);
    }

    /// Bands must cover all totals, each once.
    fn priority_bands(&mut self, node: &'n Node) -> Vec<Band> {
        let Some(items) = node.list("bands", &mut self.mistakes) else { return Vec::new() };
        let mut bands: Vec<(Band, Span)> =
            items.iter().filter_map(|item| Some((self.band(item)?, item.span))).collect();
        if bands.len() == items.len() {
            bands.sort_by_key(|(band, _)| (band.from, band.to));
            self.cover(node.span, &bands);
        }
        bands.into_iter().map(|(band, _)| band).collect()
    }

    /// Tells where bands, from the lowest, leave totals open or cover them twice: at the band that is written later.
    fn cover(&mut self, span: Span, bands: &[(Band, Span)]) {
        let (first, last) = (*TOTALS.start(), *TOTALS.end());
        let (Some((lowest, low)), Some((highest, high))) = (bands.first(), bands.last()) else {
            self.mistakes
                .report(span, Code::E09, format!("priority bands leave {first}..{last} open"))
                .hint(format!("write `{{from: {first}, to: {last}, action: …}}`"));
            return;
        };
        if lowest.from > first {
            let detail = format!("the lowest is {}..{}", lowest.from, lowest.to);
            self.left_open(*low, (first, lowest.from - 1), detail, (first, lowest.to));
        }
        if highest.to < last {
            let detail = format!("the highest is {}..{}", highest.from, highest.to);
            self.left_open(*high, (highest.to + 1, last), detail, (highest.from, last));
        }
        for pair in bands.windows(2) {
            let [(below, low), (above, high)] = pair else { continue };
            let (earlier, later, span) = if (low.line, low.col) < (high.line, high.col) {
                (below, above, *high)
            } else {
                (above, below, *low)
            };
            let said =
                |verb: &str| format!("{}..{} {verb} {}..{}", earlier.from, earlier.to, later.from, later.to);
            if above.from > below.to + 1 {
                let wider =
                    if later == above { (below.to + 1, above.to) } else { (below.from, above.from - 1) };
                self.left_open(span, (below.to + 1, above.from - 1), said("is followed by"), wider);
            } else if above.from <= below.to {
                let twice = range(above.from, below.to.min(above.to));
                let sentence = format!("priority bands cover {twice} twice");
                self.mistakes.report(span, Code::E09, sentence).detail(said("overlaps"));
            }
        }
    }

    /// Tells that totals have no band, and how the band at `span` could have them.
    fn left_open(&mut self, span: Span, gap: (u8, u8), detail: String, wider: (u8, u8)) {
        self.mistakes
            .report(span, Code::E09, format!("priority bands leave {} open", range(gap.0, gap.1)))
            .detail(detail)
            .hint(format!("write `{{from: {}, to: {}}}`", wider.0, wider.1));
    }

    fn band(&mut self, node: &'n Node) -> Option<Band> {
        let table = node.table("bands", &["from", "to", "action"], &mut self.mistakes)?;
        let mut total = |key: &'static str| {
            let node = table.required(key, &mut self.mistakes)?;
            let bounds = i64::from(*TOTALS.start())..=i64::from(*TOTALS.end());
            node.integer(bounds, &mut self.mistakes).and_then(|total| u8::try_from(total).ok())
        };
        let (from, to) = (total("from"), total("to"));
        let action = table.required("action", &mut self.mistakes);
        let action = action.and_then(|node| node.text(&mut self.mistakes));
        let (from, to) = (from?, to?);
        if from > to {
            let sentence = format!("the band begins at {from} and ends at {to}");
            self.mistakes.report(node.span, Code::E09, sentence);
            return None;
        }
        Some(Band { from, to, action: action?.into() })
    }
}

fn range(from: u8, to: u8) -> String {
    if from == to { from.to_string() } else { format!("{from}..{to}") }
}
