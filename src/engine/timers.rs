//! When a row wants to be looked at again, and what is due when that time comes.

use crate::event::Timestamp;
use crate::rules::program::{Clear, RuleIx};

use super::alert::{Action, Reason};
use super::firing::{Bound, Episode, Fate};
use super::groups;
use super::judge::{Cause, clear_for_ms};
use super::lifecycle::{Revision, UPDATE_GAP_MS, next_multiple};
use super::scene::{Case, Scene};

/// One bound in so many is checked outside of unit tests, where it would cost what bounds save.
const CHECKED: u32 = 16;

/// What is due in a row by journal time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The alert at this place expires.
    Expiry(usize),
    /// An event episode without alert expires.
    Episode(RuleIx, usize),
    /// What holds an activation back may be over.
    Gate(RuleIx, usize),
    /// A revision that had to wait.
    Pending(usize),
    /// Nobody has reacted.
    Step(usize),
    /// A reminder.
    Reminder(usize),
    /// Nobody has reacted in time.
    Missed(usize),
}

impl Scene<'_> {
    /// The next mark of the watermark, after `after`, at which a rule wants to be judged in this row.
    #[must_use]
    pub fn next_mark(&mut self, rule: RuleIx, after: Timestamp) -> Option<Timestamp> {
        let first = self.row.first_event().map_or(after, |first| first.plus(-1));
        let after = after.max(first);
        let episodes = self.row.firing.rule(self.plan.rule(rule).key)?.episodes.len();
        if self.plan.health == Some(rule) {
            return Some(self.next_scoring(rule, after));
        }
        (0..episodes).filter_map(|episode| self.next_mark_of(Case { rule, episode }, after)).min()
    }

    /// [`Scene::next_mark`], which is taken down for later looks.
    pub fn note_mark(&mut self, rule: RuleIx, after: Timestamp) -> Option<Timestamp> {
        let mark = self.next_mark(rule, after);
        if let Some(state) = self.row.firing.rule_mut(self.plan.rule(rule).key) {
            state.bound = Bound::at(mark);
        }
        mark
    }

    /// The next mark that a bound stands for; builds that look for bugs make sure that a look would say the same.
    pub fn checked(&mut self, rule: RuleIx, after: Timestamp, bound: Timestamp) -> Option<Timestamp> {
        let mark = Some(bound).filter(|bound| *bound < Timestamp::MAX);
        let sample = || self.key.0.iter().map(|byte| u32::from(*byte)).sum::<u32>() + u32::from(rule.0);
        if cfg!(debug_assertions) && (cfg!(test) || sample().is_multiple_of(CHECKED)) {
            debug_assert_eq!(self.next_mark(rule, after), mark, "{} {:?}", self.plan.rule(rule).id, self.key);
        }
        mark
    }

    fn next_mark_of(&mut self, case: Case, after: Timestamp) -> Option<Timestamp> {
        let rule = self.rule(case);
        self.look(case, after, |view, episode| {
            let mut marks: Vec<Timestamp> = Vec::new();
            let young = Fate::Withheld(Reason::InsufficientHistory);
            let is_withheld = episode.activation.is_some_and(|own| own.fate == young);
            for (condition, state) in rule.conditions.iter().zip(&episode.conditions) {
                let holds = state.since.is_some() || episode.member;
                marks.extend(view.next_mark((rule, condition), *state, (holds, after)));
                marks.extend(state.since.and_then(|_| view.of_age(rule, condition, (is_withheld, after))));
                let waits = !state.held && condition.for_ms > 0;
                marks.extend(state.since.filter(|_| waits).map(|since| since.plus(condition.for_ms)));
            }
            marks.extend(groups::marks(rule, episode));
            for (since, clear) in episode.clearing.iter().zip(&rule.clear) {
                let for_ms = clear_for_ms(clear);
                marks.extend(since.filter(|_| for_ms > 0).map(|since| since.plus(for_ms)));
            }
            marks.into_iter().filter(|mark| *mark > after).min()
        })
        .flatten()
    }

    /// Judges a rule on a mark of the watermark.
    pub fn on_mark(&mut self, rule: RuleIx, mark: Timestamp) {
        if self.plan.health == Some(rule) {
            return self.score_health(rule, mark);
        }
        let key = self.plan.rule(rule).key;
        let episodes = self.row.firing.rule(key).map_or(0, |state| state.episodes.len());
        for episode in 0..episodes {
            self.look_at(Case { rule, episode }, Cause::Mark(mark));
        }
    }

    /// The next journal time at which this row wants to be looked at.
    #[must_use]
    pub fn next_journal(&self) -> Option<Timestamp> {
        self.journal_timers().into_iter().map(|(at, _)| at).min()
    }

    fn journal_timers(&self) -> Vec<(Timestamp, Due)> {
        let mut timers = Vec::new();
        for (place, alert) in self.row.firing.alerts.iter().enumerate() {
            timers.extend(self.expires(alert).map(|at| (at, Due::Expiry(place))));
            timers.extend(self.next_step(alert).map(|at| (at, Due::Step(place))));
            timers.extend(alert.reminder.map(|at| (at, Due::Reminder(place))));
            timers.extend(alert.respond_by.map(|at| (at, Due::Missed(place))));
            if alert.pending {
                timers.push((alert.revised.plus(UPDATE_GAP_MS), Due::Pending(place)));
            }
        }
        for state in &self.row.firing.rules {
            if state.episodes.iter().all(|episode| episode.activation.is_none()) {
                continue;
            }
            let Some(rule) = self.plan.rule_of_key(state.key) else { continue };
            for (place, episode) in state.episodes.iter().enumerate() {
                timers.extend(self.episode_timer(rule, place, episode));
            }
        }
        timers
    }

    fn episode_timer(&self, rule: RuleIx, place: usize, episode: &Episode) -> Option<(Timestamp, Due)> {
        let activation = episode.activation?;
        let (own, plan) = (self.plan.rule(rule), self.plan.rule_plan(rule));
        let gate = activation.until.filter(|_| matches!(activation.fate, Fate::New | Fate::Withheld(_)));
        let gate = gate.map(|until| (until, Due::Gate(rule, place)));
        let expiry = own
            .expires_after_ms
            .filter(|_| plan.events_only && !episode.member)
            .map(|after| (activation.begun.plus(after), Due::Episode(rule, place)));
        gate.into_iter().chain(expiry).min()
    }

    /// Does what is due by journal time, in order.
    pub fn on_journal_time(&mut self) {
        let now = self.now();
        // Each round removes or moves on what was due; the bound only guards against a timer that doesn't.
        for _ in 0..256 {
            let due = self.journal_timers().into_iter().filter(|(at, _)| *at <= now).min();
            let Some((_, due)) = due else { return };
            self.fire(due);
        }
    }

    fn fire(&mut self, due: Due) {
        match due {
            Due::Expiry(alert) => self.expire(alert),
            Due::Episode(rule, episode) => {
                let case = Case { rule, episode };
                let observed = self.observe(case);
                self.end_events(case, &observed);
            }
            Due::Gate(rule, episode) => {
                let case = Case { rule, episode };
                let observed = self.observe(case);
                self.pass_gates(case, &observed);
            }
            Due::Pending(alert) => {
                self.row.firing.alerts[alert].pending = false;
                self.revise_alert(alert);
            }
            Due::Step(alert) => self.escalate_unanswered(alert),
            Due::Reminder(alert) => self.remind(alert),
            Due::Missed(alert) => {
                let open = &mut self.row.firing.alerts[alert];
                open.respond_by = None;
                if let Some(lead) = self.plan.rule_of_key(open.lead) {
                    self.tally(lead).respond_by_missed += 1;
                }
            }
        }
    }

    fn remind(&mut self, alert: usize) {
        let now = self.now();
        let Some((case, observed)) = self.lead(alert) else {
            self.row.firing.alerts[alert].reminder = None;
            return;
        };
        let every = self.rule(case).alert.update_every_ms;
        let open = &mut self.row.firing.alerts[alert];
        open.reminder = every.map(|every| next_multiple(open.detected, every, now));
        if every.is_some() {
            self.emit(alert, (case, &observed), Revision { action: Action::Reminder, reason: None });
        }
    }

    fn expire(&mut self, alert: usize) {
        let members = self.members(alert);
        if let Some((case, observed)) = self.lead(alert) {
            self.close(alert, (case, &observed), Revision { action: Action::Expired, reason: None });
        } else {
            self.forget_alert(alert);
        }
        for case in members {
            let observed = self.observe(case);
            self.end_events(case, &observed);
        }
    }

    /// The alerts of rules that are gone expire.
    pub fn on_rules_gone(&mut self, gone: &dyn Fn(u32) -> bool) {
        while let Some(alert) = self.row.firing.alerts.iter().position(|alert| gone(alert.lead)) {
            let Some((case, observed)) = self.lead(alert) else {
                self.forget_alert(alert);
                continue;
            };
            let revision = Revision { action: Action::Expired, reason: Some("rule_changed") };
            self.close(alert, (case, &observed), revision);
        }
    }

    /// The account is gone: its alerts are withdrawn.
    pub fn on_erased(&mut self) {
        for case in self.told() {
            self.tell_end_to_parent(case, self.watermark(case.rule));
        }
        while !self.row.firing.alerts.is_empty() {
            let Some((case, observed)) = self.lead(0) else {
                self.forget_alert(0);
                continue;
            };
            let revision = Revision { action: Action::Withdrawn, reason: Some("account_erased") };
            self.close(0, (case, &observed), revision);
        }
        self.task.open.remove(self.key);
    }

    /// Whether a rule has a condition that events alone make true, and that clear events end.
    #[must_use]
    pub fn remembers_clears(&self, rule: RuleIx) -> bool {
        let own = self.plan.rule(rule);
        own.conditions.iter().any(|condition| condition.detector.is_eventful())
            && own.clear.iter().any(|clear| matches!(clear, Clear::Event { .. }))
    }
}
