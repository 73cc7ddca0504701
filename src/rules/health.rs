//! The `health` block of a rule set (`rules.md` §12).
//!
//! Its inputs are the conditions of a rule of its own, which stands last in the program and never fires: they are judged
//! as conditions are, for what they measure.

use crate::document::{Code, Entry, Node, Table};
use crate::rules::compile::{Compiler, Measured, Subject};
use crate::rules::identity;
use crate::rules::program::{
    AlertBlock, Category, Combine, Comparator, Condition, Decimal, Detector, Entity, Extras, Guards, Health,
    HealthInput, HealthPart, Match, Measure, Mode, OnActivate, Rule, Rung, Severity, Window, ZoneSource,
};
use crate::rules::value;

/// The parts that a score may have.
const PARTS: [&str; 4] = ["usage", "engagement", "support", "business"];
/// Parts have no more inputs.
const MOST_INPUTS: usize = 16;
/// Windows reach no further back, in days.
const MOST_DAYS: i64 = 63;
/// Above everything that is measured, so that a value is judged whatever it is.
const ANYTHING: Decimal = Decimal::whole(1_000_000_000_000_000);

impl<'n> Compiler<'n> {
    /// Reads the `health` block of a rule set, which stands in one of its files.
    pub fn health(&mut self, entries: &[&'n Entry]) {
        let [entry, others @ ..] = entries else { return };
        for other in others {
            let place = self.mistakes.place(entry.span);
            self.mistakes
                .report(other.span, Code::E11, "health stands in two files")
                .detail(format!("the first is at {place}"));
        }
        let found = self.health_block(&entry.node);
        if let Some((health, rule)) = found {
            self.program.rules.push(rule);
            self.program.health = Some(health);
        }
    }

    fn health_block(&mut self, node: &'n Node) -> Option<(Health, Rule)> {
        let table = node.table("health", &["direction", "min_coverage", "parts"], &mut self.mistakes)?;
        if let Some(node) = table.required("direction", &mut self.mistakes) {
            node.choice("direction of health", &[("higher_is_better", ())], &mut self.mistakes);
        }
        let least = table.optional("min_coverage").map_or(Some(50), |node| self.percent(node));
        let parts = table.required("parts", &mut self.mistakes)?;
        let parts_table = parts.table("parts", &PARTS, &mut self.mistakes)?;
        let mut conditions = Vec::new();
        let read: Vec<Option<HealthPart>> = PARTS
            .iter()
            .filter_map(|name| parts_table.entry(name))
            .map(|entry| self.health_part(entry, &mut conditions))
            .collect();
        let parts: Vec<HealthPart> = read.into_iter().collect::<Option<_>>()?;
        let sum: u32 = parts.iter().map(|part| u32::from(part.weight)).sum();
        if sum != 100 {
            let sentence = format!("the weights of health add up to {sum}, not 100");
            self.mistakes.report(parts_table.span, Code::E09, sentence);
            return None;
        }
        let rule = carrier(node, conditions);
        Some((Health { rule: rule.key, min_coverage: least?, parts }, rule))
    }

    /// A share of whole percents.
    fn percent(&mut self, node: &'n Node) -> Option<u8> {
        let share = value::quantity(node, false, &mut self.mistakes)?;
        let scale = 10_i128.pow(u32::from(share.scale));
        let hundreds = i128::from(share.mantissa) * 100;
        let percent = u8::try_from(hundreds / scale).ok().filter(|own| *own <= 100 && hundreds % scale == 0);
        if percent.is_none() {
            let sentence = format!("{} is no share from 0% to 100% in whole percents", node.shown());
            self.mistakes.report(node.span, Code::E05, sentence).hint("write it as `50%`");
        }
        percent
    }

    fn health_part(&mut self, entry: &'n Entry, conditions: &mut Vec<Condition>) -> Option<HealthPart> {
        let table = entry.node.table("part of health", &["weight", "inputs"], &mut self.mistakes)?;
        let weight = table.required("weight", &mut self.mistakes);
        let weight = weight.and_then(|node| node.integer(0..=100, &mut self.mistakes));
        let inputs = table.required("inputs", &mut self.mistakes);
        let items = inputs.and_then(|node| node.list("inputs", &mut self.mistakes))?;
        if !(1..=MOST_INPUTS).contains(&items.len()) {
            let sentence =
                format!("a part of health has 1 to {MOST_INPUTS} inputs, this has {}", items.len());
            self.mistakes.report(entry.node.span, Code::E05, sentence);
        }
        let mut found = Vec::new();
        for item in items {
            if let Some((condition, input)) = self.health_input(item) {
                if conditions.iter().any(|own| own.name == condition.name) {
                    let sentence = format!("input `{}` stands here twice", condition.name);
                    self.mistakes.report(item.span, Code::E11, sentence);
                }
                conditions.push(condition);
                found.push(input);
            }
        }
        let complete = found.len() == items.len();
        let weight = u8::try_from(weight?).ok()?;
        complete.then(|| HealthPart { name: entry.key.clone(), weight, inputs: found })
    }

    fn health_input(&mut self, node: &'n Node) -> Option<(Condition, HealthInput)> {
        let known = ["name", "topic", "where", "measure", "within", "against", "relative_to", "bad", "good"];
        let table = node.table("input of health", &known, &mut self.mistakes)?;
        let name = table.required("name", &mut self.mistakes);
        let name = name.and_then(|node| node.text(&mut self.mistakes));
        let mut bound = |key: &'static str| {
            let node = table.required(key, &mut self.mistakes)?;
            value::quantity(node, true, &mut self.mistakes)
        };
        let (bad, good) = (bound("bad"), bound("good"));
        if bad.is_some() && bad == good {
            self.mistakes.report(node.span, Code::E09, "what is bad is as much as what is good");
        }
        let entity = Entity { account: true, part: None };
        let subject = Subject { entity, zone: self.defaults.zone.clone(), scopes: Vec::new() };
        let detector = self.health_detector(&table, &subject)?;
        let condition = Condition { name: name?.into(), detector, guards: Guards::default(), for_ms: 0 };
        Some((condition, HealthInput { bad: bad?, good: good? }))
    }

    /// What an input measures over complete days: its change, its share of something in the profile, or itself.
    fn health_detector(&mut self, table: &Table<'n>, subject: &Subject<'n>) -> Option<Detector> {
        let filtered = self.filter(table, subject);
        let against = table.optional("against");
        let changes = against.map(|node| node.choice("comparison", &[("previous", ())], &mut self.mistakes));
        let relative_to = table.optional("relative_to").map(|node| self.reference(node, subject));
        if let (Some(node), Some(_)) = (against, &relative_to) {
            self.mistakes.report(node.span, Code::E08, "an input has one of against and relative_to");
        }
        let within = self.within(table, if changes.is_some() { MOST_DAYS / 2 } else { MOST_DAYS });
        let measuring = self.measure(table, filtered?.kind, subject)?;
        let (span_ms, span) = within?;
        let whole = u16::try_from(span_ms / crate::document::DAY_MS).ok().filter(|days| *days > 0);
        let Some(days) = whole.filter(|_| span_ms % crate::document::DAY_MS == 0) else {
            self.mistakes.report(span.span, Code::E05, "health is measured over whole days");
            return None;
        };
        let measure = match measuring.measure {
            Measure::Last(of) if changes.is_some() => Measure::Known(of),
            measure => measure,
        };
        let series = self.series(
            table.span,
            Measured {
                filter: filtered?.filter,
                measure,
                window: Window::Days { days },
                keep_days: if changes.is_some() { 2 * days } else { days },
                negative: true,
                reset: None,
                extras: Extras::default(),
                subject,
            },
        );
        let window = Window::Days { days };
        let rungs = vec![Rung { op: Comparator::Lte, limit: ANYTHING, severity: None, step: None }];
        Some(match (changes, relative_to) {
            (Some(known), _) => {
                known?;
                Detector::Compare { series, window, difference: false, baseline: false, rungs }
            }
            (None, Some(reference)) => Detector::Level {
                series,
                window,
                rungs,
                relative_to: Some(reference?),
                forecast_ms: None,
                once: false,
            },
            (None, None) => Detector::Count { series, window, rungs },
        })
    }
}

/// The rule whose conditions are the inputs.
fn carrier(node: &Node, conditions: Vec<Condition>) -> Rule {
    let entity = Entity { account: true, part: None };
    let detectors = conditions.iter().map(|condition| &condition.detector);
    let key = identity::key(&identity::rule("health/account", &entity, detectors));
    let version = identity::content(std::iter::once(node), &[]);
    Rule {
        id: "health/account".into(),
        version: format!("{:06x}", version & 0xff_ffff).into(),
        key,
        title: "Health".into(),
        mode: Mode::Shadow,
        on_activate: OnActivate::Open,
        category: Category::Risk,
        severity: Severity::Info,
        severity_by: Vec::new(),
        family: "health/account".into(),
        rank: 0,
        entity,
        scope: Match::default(),
        combine: Combine::All,
        conditions,
        groups: Vec::new(),
        for_ms: 0,
        clear: Vec::new(),
        expires_after_ms: None,
        dedup: Vec::new(),
        lookups: Vec::new(),
        alert: AlertBlock::default(),
        policy: crate::rules::program::Policy::built_in(),
        inhibits: Vec::new(),
        affects: None,
        collapses_to: None,
        collapses: None,
        budget: None,
        zone: ZoneSource::Account,
    }
}
