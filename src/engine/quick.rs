//! The short way of most events: they count in series of their account, and nothing comes of it. It does what the long
//! way does, without looking at what can't matter: rules that are calm, and rules whose alert has nothing new to say.

use crate::event::{Event, Field, Kind, Timestamp, Value};
use crate::rules::program::{Detector, FilterIx, OnActivate, RuleIx, Window};

use super::effects::{Effects, Outcome};
use super::firing::{Calm, Episode, Fate, Proof};
use super::lifecycle::{UPDATE_GAP_MS, is_worse};
use super::matches::{Seen, holds};
use super::number::Exact;
use super::peaks::Peak;
use super::plan::{Count, Plan};
use super::rows::cache::Body;
use super::rows::flat::Flat;
use super::rows::row::Row;
use super::samples::sample_of;
use super::series::{Floor, Span, Taken};
use super::task::Task;
use super::traffic::admits_traffic;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quick {
    /// Nothing is done yet: it must go the long way.
    No,
    /// It is taken in, and no rule has anything to say.
    Done(Outcome),
    /// It is taken in, and the rules in [`Scratch::rules`] must be judged.
    Judge,
}

/// Memory that is used for one event after the other.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The filters that the event matches and that do something in rows of its account.
    matched: Vec<FilterIx>,
    /// Those that do something across accounts.
    pub across: Vec<FilterIx>,
    /// Rules to make, then rules to judge, in order.
    pub rules: Vec<RuleIx>,
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
    /// Memory.
    pub scratch: &'a mut Scratch,
}

impl Desk<'_> {
    /// Finds the filters that an event matches; false if one of them does more than counting.
    pub fn matches(&mut self, body: &Body, event: &Event<'_>) -> bool {
        self.scratch.matched.clear();
        self.scratch.across.clear();
        if matches!(event.kind, Kind::Ticket | Kind::Account) {
            return false;
        }
        let profile = body.profile().map(|profile| profile.fields.as_slice());
        let seen = Seen { event, ticket: None, facts: None, profile, user: None, held: &[] };
        for ix in self.plan.filters(event.kind, &event.name) {
            let (filter, place) = (self.plan.filter(*ix), usize::from(ix.0));
            if admits_traffic(event, filter.names_traffic)
                && (self.plan.by_name[place] || holds(&filter.matches, &seen))
            {
                if self.plan.counts[place].is_none() {
                    return false;
                }
                let is_across = !self.plan.across[place].is_empty();
                if is_across {
                    self.scratch.across.push(*ix);
                }
                if !is_across || !self.plan.uses[place].is_empty() {
                    self.scratch.matched.push(*ix);
                }
            }
        }
        true
    }

    /// Whether the event matches no filter that does something in rows of its account.
    pub fn is_unmatched(&self) -> bool {
        self.scratch.matched.is_empty()
    }

    /// Takes an event that only counts into its account's row, if nothing else can come of it.
    pub fn take(&mut self, body: &mut Body, event: &Event<'_>, proof: &Proof) -> Quick {
        if matches!(body, Body::Absent) {
            *body = Body::Flat(Flat::default());
        }
        match body {
            Body::Absent => Quick::No,
            Body::Flat(flat) => {
                if self.prepare(flat, event, proof) {
                    self.count_flat(flat, proof)
                } else {
                    Quick::No
                }
            }
            Body::Whole(row) => {
                if self.is_ready(row, event) {
                    self.count_whole(row, event, proof)
                } else {
                    Quick::No
                }
            }
        }
    }

    fn counts(&self) -> impl Iterator<Item = (FilterIx, &Count)> {
        let counts = |ix: &FilterIx| {
            let ix = *ix;
            self.plan.counts[usize::from(ix.0)].iter().flatten().map(move |count| (ix, count))
        };
        self.scratch.matched.iter().flat_map(counts)
    }

    /// Whether a row in few bytes can take all of it; rules that it does not have yet are made.
    fn prepare(&mut self, flat: &mut Flat, event: &Event<'_>, proof: &Proof) -> bool {
        if !Flat::takes(proof) {
            return false;
        }
        let mut new = std::mem::take(&mut self.scratch.rules);
        new.clear();
        let fits = self.counts().all(|(_, count)| {
            let series = &self.plan.program.series[usize::from(count.series.0)];
            flat.counts_here(series, event.time, proof.weight)
                && count.rules.iter().all(|rule| match flat.version(self.plan.rule(*rule).key) {
                    Some(version) if version == self.plan.rule_plan(*rule).version => {
                        flat.fits(self.plan.rule(*rule).key, proof)
                    }
                    Some(_) => false,
                    None => {
                        new.push(*rule);
                        !self.looks_back(*rule, flat.first_event())
                    }
                })
        });
        if fits && !new.is_empty() {
            new.sort_unstable();
            for rule in &new {
                flat.add_rule(self.calm(*rule));
                self.task.census.admit(self.plan.rule(*rule).key);
            }
        }
        new.clear();
        self.scratch.rules = new;
        fits
    }

    fn calm(&self, rule: RuleIx) -> Calm {
        let (own, plan) = (self.plan.rule(rule), self.plan.rule_plan(rule));
        Calm { key: own.key, version: plan.version, peak: Peak::default(), matches: 0, shape: plan.shape }
    }

    fn looks_back(&self, rule: RuleIx, first_event: Option<Timestamp>) -> bool {
        self.is_live && self.plan.rule(rule).on_activate == OnActivate::Baseline && first_event.is_some()
    }

    fn count_flat(&mut self, flat: &mut Flat, proof: &Proof) -> Quick {
        flat.note_event(proof.time);
        let (mut applied, mut touched) = (false, false);
        let plan = self.plan;
        for ix in &self.scratch.matched {
            let floor = Floor(self.task.timed.of(plan.filter(*ix).kind));
            for count in plan.counts[usize::from(ix.0)].iter().flatten() {
                touched = true;
                let own = &plan.program.series[usize::from(count.series.0)];
                let counted = flat.count(own, (proof.time, proof.weight), floor);
                if counted.taken == Taken::Late {
                    continue;
                }
                applied = true;
                let value = Exact::whole(i64::try_from(counted.value).unwrap_or(i64::MAX));
                for rule in &count.rules {
                    let ratio = plan.ratio(*rule, counted.value);
                    flat.prove(plan.rule(*rule).key, proof, (&mut self.task.peaks, ratio));
                    if plan.is_reached(*rule, value) {
                        self.scratch.rules.push(*rule);
                    } else {
                        self.effects.tally.rules[usize::from(rule.0)].evaluations += 1;
                    }
                }
            }
        }
        self.end(applied || !touched)
    }

    fn end(&mut self, applied: bool) -> Quick {
        if self.scratch.rules.is_empty() {
            return Quick::Done(if applied { Outcome::Applied } else { Outcome::Late });
        }
        self.scratch.rules.sort_unstable();
        Quick::Judge
    }

    /// Whether all touched rules of a whole row are calm, or steady: their alert may have nothing new to say.
    fn is_ready(&self, row: &Row, event: &Event<'_>) -> bool {
        self.counts().all(|(_, count)| {
            let series = self.plan.program.series[usize::from(count.series.0)].key;
            let newest = row.series(series).and_then(|state| state.newest());
            let in_order = newest.is_none_or(|newest| newest <= event.time);
            count.rules.iter().all(|rule| {
                let Some(state) = row.firing.rule(self.plan.rule(*rule).key) else { return false };
                let [episode] = state.episodes.as_slice() else { return false };
                let plan = self.plan.rule_plan(*rule);
                let is_late = event.time < self.task.timed.lowest(plan.kinds);
                state.version == plan.version
                    && (!is_late || row.firing.alerts.is_empty())
                    && match episode.activation {
                        None => {
                            episode.is_quiet() && episode.conditions.iter().all(|own| own.since.is_none())
                        }
                        Some(_) => plan.steady.is_some() && in_order && !is_late && is_decided(episode),
                    }
            })
        })
    }

    fn count_whole(&mut self, row: &mut Row, event: &Event<'_>, proof: &Proof) -> Quick {
        row.note_event(event.time);
        self.scratch.rules.clear();
        let (mut applied, mut touched) = (false, false);
        let plan = self.plan;
        let profile = row.profile.clone();
        let fields: Option<&[(Field, Value<'static>)]> =
            profile.as_ref().map(|profile| profile.fields.as_slice());
        let seen = Seen { event, ticket: None, facts: None, profile: fields, user: None, held: &[] };
        for ix in &self.scratch.matched {
            let floor = Floor(self.task.timed.of(plan.filter(*ix).kind));
            for count in plan.counts[usize::from(ix.0)].iter().flatten() {
                touched = true;
                let own = &plan.program.series[usize::from(count.series.0)];
                let Some(sample) = sample_of(own, &seen, event) else { continue };
                let state = row.series_mut(own);
                if state.add(own, &sample, None, floor) == Taken::Late {
                    continue;
                }
                applied = true;
                for rule in &count.rules {
                    let value =
                        window_of(plan, *rule).zip(row.series(own.key)).and_then(|(window, state)| {
                            Some(state.value(own, window, Span::UpTo(state.newest()?)))
                        });
                    if let Some(state) = row.firing.rule_mut(plan.rule(*rule).key) {
                        let ratio = value.map_or(0, |value| plan.ratio_of(*rule, value));
                        self.task.peaks.note(state.key, &mut state.peak, ratio);
                        state.episodes.iter_mut().for_each(|episode| episode.prove(*proof));
                    }
                    if says_nothing(plan, self.task, row, *rule, value) {
                        self.effects.tally.rules[usize::from(rule.0)].evaluations += 1;
                    } else {
                        self.scratch.rules.push(*rule);
                    }
                }
            }
        }
        self.end(applied || !touched)
    }
}

/// Whether an activation's fate is decided, and nothing is on its way to end it.
fn is_decided(episode: &Episode) -> bool {
    let fate = episode.activation.map(|activation| activation.fate);
    matches!(fate, Some(Fate::Opened | Fate::Merged | Fate::Suppressed))
        && !episode.disarmed
        && episode.conditions.iter().all(|own| own.since.is_some() && own.held)
        && episode.clearing.iter().all(Option::is_none)
}

/// The window of a rule of one count.
fn window_of(plan: &Plan, rule: RuleIx) -> Option<&Window> {
    match plan.rule(rule).conditions.first().map(|condition| &condition.detector) {
        Some(Detector::Count { window, .. }) => Some(window),
        _ => None,
    }
}

/// Whether judging a calm or steady rule that counts so many would change and say nothing.
fn says_nothing(plan: &Plan, task: &Task, row: &Row, rule: RuleIx, value: Option<Exact>) -> bool {
    let (own, own_plan) = (plan.rule(rule), plan.rule_plan(rule));
    let Some(value) = value else { return true };
    let Some([episode]) = row.firing.rule(own.key).map(|state| state.episodes.as_slice()) else {
        return false;
    };
    let is_reached = plan.is_reached(rule, value);
    if episode.activation.is_none() {
        return !is_reached;
    }
    let Some(steady) = own_plan.steady.filter(|_| is_reached) else { return false };
    let alert = row.firing.alert(own_plan.family, &episode.dedup).map(|alert| &row.firing.alerts[alert]);
    let Some(open) = alert.filter(|_| episode.member) else { return true };
    let same = open.lead == own.key
        && open.severity >= own.severity
        && open.said.owner == steady.owner
        && *open.said.members == [own.key];
    let before = open.said.values.first().copied().flatten();
    let is_worse = own.conditions.first().is_some_and(|own| is_worse(&own.detector, Some(value), before));
    let waits = open.pending
        && open.revised != Timestamp::MIN
        && open.revised.plus(UPDATE_GAP_MS) > task.journal_time;
    same && (!is_worse || waits)
}
