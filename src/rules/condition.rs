//! Conditions and how they combine.

use crate::document::{Code, Node, Table, Value};
use crate::rules::compile::{Compiler, Subject};
use crate::rules::detector::Judged;
use crate::rules::program::{Combine, Condition, Group, Guards};
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

/// A rule has no more conditions.
const CONDITIONS_MAX: usize = 8;
/// The guards that fit conditions of any kind.
const ANY: [&str; 2] = ["min_age", "stall"];

/// A compiled `when`.
pub struct When {
    /// How the conditions combine.
    pub combine: Combine,
    /// The conditions, in written order.
    pub conditions: Vec<Condition>,
    /// What names must know of each.
    pub judged: Vec<Judged>,
    /// Which of them count as one.
    pub groups: Vec<Group>,
    /// For how long the whole must hold, ms.
    pub for_ms: i64,
}

impl When {
    fn is_named(&self, name: &str) -> bool {
        let mut names = self.conditions.iter().map(|own| &own.name);
        names.any(|own| **own == *name) || self.groups.iter().any(|own| *own.name == *name)
    }
}

/// What stands around a condition.
#[derive(Clone, Copy)]
struct Around<'g> {
    /// Whether all of some conditions around it must hold, so that it can't be an event.
    all: bool,
    /// Whether it stands inside a group.
    nested: bool,
    /// Guards that it must meet as well.
    guards: &'g Guards,
}

/// `all` or `any` of a condition, and its list.
fn combination<'n>(table: &Table<'n>) -> Option<(Combine, &'n Node)> {
    let all = table.optional("all").map(|list| (Combine::All, list));
    all.or_else(|| table.optional("any").map(|list| (Combine::Any, list)))
}

impl<'n> Compiler<'n> {
    /// Reads `when`.
    pub fn when(&mut self, node: &'n Node, subject: &Subject<'n>) -> Option<When> {
        let table = self.condition_table(node)?;
        let mut when = When {
            combine: Combine::One,
            conditions: Vec::new(),
            judged: Vec::new(),
            groups: Vec::new(),
            for_ms: 0,
        };
        let Some((combine, list)) = combination(&table) else {
            let (condition, judged) = self.condition(node, &table, &Guards::default(), subject)?;
            when.conditions.push(condition);
            when.judged.push(judged);
            return Some(when);
        };
        when.combine = combine;
        when.for_ms = self.holding(&table);
        let guards = self.guards_of_all(&table, &Guards::default());
        let around = Around { all: combine == Combine::All, nested: false, guards: &guards };
        let complete = self.members(list, around, &mut when, subject);
        if when.conditions.len() > CONDITIONS_MAX {
            let sentence = format!("a rule has up to 8 conditions, this has {}", when.conditions.len());
            self.mistakes.report(list.span, Code::E05, sentence);
        }
        complete.then_some(when)
    }

    /// Reads the conditions of `all` or `any`; whether each could be read.
    fn members(
        &mut self,
        list: &'n Node,
        around: Around<'_>,
        when: &mut When,
        subject: &Subject<'n>,
    ) -> bool {
        let Some(items) = list.list("conditions", &mut self.mistakes) else { return false };
        if !(2..=CONDITIONS_MAX).contains(&items.len()) {
            let sentence = format!("all and any take 2 to 8 conditions, this has {}", items.len());
            self.mistakes.report(list.span, Code::E05, sentence);
        }
        let mut complete = true;
        for item in items {
            complete &= self.member(item, around, when, subject).is_some();
        }
        complete
    }

    /// A condition, or a group of them, inside `all` or `any`.
    fn member(
        &mut self,
        node: &'n Node,
        around: Around<'_>,
        when: &mut When,
        subject: &Subject<'n>,
    ) -> Option<()> {
        let table = self.condition_table(node)?;
        let named = table.required("name", &mut self.mistakes);
        let Some((combine, list)) = combination(&table) else {
            let (condition, judged) = self.condition(node, &table, around.guards, subject)?;
            self.is_new(named?, &condition.name, when);
            if around.all && judged.detector.is_eventful() {
                let article = if judged.name == "event" { "an" } else { "a" };
                self.mistakes
                    .report(
                        node.span,
                        Code::E08,
                        format!("{article} {} does not stand inside all", judged.name),
                    )
                    .hint("use count with `gte: 1`");
            }
            when.conditions.push(condition);
            when.judged.push(judged);
            return Some(());
        };
        if around.nested {
            self.mistakes
                .report(list.span, Code::E08, "all and any are nested once")
                .hint("move its conditions out of it");
            return None;
        }
        let name = value::id(named?, &mut self.mistakes)?;
        self.is_new(named?, name, when);
        let for_ms = self.holding(&table);
        let guards = self.guards_of_all(&table, around.guards);
        let first = when.conditions.len();
        let inside = Around { all: around.all || combine == Combine::All, nested: true, guards: &guards };
        let complete = self.members(list, inside, when, subject);
        let place = |place: usize| u8::try_from(place).unwrap_or(u8::MAX);
        let (first, count) = (place(first), place(when.conditions.len() - first));
        when.groups.push(Group { name: name.into(), combine, first, count, for_ms });
        complete.then_some(())
    }

    fn is_new(&mut self, node: &'n Node, name: &str, when: &When) {
        if when.is_named(name) {
            self.mistakes.report(node.span, Code::E11, format!("condition `{name}` stands here twice"));
        }
    }

    /// `for`, ms.
    fn holding(&mut self, table: &Table<'n>) -> i64 {
        table.optional("for").and_then(|node| value::span_ms(node, &mut self.mistakes)).unwrap_or(0)
    }

    /// The guards beside `all` or `any`, with those around: each condition inside must meet them.
    fn guards_of_all(&mut self, table: &Table<'n>, around: &Guards) -> Guards {
        let Some(node) = table.optional("guard") else { return around.clone() };
        if let Value::Map(entries) = &node.value {
            for entry in entries.iter().filter(|entry| !ANY.contains(&&*entry.key)) {
                self.mistakes
                    .report(entry.span, Code::E08, format!("{} does not fit all and any", entry.key))
                    .hint("give it to the conditions inside");
            }
        }
        let own = self.guards(node).unwrap_or_default();
        Guards {
            min_age_ms: own.min_age_ms.max(around.min_age_ms),
            ignore_stall: own.ignore_stall || around.ignore_stall,
            ..Guards::default()
        }
    }

    /// Checks that a condition has exactly one detector.
    fn condition_table(&mut self, node: &'n Node) -> Option<Table<'n>> {
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
        around: &Guards,
        subject: &Subject<'n>,
    ) -> Option<(Condition, Judged)> {
        let name = table.optional("name").and_then(|node| value::id(node, &mut self.mistakes));
        let guard = table.optional("guard");
        let mut guards = guard.and_then(|node| self.guards(node)).unwrap_or_default();
        guards.min_age_ms = guards.min_age_ms.max(around.min_age_ms);
        guards.ignore_stall |= around.ignore_stall;
        let for_ms = self.holding(table);
        let judged = self.detector(table, &guards, subject)?;
        self.guards_fit(node.span, (guard, &guards), &judged, &subject.entity);
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
