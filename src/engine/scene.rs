//! One row under judgement: what a rule can see there, and where its effects go.

use std::sync::Arc;

use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Match, Rule, RuleIx, Severity, Variable};

use super::Settings;
use super::alert::{EntityRef, Observed, Scope};
use super::calendar::Calendar;
use super::clocks::Clocks;
use super::conduct::Ties;
use super::dealings::Dealings;
use super::detect::{Judged, Prompt, View};
use super::effects::{Effects, RuleTally};
use super::firing::Episode;
use super::matches::{number_holds, test_holds};
use super::plan::Plan;
use super::rows::row::Row;
use super::store::RowKey;
use super::task::Task;

/// A row under judgement.
pub struct Scene<'a> {
    /// The rules.
    pub plan: &'a Plan,
    /// The task's identity.
    pub settings: &'a Settings,
    /// What the task knows.
    pub task: &'a mut Task,
    /// Zones.
    pub calendar: &'a mut Calendar,
    /// Where effects go.
    pub effects: &'a mut Effects,
    /// The row's key.
    pub key: &'a RowKey,
    /// The row.
    pub row: &'a mut Row,
    /// What it is of.
    pub entity: EntityRef<'a>,
    /// The newest profile of the account.
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    /// The row's user.
    pub user: Option<&'a [(Field, Value<'static>)]>,
    /// What the account's rows must know of each other.
    pub dealings: Option<Arc<Dealings>>,
    /// What became of it.
    pub ties: Ties,
    /// The journal record.
    pub offset: i64,
    /// How many decisions there were before this record.
    pub first_decision: usize,
    /// Where the watermark of each kind stands: up to here timers have run.
    pub watermarks: Clocks,
}

/// Where a rule's verdict comes from: the rule, and the place of its episode in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The rule.
    pub rule: RuleIx,
    /// The episode.
    pub episode: usize,
}

impl<'a> Scene<'a> {
    /// The rule of a case.
    #[must_use]
    pub fn rule(&self, case: Case) -> &'a Rule {
        self.plan.rule(case.rule)
    }

    /// The watermark that a rule lives by.
    #[must_use]
    pub fn watermark(&self, rule: RuleIx) -> Timestamp {
        self.watermarks.lowest(self.plan.rule_plan(rule).kinds)
    }

    /// Journal time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.task.journal_time
    }

    /// The episode of a case.
    #[must_use]
    pub fn episode(&self, case: Case) -> Option<&Episode> {
        let key = self.plan.rule(case.rule).key;
        self.row.firing.rule(key)?.episodes.get(case.episode)
    }

    /// The episode of a case, to change.
    pub fn episode_mut(&mut self, case: Case) -> Option<&mut Episode> {
        let key = self.plan.rule(case.rule).key;
        self.row.firing.rule_mut(key)?.episodes.get_mut(case.episode)
    }

    /// The counters of a rule.
    pub fn tally(&mut self, rule: RuleIx) -> &mut RuleTally {
        let rules = &mut self.effects.tally.rules;
        let place = usize::from(rule.0);
        if rules.len() <= place {
            rules.resize_with(self.plan.program.rules.len().max(place + 1), RuleTally::default);
        }
        &mut rules[place]
    }

    /// Judges all conditions of a case; `clock` is where the watermark stands for it. Whether all that wait for a mark had
    /// theirs comes with it.
    #[must_use]
    pub fn judge(&mut self, case: Case, clock: Timestamp, prompt: Prompt<'_>) -> (Vec<Judged>, bool) {
        let rule = self.rule(case);
        self.look(case, clock, |view, episode| {
            let judged =
                (0..rule.conditions.len()).map(|place| view.verdict(rule, place, episode, prompt)).collect();
            (judged, view.in_turn)
        })
        .unwrap_or_default()
    }

    /// Opens the row for detectors.
    pub fn look<T>(
        &mut self,
        case: Case,
        clock: Timestamp,
        see: impl FnOnce(&mut View<'_>, &Episode) -> T,
    ) -> Option<T> {
        let key = self.plan.rule(case.rule).key;
        let row: &Row = self.row;
        let episode = row.firing.rule(key)?.episodes.get(case.episode)?;
        let mut view = View {
            plan: self.plan,
            row,
            profile: self.profile,
            part: self.entity.part,
            user: self.user,
            ages: &self.task.series,
            volumes: &self.task.volumes,
            calendar: self.calendar,
            watermark: clock,
            on_mark: false,
            in_turn: true,
            spread_ms: self.settings.spread_ms(self.key),
        };
        Some(see(&mut view, episode))
    }

    /// What the rule's texts and tests can name.
    pub fn with_scope<T>(
        &self,
        case: Case,
        (observed, severity): (&[Observed], Severity),
        see: impl FnOnce(&Scope<'_>) -> T,
    ) -> Option<T> {
        let rule = self.plan.rule(case.rule);
        let episode = self.episode(case)?;
        let attach: Vec<Vec<Value<'static>>> =
            rule.alert.attach.iter().map(|attach| self.row.firing.attached(attach.key)).collect();
        Some(see(&Scope {
            program: &self.plan.program,
            rule,
            entity: self.entity,
            profile: self.profile,
            user: self.user,
            observed,
            captured: &episode.captured,
            attach: &attach,
            severity,
        }))
    }
}

/// Whether a match on variables holds.
#[must_use]
pub fn variables_hold(matches: &Match<Variable>, scope: &Scope<'_>) -> bool {
    matches.0.is_empty()
        || matches.0.iter().any(|group| {
            group.iter().all(|(variable, test)| match scope.value(variable) {
                Some(super::alert::Datum::Number(number, _)) => number_holds(test, number),
                Some(super::alert::Datum::Value(value, _)) => test_holds(test, Some(value.as_ref())),
                None => test_holds(test, None),
            })
        })
}
