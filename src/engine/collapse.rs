//! Many alerts of one rule that have a parent in common become one alert of the parent (`rules.md` §9, `collapse_to`).
//!
//! A row tells its parent when the rule becomes true in it, as soon as the gates before *inhibited* let it pass, and when
//! it is over. The parent is the account, in the same task, or an entity across accounts, which hears of it in a roll-up
//! and answers with a broadcast.

use std::sync::Arc;

use crate::event::{Field, Timestamp, Value};
use crate::journal::broadcast::Broadcast;
use crate::journal::items::Witness;
use crate::rules::program::{Detector, RuleIx, SeriesIx};

use super::alert::{Action, Reason};
use super::firing::{Fate, Proof};
use super::forward::{Gift, Place};
use super::judge::Cause;
use super::lifecycle::Revision;
use super::matches::find;
use super::rows::key::{KeyParts, account_range};
use super::scene::{Case, Scene};
use super::series::hash_of_value;
use super::step::{Turn, account_key};
use super::store::RowKey;
use super::{Engine, StepError};

/// How long openings wait for a parent across accounts, ms of journal time.
const WAIT_MS: i64 = 30_000;

/// What a row tells the account's own row.
#[derive(Debug, Clone, Copy)]
pub struct Note {
    /// The parent's rule.
    parent: RuleIx,
    /// Hash of the row.
    row: u64,
    /// The time at which the rule became true there, or false.
    time: Timestamp,
    /// It is over.
    leaves: bool,
    /// The newest evidence.
    proof: Option<Proof>,
}

/// What the parent says of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// Nothing against it.
    Silent,
    /// It has to hear of it first, in the same step.
    Hears,
    /// It may open until this journal time.
    MayOpen(Timestamp),
}

impl Scene<'_> {
    /// Asks the parent of a rule about an activation, once it has heard of it. `joins`: it would open nothing.
    pub(super) fn ask_parent(&mut self, case: Case, joins: bool) -> Parent {
        let Some(parent) = self.plan.rule_plan(case.rule).parent else { return Parent::Silent };
        let Some(activation) = self.episode_mut(case).and_then(|episode| episode.activation.as_mut()) else {
            return Parent::Silent;
        };
        let was_told = std::mem::replace(&mut activation.told, true);
        let (at, until) = (activation.at, activation.begun.plus(WAIT_MS));
        if !was_told {
            self.tell_parent(case, parent, (at, false));
        }
        match self.plan.rule(parent).entity.account {
            true if !was_told => Parent::Hears,
            false if !joins && until > self.now() => Parent::MayOpen(until),
            _ => Parent::Silent,
        }
    }

    /// Tells the parent that an activation that it has heard of is over.
    pub(super) fn tell_end_to_parent(&mut self, case: Case, over: Timestamp) {
        let Some(parent) = self.plan.rule_plan(case.rule).parent else { return };
        let key = self.plan.rule(case.rule).key;
        let others = self.row.firing.rule(key).into_iter().flat_map(|own| own.episodes.iter().enumerate());
        let mut others = others.filter(|(place, _)| *place != case.episode);
        // The row counts once, however many episodes it has.
        if !others.any(|(_, episode)| episode.activation.is_some_and(|own| own.told)) {
            self.tell_parent(case, parent, (over, true));
        }
    }

    /// The cases of which a parent has heard.
    pub(super) fn told(&self) -> Vec<Case> {
        let rules = self.plan.rule_places().filter(|rule| self.plan.rule_plan(*rule).parent.is_some());
        let mut cases = Vec::new();
        for rule in rules {
            let state = self.row.firing.rule(self.plan.rule(rule).key);
            let episodes = state.into_iter().flat_map(|own| own.episodes.iter().enumerate());
            let told = episodes.filter(|(_, episode)| episode.activation.is_some_and(|own| own.told));
            cases.extend(told.map(|(episode, _)| Case { rule, episode }));
        }
        cases
    }

    fn tell_parent(&mut self, case: Case, parent: RuleIx, (time, leaves): (Timestamp, bool)) {
        let proof = self.episode(case).and_then(|episode| episode.evidence.last().copied());
        if self.plan.rule(parent).entity.account {
            let row = hash_of_value(&Value::text(self.entity.part.unwrap_or_default().to_owned()));
            self.ties.notes.push(Note { parent, row, time, leaves, proof });
            return;
        }
        let Some((series, _)) = crowd_of(self.plan.rule(parent).conditions.first().map(|own| &own.detector))
        else {
            return;
        };
        if !self.task.forwards.is_on() && self.settings.is_live() {
            return;
        }
        let (kind, part) = (self.plan.rule(parent).entity.kind(), self.entity.part.unwrap_or_default());
        let key = KeyParts { kind: &kind, account: None, part }.encode();
        let number = |field| match find(self.profile, field) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        };
        let known = (number(Field::Tier), number(Field::ArrMinor));
        let witness = proof.filter(|_| !leaves).and_then(|proof| self.witness_of(&proof));
        let series = self.plan.program.series[usize::from(series.0)].key;
        let account = self.entity.account.unwrap_or_default();
        self.task.forwards.pending.at(&key, (&kind, part), |rollup| {
            let member = rollup.member(account, || known);
            let gift = Gift { series, member, leaves, time, count: 1, sum: 0, is_newest: false, base: 0 };
            rollup.give(&gift, |time| Place { cell: time.0, quarter: 0 });
            if let Some(witness) = witness {
                rollup.witness(series, witness);
            }
        });
    }

    fn witness_of(&self, proof: &Proof) -> Option<Witness> {
        let source = self.task.sources.get(usize::from(proof.source))?;
        Some(Witness {
            source: source.source.clone(),
            offset: proof.offset,
            time: proof.time,
            label: self.task.label_text(proof.label).into(),
            weight: proof.weight,
        })
    }

    /// Takes in what a row of the account tells; the rules whose deadlines may have changed.
    fn hear_of_row(&mut self, note: &Note) -> Vec<RuleIx> {
        let rule = note.parent;
        let detector = self.plan.rule(rule).conditions.first().map(|own| &own.detector);
        let Some((series, _)) = crowd_of(detector) else { return Vec::new() };
        self.prepare_rule(rule);
        self.count_row(series, (note.row, note.time, note.leaves));
        let case = Case { rule, episode: 0 };
        if let (Some(proof), false) = (note.proof, note.leaves)
            && let Some(episode) = self.episode_mut(case)
        {
            episode.prove(proof);
        }
        self.look_at(case, Cause::Moved(&[series]));
        vec![rule]
    }

    /// Counts a row in which a rule has become true or is over.
    pub(super) fn count_row(&mut self, series: SeriesIx, (row, time, leaves): (u64, Timestamp, bool)) {
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        let judge = plan.judges[usize::from(series.0)].first();
        let detector = judge.and_then(|rule| plan.rule(*rule).conditions.first()).map(|own| &own.detector);
        let Some((_, within_ms)) = crowd_of(detector) else { return };
        let watermark = judge.map_or(Timestamp::MIN, |rule| self.watermark(*rule));
        let Some(crowd) = self.row.series_mut(own).crowd_mut() else { return };
        if leaves {
            crowd.end(row, time);
        } else {
            crowd.begin(row, time);
        }
        crowd.forget(watermark, within_ms, !own.entity.account);
    }

    /// The alert of the parent stands in the place of this row's.
    fn give_way(&mut self, rule: RuleIx) {
        let key = self.plan.rule(rule).key;
        let episodes = self.row.firing.rule(key).map_or(0, |own| own.episodes.len());
        for case in (0..episodes).map(|episode| Case { rule, episode }) {
            if self.episode(case).is_some_and(|episode| episode.member) {
                let observed = self.observe(case);
                let revision = Revision { action: Action::Withdrawn, reason: Some("collapsed") };
                self.resign(case, &observed, revision);
            }
        }
    }

    /// Runs the gates of what has waited for the account to hear of it.
    fn pass_heard(&mut self) -> Vec<RuleIx> {
        let cases = self.told();
        for case in &cases {
            let fate = self.episode(*case).and_then(|episode| episode.activation).map(|own| own.fate);
            if matches!(fate, Some(Fate::New | Fate::Withheld(Reason::Inhibited))) {
                let observed = self.observe(*case);
                self.pass_gates(*case, &observed);
            }
        }
        cases.into_iter().map(|case| case.rule).collect()
    }
}

/// The series of a parent's only condition, and its time, ms.
fn crowd_of(detector: Option<&Detector>) -> Option<(SeriesIx, i64)> {
    match detector {
        Some(Detector::Crowd { series, within_ms, .. }) => Some((*series, *within_ms)),
        _ => None,
    }
}

impl Engine {
    /// An account's own row hears what one of its rows tells; then the row goes on.
    pub(super) fn tell_account(
        &mut self,
        account: &str,
        (row, notes): (&RowKey, &[Note]),
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        for note in notes {
            self.with_row(&account_key(account), turn, |scene| scene.hear_of_row(note))?;
        }
        if notes.iter().any(|note| !note.leaves) {
            self.with_row(row, turn, |scene| scene.pass_heard())?;
        }
        Ok(())
    }

    /// The alert of an account has opened in the place of those of its rows.
    pub(super) fn collapse_account(
        &mut self,
        account: &str,
        parent: RuleIx,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let Some(child) = self.plan.rule_plan(parent).child else { return Ok(()) };
        let Some(kind) = self.kind_of_rows(child) else { return Ok(()) };
        let rows = self.task.open.range(account_range(&kind, account)).cloned().collect();
        self.collapse(child, rows, turn)
    }

    /// An alert across accounts has opened, which may stand in the place of those of rows here.
    pub(super) fn collapse_across(&mut self, told: &Broadcast, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let lead = self.plan.rule_of_key(told.rule);
        let Some(child) = lead.and_then(|lead| self.plan.rule_plan(lead).child) else { return Ok(()) };
        let Some(kind) = self.kind_of_rows(child) else { return Ok(()) };
        let mut rows = Vec::new();
        for key in &self.task.open {
            let parts = KeyParts::decode(key)?;
            if parts.account.is_some() && *parts.kind == *kind && *parts.part == *told.part {
                rows.push(key.clone());
            }
        }
        self.collapse(child, rows, turn)
    }

    fn kind_of_rows(&self, rule: RuleIx) -> Option<Box<str>> {
        self.plan.rule(rule).entity.part.as_ref().map(|part| part.name.clone())
    }

    /// Withdraws the alerts of a rule in these rows, in the order of their opening.
    fn collapse(&mut self, rule: RuleIx, rows: Vec<RowKey>, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        let family = plan.rule_plan(rule).family;
        let mut opened: Vec<(Timestamp, RowKey)> = Vec::new();
        for key in rows {
            let row = self.rows.get_mut(&key, turn.store)?;
            let alerts = row.into_iter().flat_map(|row| &row.firing.alerts);
            let first = alerts.filter(|alert| alert.family == family).map(|alert| alert.detected).min();
            opened.extend(first.map(|first| (first, key)));
        }
        opened.sort();
        for (_, key) in opened {
            self.with_row(&key, turn, |scene| {
                scene.give_way(rule);
                vec![rule]
            })?;
        }
        Ok(())
    }
}
