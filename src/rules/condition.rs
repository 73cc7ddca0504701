//! Conditions and how they combine.

use crate::document::{Code, Node, Table};
use crate::rules::compile::{Compiler, Subject};
use crate::rules::detector::Judged;
use crate::rules::missing;
use crate::rules::program::{Combine, Condition, Guards};
use crate::rules::value;

/// All detectors of the language, and how conditions combine.
const DETECTORS: [&str; 11] = [
    "event",
    "count",
    "absence",
    "cadence",
    "compare",
    "level",
    "milestone",
    "score",
    "sequence",
    "all",
    "any",
];

/// Keys that a condition takes besides its detector.
const OWN: [&str; 3] = ["name", "guard", "for"];

/// A compiled `when`.
pub struct When {
    /// How the conditions combine.
    pub combine: Combine,
    /// The conditions, in written order.
    pub conditions: Vec<Condition>,
    /// What names must know of each.
    pub judged: Vec<Judged>,
}

impl<'n> Compiler<'n> {
    /// Reads `when`.
    pub fn when(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<When> {
        let table = self.condition_table(node)?;
        let (combine, list) = match (table.optional("all"), table.optional("any")) {
            (Some(list), None) => (Combine::All, list),
            (None, Some(list)) => (Combine::Any, list),
            _ => {
                let (condition, judged) = self.condition(node, &table, subject)?;
                let (conditions, judged) = (vec![condition], vec![judged]);
                return Some(When { combine: Combine::One, conditions, judged });
            }
        };
        for key in OWN.iter().filter_map(|key| table.entry(key)) {
            if key.key.as_ref() != "name" {
                missing::refuse("condition", "guard or for beside all or any", key.span, &mut self.mistakes);
            }
        }
        let items = list.list("conditions", &mut self.mistakes)?;
        if !(2..=8).contains(&items.len()) {
            let sentence = format!("all and any take 2 to 8 conditions, this has {}", items.len());
            self.mistakes.report(list.span, Code::E05, sentence);
        }
        let mut when = When { combine, conditions: Vec::new(), judged: Vec::new() };
        for item in items {
            if let Some((condition, judged)) = self.named_condition(item, combine, &when, subject) {
                when.conditions.push(condition);
                when.judged.push(judged);
            }
        }
        (when.conditions.len() == items.len()).then_some(when)
    }

    /// A condition inside `all` or `any`.
    fn named_condition(
        &mut self,
        node: &'n Node,
        combine: Combine,
        before: &When,
        subject: &Subject<'n>,
    ) -> Option<(Condition, Judged)> {
        let table = self.condition_table(node)?;
        if let Some(inner) = table.entry("all").or_else(|| table.entry("any")) {
            missing::refuse("condition", "nested all or any", inner.span, &mut self.mistakes);
            return None;
        }
        let named = table.required("name", &mut self.mistakes);
        let (condition, judged) = self.condition(node, &table, subject)?;
        if before.conditions.iter().any(|own| own.name == condition.name) {
            let sentence = format!("condition `{}` stands here twice", condition.name);
            self.mistakes.report(named?.span, Code::E11, sentence);
        }
        if combine == Combine::All && judged.detector.is_eventful() {
            let article = if judged.name == "event" { "an" } else { "a" };
            self.mistakes
                .report(node.span, Code::E08, format!("{article} {} does not stand inside all", judged.name))
                .hint("use count with `gte: 1`");
        }
        Some((condition, judged))
    }

    /// Checks that a condition has exactly one detector, and that this build has it.
    fn condition_table(&mut self, node: &'n Node) -> Option<Table<'n>> {
        missing::refuse_keys("condition", node, &mut self.mistakes);
        let known = [&OWN[..], &DETECTORS[..]].concat();
        let table = node.table("condition", &known, &mut self.mistakes)?;
        let found: Vec<_> = DETECTORS.iter().filter(|name| table.optional(name).is_some()).collect();
        if found.len() != 1 {
            let sentence = format!("a condition has one detector, this has {}", found.len());
            self.mistakes.report(node.span, Code::E08, sentence).detail(DETECTORS.join(" "));
            return None;
        }
        Some(table)
    }

    fn condition(
        &mut self,
        node: &'n Node,
        table: &Table<'n>,
        subject: &Subject<'n>,
    ) -> Option<(Condition, Judged)> {
        let name = table.optional("name").and_then(|node| value::id(node, &mut self.mistakes));
        let guard = table.optional("guard");
        let guards = guard.and_then(|node| self.guards(node)).unwrap_or_default();
        let for_ms =
            table.optional("for").and_then(|node| value::span_ms(node, &mut self.mistakes)).unwrap_or(0);
        let judged = self.detector(table, &guards, subject)?;
        self.guards_fit(node.span, guard, &judged);
        self.fits_across(node.span, &judged, &subject.entity);
        let condition = Condition {
            name: name.unwrap_or_default().into(),
            detector: judged.detector.clone(),
            guards,
            for_ms,
        };
        Some((condition, judged))
    }

    fn detector(&mut self, table: &Table<'n>, guards: &Guards, subject: &Subject<'n>) -> Option<Judged> {
        if let Some(node) = table.optional("event") {
            return self.event_detector(node, subject);
        }
        if let Some(node) = table.optional("count") {
            return self.count_detector(node, guards, subject);
        }
        if let Some(node) = table.optional("absence") {
            return self.absence_detector(node, guards, subject);
        }
        if let Some(node) = table.optional("level") {
            return self.level_detector(node, guards, subject);
        }
        if let Some(node) = table.optional("score") {
            return self.score_detector(node, subject);
        }
        if let Some(node) = table.optional("cadence") {
            return self.cadence_detector(node, guards, subject);
        }
        if let Some(node) = table.optional("milestone") {
            return self.milestone_detector(node, subject);
        }
        if let Some(node) = table.optional("sequence") {
            return self.sequence_detector(node, subject);
        }
        self.compare_detector(table.optional("compare")?, guards, subject)
    }
}
