//! From verdicts to activations: when an episode of a rule begins, goes on and ends (`rules.md` §6, §7; `contracts.md` §5.1).

use crate::event::{Timestamp, Value};
use crate::rules::program::{
    Clear, Combine, Condition, Detector, Part, Path, Rule, SeriesIx, Severity, Window,
};

use super::alert::Observed;
use super::detect::{Judged, Prompt};
use super::firing::{Activation, Fate};
use super::groups::{observe_groups, settle_groups};
use super::matches::{Seen, Subject};
use super::plan::is_negative;
use super::scene::{Case, Scene, variables_hold};

/// Why a rule is judged.
#[derive(Debug, Clone, Copy)]
pub enum Cause<'a, 'e> {
    /// An event touched it, by these series.
    Event(&'a Seen<'a, 'e>, &'a [SeriesIx]),
    /// A roll-up touched it, by these series.
    Rollup(&'a [SeriesIx]),
    /// Something else than an event at hand touched it, by these series: a ticket moved, a profile changed.
    Moved(&'a [SeriesIx]),
    /// The watermark reached this mark.
    Mark(Timestamp),
    /// A new or changed rule looks for the first time: what holds now is not announced.
    Baseline,
}

impl Scene<'_> {
    /// Judges a case and lets its episode begin, go on or end.
    pub fn look_at(&mut self, case: Case, cause: Cause<'_, '_>) {
        if self.plan.health == Some(case.rule) {
            return;
        }
        let (clock, prompt) = match cause {
            Cause::Mark(mark) => (mark, Prompt::Mark),
            Cause::Event(_, touched) | Cause::Rollup(touched) | Cause::Moved(touched) => {
                (self.watermark(case.rule), Prompt::Touched(touched))
            }
            Cause::Baseline => (self.watermark(case.rule), Prompt::All),
        };
        self.tally(case.rule).evaluations += 1;
        let by_count = self.plan.rule_plan(case.rule).near.is_some();
        if by_count && !matches!(cause, Cause::Mark(_)) {
            self.raise_by_count(case.rule);
        }
        if self.is_calm(case) {
            return;
        }
        self.begin_period(case);
        let (judged, in_turn) = self.judge(case, clock, prompt);
        if judged.is_empty() {
            return;
        }
        let observed = self.settle(case, judged, clock);
        if !matches!(cause, Cause::Mark(_)) {
            self.note_feelings(case);
        }
        let (reached, holds) = self.verdict(case);
        self.raise_peak(case, (&observed, reached, in_turn), (clock, cause));
        let Some(episode) = self.episode_mut(case) else { return };
        if !reached {
            episode.disarmed = false;
        } else if matches!(cause, Cause::Baseline) {
            episode.disarmed |= episode.activation.is_none();
        }
        match (episode.activation, holds && !episode.disarmed) {
            (None, true) if self.has_lookups(case, &observed) => {
                self.activate(case, &observed, (clock, cause));
            }
            (Some(_), false) => {
                let time = if let Cause::Event(seen, _) = cause { seen.event.time.max(clock) } else { clock };
                self.deactivate(case, &observed, time);
            }
            _ => {}
        }
        if !matches!(cause, Cause::Baseline) {
            self.pass_gates(case, &observed);
        }
        self.check_clear(case, &observed, clock);
        self.revise(case, &observed);
        self.note_told(case, &observed);
    }

    /// Remembers how near a rule came that was judged.
    fn raise_peak(
        &mut self,
        case: Case,
        (observed, reached, in_turn): (&[Observed], bool, bool),
        (clock, cause): (Timestamp, Cause<'_, '_>),
    ) {
        let plan = self.plan.rule_plan(case.rule);
        if plan.silence {
            let time = if let Cause::Event(seen, _) = cause { seen.event.time } else { clock };
            self.raise_by_silence(case, time);
        } else if in_turn && plan.near.is_none_or(|near| near.guarded) {
            self.raise_by_verdict(case, observed, reached);
        }
    }

    /// Whether a rule of one upward count was false, is false, and has nothing to end: the way of most events.
    fn is_calm(&mut self, case: Case) -> bool {
        let rule = self.rule(case);
        let [condition] = rule.conditions.as_slice() else { return false };
        let Detector::Count { series, window, rungs } = &condition.detector else { return false };
        if is_negative(condition) || matches!(window, Window::Days { .. }) {
            return false;
        }
        let calm = self.look(case, Timestamp::MIN, |view, episode| {
            let quiet = episode.activation.is_none()
                && !episode.member
                && !episode.disarmed
                && episode.conditions.iter().all(|state| state.since.is_none());
            quiet && view.is_below(*series, window, rungs)
        });
        calm.unwrap_or(false)
    }

    /// Remembers since when each condition holds, and takes `for` into account.
    fn settle(&mut self, case: Case, judged: Vec<Judged>, clock: Timestamp) -> Vec<Observed> {
        let rule = self.rule(case);
        let newest = self.newest_times(case);
        let Some(episode) = self.episode_mut(case) else { return Vec::new() };
        let mut all = Vec::with_capacity(judged.len());
        for (place, Judged { reached, mut observed }) in judged.into_iter().enumerate() {
            let (condition, state) = (&rule.conditions[place], &mut episode.conditions[place]);
            if reached {
                let at = if is_negative(condition) { clock } else { newest[place].unwrap_or(clock) };
                let since = *state.since.get_or_insert(at);
                state.held = condition.for_ms == 0 || since.plus(condition.for_ms) <= clock;
            } else {
                state.since = None;
                state.held = false;
            }
            observed.met &= state.held;
            all.push(observed);
        }
        settle_groups(rule, episode, clock);
        observe_groups(rule, episode, &mut all);
        all
    }

    /// The newest match of each condition's series.
    pub fn newest_times(&self, case: Case) -> Vec<Option<Timestamp>> {
        let newest = |detector: &Detector| {
            let key = self.plan.program.series[usize::from(detector.series()?.0)].key;
            self.row.series(key)?.newest()
        };
        self.plan.rule(case.rule).conditions.iter().map(|condition| newest(&condition.detector)).collect()
    }

    /// Whether `when` is reached, and whether it holds with `for`; guards apart.
    fn verdict(&self, case: Case) -> (bool, bool) {
        let Some(episode) = self.episode(case) else { return (false, false) };
        let rule = self.plan.rule(case.rule);
        let state = |place: usize| episode.conditions.get(place);
        let is_held = |place: usize| state(place).is_some_and(|own| own.since.is_some() && own.held);
        let reached = rule.is_true(&|place| state(place).is_some_and(|own| own.since.is_some()), &|_| true);
        let holds =
            if rule.is_grouped() { is_held(rule.states() - 1) } else { rule.is_true(&is_held, &|_| true) };
        (reached, holds)
    }

    /// Whether every required lookup finds a row.
    fn has_lookups(&self, case: Case, observed: &[Observed]) -> bool {
        let rule = self.rule(case);
        if rule.lookups.iter().all(|lookup| !lookup.required) {
            return true;
        }
        let found = self.with_scope(case, (observed, rule.severity), |scope| {
            (0_u8..)
                .zip(&rule.lookups)
                .all(|(place, lookup)| !lookup.required || scope.lookup(place).is_some())
        });
        found.unwrap_or(false)
    }

    fn activate(&mut self, case: Case, observed: &[Observed], (clock, cause): (Timestamp, Cause<'_, '_>)) {
        let (rule, now) = (self.rule(case), self.now());
        let at = if rule.conditions.iter().any(is_negative) {
            clock
        } else {
            self.newest_times(case).into_iter().flatten().max().unwrap_or(clock)
        };
        let told = |(seen, condition): (&Observed, &Condition)| {
            seen.met && matches!(condition.detector, Detector::Sequence { .. })
        };
        let captured = match cause {
            // The firing event of a sequence is its newest match, which need not be the one at hand.
            _ if observed.iter().zip(&rule.conditions).any(told) => None,
            Cause::Event(seen, _) if !rule.conditions.iter().all(is_negative) => {
                Some(self.capture(case, seen))
            }
            _ => None,
        };
        let Some(episode) = self.episode_mut(case) else { return };
        let at = match rule.conditions.first().map(|condition| &condition.detector) {
            Some(Detector::Event { .. }) => episode.last_evidence.unwrap_or(at),
            Some(Detector::Sequence { .. }) => {
                episode.conditions.first().and_then(|state| state.since).unwrap_or(at)
            }
            _ => at,
        };
        let onsets = observed.iter().filter(|observed| observed.onset.is_some() && observed.rung > 0);
        let onset = onsets.filter_map(|observed| observed.onset).min().unwrap_or(at);
        episode.affected = None;
        episode.activation =
            Some(Activation { at, onset, begun: now, fate: Fate::New, until: None, told: false });
        if let Some(captured) = captured {
            episode.captured = captured;
        }
        // A clear needs a time without new activation.
        for (since, clear) in episode.clearing.iter_mut().zip(&rule.clear) {
            if matches!(clear, Clear::Event { .. }) {
                *since = None;
            }
        }
    }

    /// The fields of the firing event that the rule names.
    pub fn capture(&self, case: Case, seen: &Seen<'_, '_>) -> Vec<(Path, Value<'static>)> {
        let paths = &self.plan.rule_plan(case.rule).captured;
        let own = |path: &Path| match path {
            Path::Field(_) | Path::Property(_) => {
                Some((path.clone(), seen.value(path)?.into_owned().into_owned()))
            }
            _ => None,
        };
        paths.iter().filter_map(own).collect()
    }

    /// Takes an event condition's match in: the newest one is the firing event.
    pub fn take_match(&mut self, case: Case, place: usize, seen: &Seen<'_, '_>) {
        let captured = self.capture(case, seen);
        let time = seen.event.time;
        let rule = self.rule(case);
        let Some(episode) = self.episode_mut(case) else { return };
        let newest = episode.last_evidence.is_none_or(|last| last <= time);
        if let Some(state) = episode.conditions.get_mut(place) {
            state.since = Some(state.since.map_or(time, |since| since.min(time)));
        }
        if newest {
            episode.captured = captured;
        }
        for (since, clear) in episode.clearing.iter_mut().zip(&rule.clear) {
            if matches!(clear, Clear::Event { .. }) && since.is_some_and(|since| since < time) {
                *since = None;
            }
        }
    }

    /// What would end the alert: judged whenever the condition is.
    fn check_clear(&mut self, case: Case, observed: &[Observed], clock: Timestamp) {
        let rule = self.rule(case);
        let Some(episode) = self.episode(case) else { return };
        if !episode.member && episode.activation.is_none() {
            return;
        }
        let (member, events_only) = (episode.member, self.plan.rule_plan(case.rule).events_only);
        let mut cleared = false;
        for (place, clear) in rule.clear.iter().enumerate() {
            let since = match clear {
                Clear::If { matches, .. } if member => {
                    let holds = self
                        .with_scope(case, (observed, Severity::Info), |scope| variables_hold(matches, scope));
                    let at = self.newest_times(case).into_iter().flatten().max().unwrap_or(clock).max(clock);
                    let Some(episode) = self.episode_mut(case) else { return };
                    let since = &mut episode.clearing[place];
                    *since = if holds.unwrap_or(false) { Some(since.unwrap_or(at)) } else { None };
                    *since
                }
                Clear::If { .. } => None,
                Clear::Event { .. } => self.episode(case).and_then(|episode| episode.clearing[place]),
            };
            let for_ms = clear_for_ms(clear);
            cleared |= since.is_some_and(|since| for_ms == 0 || since.plus(for_ms) <= clock);
        }
        if cleared && (member || events_only) {
            self.clear(case, observed);
        }
    }

    /// Whether a late event at `time`, which came into these series, makes false what a negative condition fired for
    /// (`rules.md` §6, late disproof).
    pub fn is_disproved(&mut self, case: Case, time: Timestamp, touched: &[SeriesIx]) -> bool {
        let rule = self.rule(case);
        let Some(activation) = self.episode(case).and_then(|episode| episode.activation) else {
            return false;
        };
        if !self.plan.rule_plan(case.rule).negative || time > activation.at {
            return false;
        }
        let still = self.look(case, activation.at, |view, episode| {
            let reached: Vec<bool> = (0..rule.conditions.len())
                .map(|place| {
                    !is_negative(&rule.conditions[place])
                        || view.still_reached((rule, place), episode, (time, touched), activation.at)
                })
                .collect();
            holds(rule, &reached, episode)
        });
        still == Some(false)
    }
}

/// Whether `when` still holds; conditions that were not true do not help an `any`.
fn holds(rule: &Rule, reached: &[bool], episode: &super::firing::Episode) -> bool {
    let one = |combine: Combine, place: usize| {
        let was =
            combine != Combine::Any || episode.conditions.get(place).is_some_and(|own| own.since.is_some());
        reached.get(place).is_some_and(|reached| *reached && was)
    };
    rule.combine.is_true(rule.parts().map(|part| match part {
        Part::Condition(place) => one(rule.combine, place),
        Part::Group(place) => {
            let group = &rule.groups[place];
            group.combine.is_true(group.places().map(|own| one(group.combine, own)))
        }
    }))
}

/// How long a clear must hold, ms.
pub const fn clear_for_ms(clear: &Clear) -> i64 {
    match clear {
        Clear::Event { for_ms, .. } | Clear::If { for_ms, .. } => *for_ms,
    }
}
