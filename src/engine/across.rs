//! What events contribute to entities across accounts (`rules.md` §5): collected here, sent by [`super::forward`].

use std::sync::Arc;

use crate::event::routing::{entity, entity_kind};
use crate::event::{Event, Field, SourcePartition, Value};
use crate::journal::items::Witness;
use crate::rules::program::{FilterIx, Measure, RuleIx, SeriesIx};

use super::detect::zone_of;
use super::effects::Outcome;
use super::forward::{Gathered, Gift, Pending, Place, Taken};
use super::ingest::{Arrival, label};
use super::matches::{Seen, Subject, find, holds};
use super::plan::{Plan, Touch};
use super::rows::key::KeyParts;
use super::samples::{base_of, has_days, sample_of};
use super::series::{Grain, Sampled, quarter_of};
use super::step::{Turn, key_text};
use super::store::RowKey;
use super::traffic::admits_traffic;
use super::{Engine, StepError};

/// What an event does to one row across accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contributed {
    /// The row.
    pub key: RowKey,
    /// By which filter, and what.
    pub touch: (FilterIx, Touch),
}

/// What an event that matches these filters does to rows across accounts.
#[must_use]
pub fn contributed(plan: &Plan, matched: &[FilterIx], seen: &Seen<'_, '_>) -> Vec<Contributed> {
    let mut all = Vec::new();
    for ix in matched {
        for own in &plan.across[usize::from(ix.0)] {
            let entity = &plan.entities[usize::from(own.entity)];
            let part = entity.part.as_ref().and_then(|part| seen.value(&part.path));
            let text = part.as_deref().map(key_text);
            if let Some(parts) = KeyParts::of(entity, None, text.as_deref()) {
                all.push(Contributed { key: parts.encode(), touch: (*ix, own.touch) });
            }
        }
    }
    all
}

/// Whether a roll-up carries what a match does; the rest is seen by events without account only.
fn is_carried(plan: &Plan, touch: Touch) -> bool {
    use Measure::{Count, Distinct, ShareOf, Sum, SumDistinct, Usual};
    match touch {
        Touch::Add(series) | Touch::Base(series) => matches!(
            plan.program.series[usize::from(series.0)].measure,
            Count | Distinct(_) | ShareOf(_) | Sum(_) | SumDistinct { .. } | Usual
        ),
        Touch::Attach(..) => true,
        _ => false,
    }
}

impl Engine {
    /// Collects what an event contributes to rows across accounts.
    pub(super) fn contribute(
        &mut self,
        seen: &Seen<'_, '_>,
        matched: &[FilterIx],
        source: u16,
    ) -> Result<(), StepError> {
        if !self.collects() {
            return Ok(());
        }
        let plan = Arc::clone(&self.plan);
        let all = contributed(&plan, matched, seen);
        self.collect(&all, (seen, false), source)
    }

    /// Takes back what an event contributed, and collects what it contributes now that its ticket has changed.
    pub(super) fn contribute_anew(
        &mut self,
        (old, was): (&Seen<'_, '_>, &[FilterIx]),
        (new, is): (&Seen<'_, '_>, &[FilterIx]),
        source: u16,
    ) -> Result<(), StepError> {
        if !self.collects() {
            return Ok(());
        }
        let plan = Arc::clone(&self.plan);
        let (before, now) = (contributed(&plan, was, old), contributed(&plan, is, new));
        let without = |own: &[Contributed], other: &[Contributed]| -> Vec<Contributed> {
            own.iter().filter(|it| !other.contains(it)).cloned().collect()
        };
        self.collect(&without(&before, &now), (old, true), source)?;
        self.collect(&without(&now, &before), (new, false), source)
    }

    fn collect(
        &mut self,
        all: &[Contributed],
        (seen, leaves): (&Seen<'_, '_>, bool),
        source: u16,
    ) -> Result<(), StepError> {
        let mut pending = std::mem::take(&mut self.task.forwards.pending);
        let mut proven: Vec<SeriesIx> = Vec::new();
        let plan = Arc::clone(&self.plan);
        for own in all.iter().filter(|own| is_carried(&plan, own.touch.1)) {
            self.collect_one(&mut pending, own, (seen, leaves), (source, &mut proven))?;
        }
        self.task.forwards.pending = pending;
        Ok(())
    }

    fn collect_one(
        &mut self,
        pending: &mut Pending,
        own: &Contributed,
        (seen, leaves): (&Seen<'_, '_>, bool),
        (source, proven): (u16, &mut Vec<SeriesIx>),
    ) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        let parts = KeyParts::decode(&own.key)?;
        match own.touch.1 {
            Touch::Add(series) | Touch::Base(series) => {
                let is_base = own.touch.1 == Touch::Base(series);
                let program = &plan.program.series[usize::from(series.0)];
                let event = seen.event;
                let sample = if is_base { Some(base_of(event)) } else { sample_of(program, seen, event) };
                let Some(sample) = sample else { return Ok(()) };
                let (sum, is_newest) = match (&program.measure, sample.value) {
                    (Measure::Sum(_), Some(Sampled::Amount(amount))) => (amount, false),
                    (Measure::SumDistinct { .. }, Some(Sampled::Keyed(amount, _))) => (amount, true),
                    _ => (0, false),
                };
                let (count, base) = if is_base { (0, sample.weight) } else { (sample.weight, 0) };
                let key = program.key;
                let is_new = !proven.contains(&series);
                proven.push(series);
                let told = is_new.then(|| self.witness(event, (source, sample.weight)));
                let grain = Grain::of(program);
                let zone = zone_of(&mut self.calendar, &program.zone, None, None);
                let calendar = &mut self.calendar;
                let is_usual = program.measure == Measure::Usual;
                let cell = |time| Place {
                    cell: grain.cell(time, has_days(program).then(|| calendar.day_of(zone, time))),
                    quarter: if is_usual { quarter_of(time) } else { 0 },
                };
                pending.at(&own.key, (parts.kind, parts.part), |rollup| {
                    let member = member_of(rollup, seen);
                    let time = event.time;
                    let gift = Gift { series: key, member, leaves, time, count, sum, is_newest, base };
                    rollup.give(&gift, cell);
                    match told {
                        Some(witness) if leaves => rollup.recant(key, witness),
                        Some(witness) => rollup.witness(key, witness),
                        None => {}
                    }
                });
            }
            Touch::Attach(rule, place) if !leaves => {
                let attach = &plan.rule(rule).alert.attach[usize::from(place)];
                let Some(value) = seen.value(&attach.field) else { return Ok(()) };
                let value = value.into_owned().into_owned();
                pending.at(&own.key, (parts.kind, parts.part), |rollup| {
                    rollup.attach(attach.key, seen.event.time, value);
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn witness(&self, event: &Event<'_>, (source, weight): (u16, u32)) -> Witness {
        let known = self.task.sources.get(usize::from(source));
        Witness {
            source: known
                .map_or_else(|| SourcePartition { topic: "".into(), partition: 0 }, |own| own.source.clone()),
            offset: event.position.offset,
            time: event.time,
            label: label(event).into(),
            weight,
        }
    }

    /// Takes an event without account: it goes on to that of its alias, or contributes like any other, and the row of its own
    /// entity sees it itself. `None`: it ends elsewhere.
    pub(super) fn take_unowned(
        &mut self,
        event: &Event<'_>,
        source: u16,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Outcome>, StepError> {
        if let Some(alias) = event.alias.as_deref() {
            return self.take_aliased((event, alias), source, turn);
        }
        let own = entity(event).filter(|_| self.plan.is_across);
        let Some((field, id)) = own else { return Ok(Some(Outcome::Unattributed)) };
        let id = id.to_owned();
        let parts = KeyParts { kind: entity_kind(field), account: None, part: &id };
        let key = parts.encode();
        if event.id != 0 && !self.rows.get_or_insert(&key, turn.store)?.note_id(event.kind, event.id) {
            return Ok(Some(Outcome::Duplicate));
        }
        let seen = Seen { event, ticket: None, facts: None, profile: None, user: None, held: &[] };
        let plan = Arc::clone(&self.plan);
        let admits = |ix: &&FilterIx| {
            let filter = plan.filter(**ix);
            admits_traffic(event, filter.names_traffic) && holds(&filter.matches, &seen)
        };
        let matched: Vec<FilterIx> =
            plan.filters(event.kind, &event.name).iter().filter(admits).copied().collect();
        self.contribute(&seen, &matched, source)?;
        let all = contributed(&plan, &matched, &seen);
        let touches: Vec<(FilterIx, Touch)> = all
            .iter()
            .filter(|own| own.key == key && !is_carried(&plan, own.touch.1))
            .map(|own| own.touch)
            .collect();
        if touches.is_empty() {
            return Ok(Some(Outcome::Applied));
        }
        let proof = self.proof(event, source);
        let mut applied = false;
        self.with_row(&key, turn, |scene| {
            let reception = scene.receive(&Arrival { seen, proof, touches: &touches, before: &[] });
            applied = reception.applied;
            reception.rules
        })?;
        Ok(Some(if applied { Outcome::Applied } else { Outcome::Late }))
    }

    /// In a replay: applies what was collected, as if it had been sent and come at once.
    pub(super) fn apply_collected(&mut self, turn: &mut Turn<'_>) -> Result<(), StepError> {
        if self.settings.is_live() || self.task.forwards.pending.is_empty() {
            return Ok(());
        }
        // What is told may make somebody tell something.
        while !self.task.forwards.pending.is_empty() {
            let Taken { rollups, broadcasts, answers, claims, passed } = self.task.forwards.pending.take();
            for rollup in rollups {
                self.take_rollup(&rollup, turn)?;
            }
            for told in broadcasts {
                self.take_broadcast(&told, turn)?;
            }
            for answer in answers {
                self.take_answer(&answer, turn)?;
            }
            for claim in claims {
                self.take_claim(&claim, turn)?;
            }
            for passed in passed {
                self.take_passed(&passed, turn)?;
            }
        }
        Ok(())
    }
}

/// The place of an event's account in a roll-up.
fn member_of(rollup: &mut Gathered, seen: &Seen<'_, '_>) -> u32 {
    let number = |field| match find(seen.profile, field) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let account = seen.event.account.as_deref().unwrap_or_default();
    rollup.member(account, || (number(Field::Tier), number(Field::ArrMinor)))
}

/// The rules that judge a row across accounts when these series of it change.
#[must_use]
pub fn judges_of(plan: &Plan, series: &[SeriesIx]) -> Vec<RuleIx> {
    let mut rules: Vec<RuleIx> =
        series.iter().flat_map(|ix| &plan.judges[usize::from(ix.0)]).copied().collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}
