//! `score`: points that fade.

use crate::document::{Code, Node, Span, Table};
use crate::event::{FieldType, Kind};
use crate::rules::compile::{Compiler, Filtered, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::matches::type_name;
use crate::rules::measure::compare;
use crate::rules::program::{
    Decimal, Detector, Extras, Factor, Match, Measure, Path, Points, Scoring, TicketFact, Window,
};
use crate::rules::value;
use crate::rules::vocabulary::{Named, Vocabulary};

/// A score has no more factors.
const MOST_FACTORS: usize = 32;
/// A factor keeps no more events.
const MOST_EVENTS: i64 = 64;
/// Points and scores are no larger, so that sums in 256ths of a point fit.
const LARGEST: i64 = 1_000_000;

/// What points can test of a ticket beside its event.
const TICKET_FACTS: [(&str, TicketFact, FieldType); 3] = [
    ("ticket.unanswered", TicketFact::Unanswered, FieldType::Int),
    ("ticket.reopens", TicketFact::Reopens, FieldType::Int),
    ("ticket.past_sla", TicketFact::PastSla, FieldType::Bool),
];

impl<'n> Compiler<'n> {
    /// `score: {topic, where, range, direction, half_life, points, bands, imported, gt or gte}`.
    pub fn score_detector(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<Judged> {
        let known =
            ["topic", "where", "range", "direction", "half_life", "points", "bands", "imported", "gt", "gte"];
        let table = node.table("score", &known, &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let range = self.range(&table);
        if let Some(node) = table.required("direction", &mut self.mistakes) {
            let known = [("higher_is_worse", ()), ("higher_is_better", ())];
            node.choice("direction", &known, &mut self.mistakes);
        }
        let half_life_ms = self.half_life(&table);
        let rungs = self.rungs(&table, false);
        let Filtered { filter, kind } = filtered?;
        let factors = self.factors(&table, kind);
        let imported = table.optional("imported").map(|node| self.imported(node, kind));
        let (lowest, highest) = range?;
        let bands = self.bands(&table, highest);
        let imported = match imported {
            Some(path) => Some(path?),
            None => None,
        };
        let scoring = Scoring { half_life_ms: half_life_ms?, lowest, highest, imported, factors: factors? };
        let series = self.series(
            node.span,
            Measured {
                filter,
                measure: Measure::Score(Box::new(scoring)),
                window: Window::Newest,
                keep_days: 0,
                negative: false,
                reset: None,
                extras: Extras::default(),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Score { series, rungs: rungs?, bands: bands? },
            kind,
            fires: true,
            negative: false,
            durations: false,
            measure: None,
            name: "score",
        })
    }

    fn range(&mut self, table: &Table<'n>) -> Option<(Decimal, Decimal)> {
        let node = table.required("range", &mut self.mistakes)?;
        let bounds: Option<Vec<Decimal>> =
            node.list("range", &mut self.mistakes)?.iter().map(|it| self.points(it)).collect();
        match bounds?.as_slice() {
            [lowest, highest] if compare(*lowest, *highest).is_lt() => Some((*lowest, *highest)),
            _ => {
                self.mistakes
                    .report(node.span, Code::E09, "a range is a lower and a higher number")
                    .hint("write `[0, 200]`");
                None
            }
        }
    }

    fn half_life(&mut self, table: &Table<'n>) -> Option<i64> {
        let node = table.required("half_life", &mut self.mistakes)?;
        let ms = value::span_ms(node, &mut self.mistakes)?;
        if ms < 60_000 {
            self.mistakes.report(node.span, Code::E05, "half_life is under a minute");
            return None;
        }
        Some(ms)
    }

    /// A number of points.
    fn points(&mut self, node: &'n Node) -> Option<Decimal> {
        let found = value::quantity(node, false, &mut self.mistakes)?;
        let largest = Decimal::whole(LARGEST);
        let size = Decimal { mantissa: found.mantissa.saturating_abs(), ..found };
        if compare(size, largest).is_gt() {
            let sentence = format!("{} is beyond {LARGEST}", node.shown());
            self.mistakes.report(node.span, Code::E05, sentence);
            return None;
        }
        Some(found)
    }

    fn factors(&mut self, table: &Table<'n>, kind: Kind) -> Option<Vec<Factor>> {
        let node = table.required("points", &mut self.mistakes)?;
        let items = node.list("points", &mut self.mistakes)?;
        if !(1..=MOST_FACTORS).contains(&items.len()) {
            let sentence = format!("a score has 1 to {MOST_FACTORS} points, this has {}", items.len());
            self.mistakes.report(node.span, Code::E05, sentence);
            return None;
        }
        let mut factors: Vec<Factor> = Vec::new();
        for item in items {
            let Some(factor) = self.factor(item, kind) else { continue };
            if factors.iter().any(|own| own.name == factor.name) {
                let sentence = format!("points `{}` stand here twice", factor.name);
                self.mistakes.report(item.span, Code::E11, sentence);
            }
            factors.push(factor);
        }
        (factors.len() == items.len()).then_some(factors)
    }

    fn factor(&mut self, node: &'n Node, kind: Kind) -> Option<Factor> {
        let table = node.table("points", &["name", "add", "if", "by", "rule", "max"], &mut self.mistakes)?;
        let name = table.required("name", &mut self.mistakes);
        let name = name.and_then(|node| node.text(&mut self.mistakes));
        let add = table.required("add", &mut self.mistakes);
        let max =
            table.optional("max").map_or(Some(1), |node| node.integer(1..=MOST_EVENTS, &mut self.mistakes));
        let points = match (table.optional("if"), table.optional("by"), table.optional("rule")) {
            (Some(matches), None, None) => {
                let matches = self.points_match(matches, kind);
                let add = add.and_then(|node| self.points(node));
                Points::If(matches?, parts_of(add?))
            }
            (None, Some(field), None) => {
                let field = self.points_field(field, kind);
                let values = add.and_then(|node| self.points_by(node, field.as_ref()));
                Points::By(field?.path, values?)
            }
            (None, None, Some(rule)) => {
                let id = value::id(rule, &mut self.mistakes);
                let add = add.and_then(|node| self.points(node));
                self.named.extend(id.map(|id| (id.into(), rule.span)));
                Points::While(id?.into(), parts_of(add?))
            }
            _ => {
                self.mistakes.report(node.span, Code::E08, "points have one of `if`, `by`, `rule`");
                return None;
            }
        };
        Some(Factor { name: name?.into(), max: u8::try_from(max?).unwrap_or(u8::MAX), points })
    }

    /// A match on the event, its account and its user.
    fn points_match(&mut self, node: &'n Node, kind: Kind) -> Option<Match> {
        self.matches(node, &mut |compiler: &mut Self, name, span| compiler.points_name(name, span, kind))
    }

    fn points_name(&mut self, name: &str, span: Span, kind: Kind) -> Option<Named> {
        let fact = TICKET_FACTS.iter().find(|(own, ..)| kind == Kind::Ticket && *own == name);
        if let Some((_, fact, ty)) = fact {
            return Some(Named::new(Path::Ticket(*fact), *ty));
        }
        let account = name.strip_prefix("account.").and_then(Vocabulary::account_field);
        let user = name.strip_prefix("user.").and_then(Vocabulary::user_field);
        let found = account.or(user).or_else(|| self.vocabulary.event_field(kind, name));
        if found.is_none() {
            self.vocabulary.unknown_field(kind, name, span, &mut self.mistakes);
        }
        found
    }

    fn points_field(&mut self, node: &'n Node, kind: Kind) -> Option<Named> {
        let name = node.text(&mut self.mistakes)?;
        let named = self.points_name(name, node.span, kind)?;
        if !matches!(named.ty, FieldType::Text | FieldType::Enum(_)) {
            let sentence = format!("by does not fit {}", type_name(named.ty));
            self.mistakes.report(node.span, Code::E03, sentence).hint("use `if`");
            return None;
        }
        Some(named)
    }

    fn points_by(&mut self, node: &'n Node, field: Option<&Named>) -> Option<Vec<(Box<str>, i32)>> {
        let mut values = Vec::new();
        for entry in node.map("points by value", &mut self.mistakes)? {
            if let Some(FieldType::Enum(symbols)) = field.map(|named| named.ty)
                && !symbols.contains(&&*entry.key)
            {
                self.mistakes
                    .report(entry.span, Code::E04, format!("`{}` is no value of this field", entry.key))
                    .detail(symbols.join(" "))
                    .suggest(&entry.key, symbols.iter().copied());
            }
            values.push((entry.key.clone(), parts_of(self.points(&entry.node)?)));
        }
        values.sort();
        Some(values)
    }

    fn imported(&mut self, node: &'n Node, kind: Kind) -> Option<Path> {
        let name = node.text(&mut self.mistakes)?;
        let named = self.event_field(name, node, kind)?;
        if !matches!(named.ty, FieldType::Int | FieldType::Double) {
            let sentence = format!("imported does not fit {}", type_name(named.ty));
            self.mistakes.report(node.span, Code::E03, sentence);
            return None;
        }
        Some(named.path)
    }

    /// Bands, from low to high; the last reaches to the end of the range.
    fn bands(&mut self, table: &Table<'n>, highest: Decimal) -> Option<Vec<(Box<str>, Decimal)>> {
        let Some(node) = table.optional("bands") else { return Some(Vec::new()) };
        let mut bands: Vec<(Box<str>, Decimal)> = Vec::new();
        for entry in node.map("bands", &mut self.mistakes)? {
            bands.push((entry.key.clone(), self.points(&entry.node)?));
        }
        bands.sort_by(|one, other| compare(one.1, other.1));
        let distinct = bands.windows(2).all(|pair| compare(pair[0].1, pair[1].1).is_lt());
        let covers = bands.last().is_some_and(|(_, limit)| compare(*limit, highest).is_eq());
        if !distinct || !covers || bands.len() > MOST_FACTORS {
            self.mistakes
                .report(node.span, Code::E09, "the bands do not cover the range")
                .detail("each ends higher than the one before, the last with the end of the range");
            return None;
        }
        Some(bands)
    }
}

/// Points in 256ths, half up.
fn parts_of(points: Decimal) -> i32 {
    let unit = 10_i128.pow(u32::from(points.scale));
    let parts = (i128::from(points.mantissa) * 512 + unit).div_euclid(2 * unit);
    i32::try_from(parts).unwrap_or(i32::MAX)
}
