//! The short way of most events: they count in series of their account, and nothing comes of it. It does what the long
//! way does, without looking at what can't matter while all rules of the row are calm.

use crate::event::{Event, Kind, Timestamp};
use crate::rules::program::{Detector, FilterIx, OnActivate, RuleIx};

use super::effects::{Effects, Outcome};
use super::firing::{Calm, Packed, Proof};
use super::ingest::{admits_traffic, label, label_hash, sample_of};
use super::matches::{Seen, holds};
use super::plan::{Count, Plan};
use super::rows::row::Row;
use super::series::{Floor, Span, Taken};
use super::task::Task;

/// What became of an event.
#[derive(Debug)]
pub enum Quick {
    /// Nothing is done yet: it must go the long way.
    No,
    /// It is taken in, and no rule can be true.
    Done(Outcome),
    /// It is taken in, and these rules must be judged.
    Judge(Vec<RuleIx>),
}

/// What counting reads beside the row.
pub struct Desk<'a> {
    /// The rules.
    pub plan: &'a Plan,
    /// Whether new rules may have to look back first.
    pub is_live: bool,
    /// What the task knows.
    pub task: &'a mut Task,
    /// Where evaluations are counted.
    pub effects: &'a mut Effects,
    /// Memory for the filters that match.
    pub matched: &'a mut Vec<FilterIx>,
}

impl Desk<'_> {
    /// Takes an event into its account's row, if that is all that it does.
    pub fn take(&mut self, row: &mut Row, event: &Event<'_>, source: u16) -> Quick {
        if matches!(event.kind, Kind::Ticket | Kind::Account) || !self.matches(row, event) {
            return Quick::No;
        }
        if self.matched.is_empty() {
            return Quick::Done(Outcome::Applied);
        }
        if !self.prepare(row) {
            return Quick::No;
        }
        let weight = if event.kind == Kind::ErrorLog { event.occurrences() } else { 1 };
        let label = self.task.label(label_hash(event), || label(event), &event.name);
        let proof = Proof { time: event.time, offset: event.position.offset, source, label, weight };
        let Some(packed) = Packed::of(&proof) else { return Quick::No };
        self.count(row, event, (packed, weight))
    }

    /// Finds the filters that match; false if one does more than counting.
    fn matches(&mut self, row: &Row, event: &Event<'_>) -> bool {
        self.matched.clear();
        let profile = row.profile.as_ref().map(|profile| profile.fields.as_slice());
        let seen = Seen { event, ticket: None, profile, user: None };
        for ix in self.plan.filters(event.kind, &event.name) {
            let filter = self.plan.filter(*ix);
            if admits_traffic(event, filter.names_traffic) && holds(&filter.matches, &seen) {
                if self.plan.counts[usize::from(ix.0)].is_none() {
                    return false;
                }
                self.matched.push(*ix);
            }
        }
        true
    }

    fn counts(&self) -> impl Iterator<Item = (FilterIx, &Count)> {
        let counts = |ix: &FilterIx| {
            let ix = *ix;
            self.plan.counts[usize::from(ix.0)].iter().flatten().map(move |count| (ix, count))
        };
        self.matched.iter().flat_map(counts)
    }

    /// Whether all touched rules are calm here; a single new one is made.
    fn prepare(&mut self, row: &mut Row) -> bool {
        let (plan, first) = (self.plan, row.first_event());
        let Some(calm) = row.firing.calm_mut() else { return false };
        let mut new = None;
        let mut known = 0;
        for rule in self.counts().flat_map(|(_, count)| &count.rules) {
            let (own, version) = (plan.rule(*rule), plan.rule_plan(*rule).version);
            match calm.iter().find(|calm| calm.key == own.key) {
                Some(calm) if calm.version == version => known += 1,
                Some(_) => return false,
                None if new.is_some() => return false,
                None => new = Some((own, version)),
            }
        }
        let Some((own, version)) = new else { return true };
        let looks_back = self.is_live && own.on_activate == OnActivate::Baseline && first.is_some();
        let shape = (u8::try_from(own.conditions.len()), u8::try_from(own.clear.len()));
        let (Ok(conditions), Ok(clears)) = shape else { return false };
        if known > 0 || looks_back {
            return false;
        }
        calm.reserve_exact(1);
        calm.push(Calm::new(own.key, version, (conditions, clears)));
        self.task.census.admit(own.key);
        true
    }

    fn count(&mut self, row: &mut Row, event: &Event<'_>, (packed, weight): (Packed, u32)) -> Quick {
        row.note_event(event.time);
        let (mut applied, mut touched) = (false, false);
        let mut reached: Vec<RuleIx> = Vec::new();
        let profile = row.profile.clone();
        let fields = profile.as_ref().map(|profile| profile.fields.as_slice());
        let seen = Seen { event, ticket: None, profile: fields, user: None };
        let rules = &mut self.effects.tally.rules;
        for ix in &*self.matched {
            let floor = Floor(self.task.timed[self.plan.filter(*ix).kind as usize]);
            for count in self.plan.counts[usize::from(ix.0)].iter().flatten() {
                touched = true;
                let own = &self.plan.program.series[usize::from(count.series.0)];
                let Some(sample) = sample_of(own, &seen, event) else { continue };
                let state = row.series_mut(own);
                if state.add(own, &sample, None, floor) == Taken::Late {
                    continue;
                }
                applied = true;
                let newest = state.newest();
                let is_below = |rule: RuleIx| {
                    let condition = self.plan.rule(rule).conditions.first().map(|own| &own.detector);
                    let Some(Detector::Count { window, rungs, .. }) = condition else { return false };
                    let value = |newest: Timestamp| state.over(own, window, Span::UpTo(newest)).value;
                    newest
                        .map(value)
                        .is_none_or(|value| rungs.iter().all(|rung| !value.holds(rung.op, rung.limit)))
                };
                let above = count.rules.iter().copied().filter(|rule| !is_below(*rule));
                reached.extend(above);
                for rule in &count.rules {
                    let key = self.plan.rule(*rule).key;
                    let calm =
                        row.firing.calm_mut().and_then(|calm| calm.iter_mut().find(|calm| calm.key == key));
                    if let Some(calm) = calm {
                        calm.prove(packed, weight);
                    }
                    if !reached.contains(rule) {
                        rules[usize::from(rule.0)].evaluations += 1;
                    }
                }
            }
        }
        if !reached.is_empty() {
            reached.sort_unstable();
            return Quick::Judge(reached);
        }
        Quick::Done(if applied || !touched { Outcome::Applied } else { Outcome::Late })
    }
}
