//! `collapse_to`: one alert of the parent in place of many of its rows (`rules.md` §9).
//!
//! The parent's alert is that of a rule of its own, which stands behind the rule in the program.

use crate::document::{Code, Entry, Node, Table};
use crate::rules::compile::{Compiler, Measured, Subject};
use crate::rules::detector::Judged;
use crate::rules::identity;
use crate::rules::measure::SEVERITIES;
use crate::rules::names::Names;
use crate::rules::program::{
    AlertBlock, Clear, Combine, Comparator, Condition, Contact, Decimal, Detector, Due, Entity, Escalation,
    Extras, Guards, Literal, Match, Measure, Output, Path, Person, Piece, Rule, Rung, Template, Test,
    Variable, Window, ZoneSource,
};
use crate::rules::value;

/// As few and as many rows as may take one alert.
const ROWS: std::ops::RangeInclusive<i64> = 2..=1_000;

impl<'n> Compiler<'n> {
    /// Reads `collapse_to` of a rule that judges these; its parent, whose key the rule then carries.
    pub fn collapse(&mut self, rule: &Table<'n>, child: &mut Rule, judged: &[Judged]) -> Option<Rule> {
        let entry = rule.entry("collapse_to")?;
        let known = ["entity", "distinct", "within", "severity", "alert"];
        let table = entry.node.table("collapse_to", &known, &mut self.mistakes)?;
        let entity = table.required("entity", &mut self.mistakes);
        let entity = entity.and_then(|node| self.parent_of(node, &child.entity));
        let distinct = table.required("distinct", &mut self.mistakes);
        let distinct = distinct.and_then(|node| node.integer(ROWS, &mut self.mistakes));
        let within = table.required("within", &mut self.mistakes);
        let within = within.and_then(|node| value::span_ms(node, &mut self.mistakes));
        let severity = table.optional("severity");
        let severity = severity.and_then(|node| node.choice("severity", &SEVERITIES, &mut self.mistakes));
        let alert = table.required("alert", &mut self.mistakes).and_then(|node| self.alert_table(node));
        let subject = Subject { entity: entity?, zone: ZoneSource::Account, scopes: Vec::new() };
        let (condition, judged) = self.crowd(entry, (child.key, judged), (distinct?, within?), &subject)?;
        let mut parent = parent(child, condition, subject.entity.clone());
        parent.severity = severity.unwrap_or(child.severity);
        self.speak(alert?, child, (&mut parent, judged), &subject);
        child.collapses_to = Some(parent.key);
        Some(parent)
    }

    /// The entity that rows of a rule have in common.
    fn parent_of(&mut self, node: &'n Node, child: &Entity) -> Option<Entity> {
        let found = self.vocabulary.entity(node, &mut self.mistakes)?;
        let shared = if found.account { found.part.is_none() } else { found.part == child.part };
        if child.account && child.part.is_some() && shared && found != (Entity { account: false, part: None })
        {
            return Some(found);
        }
        let sentence = format!("rows of `{}` have no `{}` in common", child.kind(), found.kind());
        self.mistakes
            .report(node.span, Code::E08, sentence)
            .detail("the parent is the account, or the other part of the entity across accounts");
        None
    }

    /// The condition of the parent: so many rows in which the rule holds.
    fn crowd(
        &mut self,
        entry: &'n Entry,
        (child, judged): (u32, &[Judged]),
        (distinct, within_ms): (i64, i64),
        subject: &Subject<'n>,
    ) -> Option<(Condition, Judged)> {
        let first = judged.first()?;
        let measured = Measured {
            filter: self.program.filter_of(&first.detector),
            measure: Measure::Crowd(child),
            window: Window::Exact { span_ms: within_ms, keep: u16::try_from(distinct).unwrap_or(u16::MAX) },
            keep_days: 0,
            negative: false,
            reset: None,
            extras: Extras::default(),
            subject,
        };
        let series = self.series(entry.span, measured);
        let limit = Decimal::whole(distinct);
        let rung = Rung { op: Comparator::Gte, limit, severity: None, step: None };
        let detector = Detector::Crowd { series, within_ms, rungs: vec![rung] };
        let judged = Judged {
            detector: detector.clone(),
            kind: first.kind,
            fires: false,
            negative: false,
            durations: false,
            measure: None,
            name: "collapse_to",
        };
        let condition = Condition { name: "".into(), detector, guards: Guards::default(), for_ms: 0 };
        Some((condition, judged))
    }

    /// What the parent says: what `collapse_to` writes, and of the rule's own block what fits the parent too.
    fn speak(
        &mut self,
        table: Table<'n>,
        child: &Rule,
        (parent, judged): (&mut Rule, Judged),
        subject: &Subject<'n>,
    ) {
        let mut names = Names {
            combine: Combine::One,
            conditions: vec![("".into(), judged)],
            groups: Vec::new(),
            entity: subject.entity.clone(),
            lookups: Vec::new(),
            attach: Vec::new(),
        };
        let attach = self.attachments(&table, &names, subject);
        names.attach = attach.iter().map(|own| own.name.clone()).collect();
        if let Some(own) = self.alert(&table, &names, attach) {
            parent.alert = Heir { entity: &subject.entity, table }.inherit(&child.alert, own);
        }
    }
}

/// The parent of a rule, without what it says.
fn parent(child: &Rule, condition: Condition, entity: Entity) -> Rule {
    let id = format!("{}/{}", child.id, entity.kind());
    let key = identity::key(&identity::rule(&id, &entity, std::iter::once(&condition.detector)));
    let unmet = (Variable::Output(None, Output::Met), Test::AnyOf(vec![Literal::Bool(false)]));
    let mut policy = child.policy.clone();
    // Only what holds it back and its own cool-down keep it from opening.
    policy.holdout = None;
    policy.contact = Contact { budget: None, gap_ms: None, any_hour: true, ..policy.contact };
    Rule {
        id: id.into(),
        key,
        severity_by: Vec::new(),
        entity,
        scope: Match::default(),
        combine: Combine::One,
        conditions: vec![condition],
        groups: Vec::new(),
        for_ms: 0,
        clear: vec![Clear::If { matches: Match(vec![vec![unmet]]), for_ms: 0 }],
        dedup: Vec::new(),
        lookups: Vec::new(),
        alert: AlertBlock::default(),
        policy,
        inhibits: Vec::new(),
        affects: None,
        budget: None,
        collapses: Some(child.key),
        ..child.clone()
    }
}

/// What an alert block takes over from that of the rows.
struct Heir<'p, 'n> {
    entity: &'p Entity,
    table: Table<'n>,
}

/// Whether a person does not depend on the row.
const fn is_anywhere(person: &Person) -> bool {
    !matches!(person, Person::Lookup(..))
}

impl Heir<'_, '_> {
    /// Whether a key is not written, so that it is taken over.
    fn lacks(&self, key: &str) -> bool {
        self.table.optional(key).is_none()
    }

    /// Whether the parent knows a variable of the rows.
    fn knows(&self, variable: &Variable) -> bool {
        match variable {
            Variable::Output(_, output) => {
                matches!(output, Output::Met | Output::Value | Output::Threshold | Output::Onset)
            }
            Variable::EntityPart => self.entity.part.is_some(),
            Variable::Path(path) => {
                self.entity.account
                    && matches!(
                        path,
                        Path::Account(_) | Path::AccountArr | Path::AccountSlug | Path::AccountEntry(_)
                    )
            }
            Variable::Lookup(..) | Variable::Attach(_) => false,
            Variable::Reason | Variable::Severity | Variable::Rung => true,
        }
    }

    fn says(&self, template: &Template) -> bool {
        template.0.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Variable(variable) => self.knows(variable),
        })
    }

    fn template(&self, key: &str, from: Option<&Template>, own: Option<Template>) -> Option<Template> {
        own.or_else(|| from.filter(|from| self.lacks(key) && self.says(from)).cloned())
    }

    fn takes(&self, step: &Escalation) -> bool {
        step.condition.0.iter().flatten().all(|(variable, _)| self.knows(variable))
            && step.owner.iter().chain(&step.inform).all(is_anywhere)
    }

    fn inherit(&self, from: &AlertBlock, own: AlertBlock) -> AlertBlock {
        let keep = |key: &str| self.lacks(key);
        let next_step = keep("next_step");
        let due = from.next_step_due.as_ref().filter(|due| next_step && matches!(due, Due::After(_)));
        AlertBlock {
            customer: if keep("audience") { from.customer } else { own.customer },
            owner: own.owner.or_else(|| {
                from.owner.as_ref().filter(|person| keep("owner") && is_anywhere(person)).cloned()
            }),
            inform: if keep("inform") {
                from.inform.iter().filter(|person| is_anywhere(person)).cloned().collect()
            } else {
                own.inform
            },
            playbook: self.template("playbook", from.playbook.as_ref(), own.playbook),
            template: self.template("template", from.template.as_ref(), own.template),
            channels: if keep("channels") { from.channels.clone() } else { own.channels },
            customer_action: if next_step { from.customer_action } else { own.customer_action },
            next_step: self.template("next_step", from.next_step.as_ref(), own.next_step),
            next_step_due: own.next_step_due.or_else(|| due.cloned()),
            actions: if next_step { from.actions.clone() } else { own.actions },
            room: self.template("room", from.room.as_ref(), own.room),
            draft: own.draft.or_else(|| {
                let fits = |(template, action): &&(Template, Option<Template>)| {
                    keep("draft") && self.says(template) && action.iter().all(|action| self.says(action))
                };
                from.draft.as_ref().filter(fits).cloned()
            }),
            cause: own.cause.or_else(|| from.cause.clone()),
            update_every_ms: own.update_every_ms.or(from.update_every_ms),
            respond_within: own.respond_within.or(from.respond_within),
            escalate: if keep("escalate") {
                from.escalate.iter().filter(|step| self.takes(step)).cloned().collect()
            } else {
                own.escalate
            },
            summary: own.summary,
            attach: own.attach,
        }
    }
}
