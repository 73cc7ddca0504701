//! `milestone`: something that begins and must be reached in time.

use crate::document::{Code, DAY_MS, Node, Table, duration_text};
use crate::event::{Field, FieldType, Kind};
use crate::rules::compile::{Compiler, Filtered, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::matches::type_name;
use crate::rules::measure::SEVERITIES;
use crate::rules::program::{
    Begin, Comparator, Course, CourseSteps, Decimal, Detector, Extras, Filter, Match, Measure, Rung, Window,
};
use crate::rules::value;
use crate::rules::vocabulary::Vocabulary;

/// A milestone has no more steps: they are numbered by a byte, and nobody reads more.
const MOST_STEPS: usize = 32;
/// The longest time to or from a start, ms (`rules.md` §15).
const LONGEST: i64 = 400 * DAY_MS;

impl<'n> Compiler<'n> {
    /// `milestone: {start, expect, due or ladder, steps}`.
    pub fn milestone_detector(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<Judged> {
        let table =
            node.table("milestone", &["start", "expect", "due", "ladder", "steps"], &mut self.mistakes)?;
        let start = table.required("start", &mut self.mistakes);
        let start = start.and_then(|node| self.begin(node, subject));
        // What a start that can't be read was meant to be is not known: then nothing is said of its kind.
        let dated = !matches!(start, Some((Begin::At(_), _)));
        let expect = table.optional("expect").map(|node| (node, self.filter_node("expect", node, subject)));
        let steps = table.optional("steps").map(|node| self.course_steps(node, subject));
        let steps = match steps {
            Some(steps) => Some(steps?),
            None => None,
        };
        let names = steps.as_ref().map_or(&[][..], |steps| &steps.names);
        let rungs = self.dues(&table, names, dated);
        let (begin, own) = start?;
        let expect = match expect {
            Some((node, _)) if dated => {
                let sentence = "expect does not fit a milestone that starts on a date";
                self.mistakes.report(node.span, Code::E08, sentence).hint("leave it out, or name steps");
                return None;
            }
            Some((_, filtered)) => Some(filtered?),
            None => None,
        };
        let rungs = rungs?;
        if !dated && expect.is_none() && rungs.iter().any(|rung| rung.step.is_none()) {
            self.mistakes
                .report(table.span, Code::E08, "this milestone has no end")
                .hint("add `expect`, or a `step` to every rung");
            return None;
        }
        let closing =
            if expect.is_none() { rungs.iter().filter_map(|rung| rung.step).collect() } else { Vec::new() };
        let course = Course { begin, expect: expect.map(|it| it.filter), closing, steps };
        let series = self.series(
            node.span,
            Measured {
                filter: own.filter,
                measure: Measure::Course(Box::new(course)),
                window: Window::Newest,
                keep_days: 0,
                negative: true,
                reset: None,
                extras: Extras::default(),
                subject,
            },
        );
        Some(Judged {
            detector: Detector::Milestone { series, rungs },
            kind: own.kind,
            fires: false,
            negative: true,
            durations: true,
            measure: None,
            name: "milestone",
        })
    }

    /// A filter, or `account.<date>`.
    fn begin(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<(Begin, Filtered)> {
        if node.scalar().is_none() {
            let filtered = self.filter_node("start", node, subject)?;
            return Some((Begin::At(filtered.filter), filtered));
        }
        let word = node.text(&mut self.mistakes)?;
        let field = word.strip_prefix("account.").and_then(|name| Field::named(Kind::Account, name));
        match field.map(|field| (field, field.spec().ty)) {
            Some((field, FieldType::Time | FieldType::Date)) => {
                let all = Filter { kind: Kind::Account, matches: Match::default(), names_traffic: false };
                let filtered = Filtered { filter: self.share_filter(all), kind: Kind::Account };
                Some((Begin::On(field), filtered))
            }
            Some((_, ty)) => {
                self.mistakes.report(node.span, Code::E03, format!("start does not fit {}", type_name(ty)));
                None
            }
            None => {
                let known: Vec<String> =
                    Vocabulary::account_fields().map(|name| format!("account.{name}")).collect();
                self.mistakes
                    .report(node.span, Code::E06, format!("`{word}` is nothing to start from"))
                    .detail("start takes a filter, or a date of the profile, such as account.renewal_date")
                    .suggest(word, known.iter().map(String::as_str));
                None
            }
        }
    }

    /// `steps: {topic, where, field, names}`.
    fn course_steps(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<CourseSteps> {
        let table = node.table("steps", &["topic", "where", "field", "names"], &mut self.mistakes)?;
        let filtered = self.filter(&table, subject);
        let field = table.required("field", &mut self.mistakes);
        let listed = table.required("names", &mut self.mistakes)?;
        let items = listed.list("names", &mut self.mistakes)?;
        if !(1..=MOST_STEPS).contains(&items.len()) {
            let sentence = format!("a milestone has 1 to {MOST_STEPS} steps, this has {}", items.len());
            self.mistakes.report(listed.span, Code::E05, sentence);
            return None;
        }
        let mut names: Vec<Box<str>> = Vec::new();
        for item in items {
            let name = item.text(&mut self.mistakes)?;
            if names.iter().any(|own| **own == *name) {
                self.mistakes.report(item.span, Code::E11, format!("step `{name}` stands here twice"));
            }
            names.push(name.into());
        }
        let filtered = filtered?;
        let field = field?;
        let name = field.text(&mut self.mistakes)?;
        let named = self.event_field(name, field, filtered.kind)?;
        if !matches!(named.ty, FieldType::Text | FieldType::Enum(_)) {
            let sentence = format!("field does not fit {}", type_name(named.ty));
            self.mistakes.report(field.span, Code::E03, sentence);
            return None;
        }
        Some(CourseSteps { filter: filtered.filter, field: named.path, names })
    }

    fn dues(&mut self, table: &Table<'n>, names: &[Box<str>], dated: bool) -> Option<Vec<Rung>> {
        match (table.optional("due"), table.optional("ladder")) {
            (Some(node), None) => {
                let limit = self.due_span(node, dated)?;
                Some(vec![Rung { op: Comparator::Gte, limit, severity: None, step: None }])
            }
            (None, Some(ladder)) => {
                let mut rungs = Vec::new();
                for node in ladder.list("ladder", &mut self.mistakes)? {
                    let own = node.table("rung", &["due", "severity", "step"], &mut self.mistakes)?;
                    let due = own.required("due", &mut self.mistakes);
                    let severity = own.required("severity", &mut self.mistakes);
                    let severity = severity?.choice("severity", &SEVERITIES, &mut self.mistakes);
                    let step = own.optional("step").map(|node| self.step_number(node, names));
                    let limit = self.due_span(due?, dated)?;
                    let step = match step {
                        Some(step) => Some(step?),
                        None => None,
                    };
                    rungs.push(Rung { op: Comparator::Gte, limit, severity: Some(severity?), step });
                }
                self.ordered(ladder, &rungs).then_some(rungs)
            }
            (Some(node), Some(_)) => {
                self.mistakes.report(node.span, Code::E08, "milestone has both `due` and `ladder`");
                None
            }
            (None, None) => {
                self.mistakes
                    .report(table.span, Code::E02, "milestone has no `due`")
                    .hint("write `due: 3d`, or a ladder");
                None
            }
        }
    }

    /// When something is due, from the start: before it only where that is a date known ahead.
    fn due_span(&mut self, node: &'n Node, dated: bool) -> Option<Decimal> {
        let ms = value::signed_span_ms(node, &mut self.mistakes)?;
        let earliest = if dated { -LONGEST } else { 60_000 };
        if !(earliest..=LONGEST).contains(&ms) {
            let (from, to) = (duration_text(earliest), duration_text(LONGEST));
            let sentence = format!("due {} is not between {from} and {to}", node.shown());
            let report = self.mistakes.report(node.span, Code::E05, sentence);
            if ms < 0 && !dated {
                report.hint("only a date of the profile is known ahead");
            }
            return None;
        }
        Some(Decimal::whole(ms))
    }

    fn step_number(&mut self, node: &'n Node, names: &[Box<str>]) -> Option<u8> {
        let name = node.text(&mut self.mistakes)?;
        let place = names.iter().position(|own| **own == *name);
        if place.is_none() {
            self.mistakes
                .report(node.span, Code::E07, format!("no step `{name}`"))
                .suggest(name, names.iter().map(|own| &**own));
        }
        place.and_then(|place| u8::try_from(place).ok())
    }
}
