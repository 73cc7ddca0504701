//! How rows across accounts take in what tasks tell: roll-ups as samples of their series, judged once a roll-up, and the
//! watermarks of all tasks.

use std::sync::Arc;

use crate::event::{Kind, SourcePartition, Timestamp, Value};
use crate::journal::Frame;
use crate::journal::coverage::Admission;
use crate::journal::items::{Contribution, Item, Rollup, Share, Witness};
use crate::rules::program::{Measure, RuleIx, SeriesIx, Window};

use super::across::judges_of;
use super::firing::Proof;
use super::judge::Cause;
use super::plan::measured_path;
use super::rows::key::KeyParts;
use super::scene::{Case, Scene};
use super::series::{Owned, Sample, Sampled, Taken, hash_of_value};
use super::step::Turn;
use super::{Engine, StepError};

impl Engine {
    /// Takes in what a task tells, if the frame is one of a task; whether it is.
    pub(super) fn take_items(&mut self, frame: &Frame<'_>, turn: &mut Turn<'_>) -> Result<bool, StepError> {
        let Some(items) = frame.items() else { return Ok(false) };
        let [coverage] = frame.sources.as_slice() else {
            return Err(crate::event::bytes::FormatError::Malformed("sources of a task's frame").into());
        };
        let source_partition = || coverage.source.clone();
        match self.task.admit(coverage) {
            Admission::From(first) if first > coverage.from => {
                let (from, known) = (coverage.from, first - 1);
                return Err(StepError::Overlap { source_partition: source_partition(), from, known });
            }
            Admission::From(_) => {}
            Admission::Duplicate => {
                turn.effects.tally.journal_duplicates += 1;
                return Ok(true);
            }
            Admission::Gap { expected, found } => {
                return Err(StepError::Gap { source_partition: source_partition(), expected, found });
            }
            Admission::Unknown => {
                return Err(StepError::Unannounced { source_partition: source_partition() });
            }
        }
        let skipped = self.task.quarantined.contains(&turn.offset);
        for item in items? {
            match item {
                Item::Rollup(rollup) if !skipped => self.take_rollup(&rollup, turn)?,
                Item::Broadcast(told) if !skipped => self.take_broadcast(&told, turn)?,
                Item::Answer(answer) if !skipped => self.take_answer(&answer, turn)?,
                Item::Claim(claim) if !skipped => self.take_claim(&claim, turn)?,
                Item::Passed(passed) if !skipped => self.take_passed(&passed, turn)?,
                Item::Rollup(_) | Item::Broadcast(_) | Item::Answer(_) | Item::Claim(_) | Item::Passed(_) => {
                }
                Item::TaskTime(told) => self.task.forwards.hear(coverage.source.partition, &told),
            }
        }
        Ok(true)
    }

    /// Takes a roll-up into its row.
    pub(super) fn take_rollup(&mut self, rollup: &Rollup, turn: &mut Turn<'_>) -> Result<(), StepError> {
        let plan = Arc::clone(&self.plan);
        let is_of = |key: u32| plan.program.series.iter().position(|own| own.key == key);
        let places = rollup.series.iter().map(|own| {
            let place = is_of(own.series).and_then(|place| u16::try_from(place).ok());
            place.map(|place| (SeriesIx(place), own))
        });
        // What a rule no longer measures, or does not measure yet, is nobody's.
        let known: Vec<(SeriesIx, &Contribution)> = places.flatten().collect();
        if known.is_empty() && rollup.attached.is_empty() {
            return Ok(());
        }
        let key = KeyParts { kind: &rollup.kind, account: None, part: &rollup.part }.encode();
        self.with_row(&key, turn, |scene| scene.receive_rollup(rollup, &known))
    }
}

impl Scene<'_> {
    /// Takes a roll-up in, and judges what it touches; the rules whose deadlines may have changed.
    fn receive_rollup(&mut self, rollup: &Rollup, known: &[(SeriesIx, &Contribution)]) -> Vec<RuleIx> {
        let series: Vec<SeriesIx> = known.iter().map(|(series, _)| *series).collect();
        let rules = judges_of(self.plan, &series);
        rules.iter().for_each(|rule| self.prepare_rule(*rule));
        let times = known.iter().flat_map(|(_, own)| &own.shares).filter(|share| !share.leaves);
        if let Some(first) = times.map(|share| share.newest).min() {
            for rule in &rules {
                self.raise_by_silence(Case { rule: *rule, episode: 0 }, first);
            }
            self.row.note_event(first);
        }
        let mut touched: Vec<SeriesIx> = Vec::new();
        let mut added: Vec<(SeriesIx, Timestamp)> = Vec::new();
        for (series, own) in known {
            let before = added.len();
            // First what comes: a ticket that moved here and on within a second leaves what it has brought.
            let (left, came): (Vec<&Share>, Vec<&Share>) = own.shares.iter().partition(|share| share.leaves);
            for share in came.into_iter().chain(left) {
                self.take_share(*series, share, rollup, &mut added);
            }
            if added.len() > before || own.shares.iter().any(|share| share.leaves) {
                touched.push(*series);
                self.prove_all(*series, own);
            }
        }
        self.collect_attached(rollup);
        for rule in &rules {
            let case = Case { rule: *rule, episode: 0 };
            if added.iter().any(|(series, time)| self.is_disproved(case, *time, &[*series])) {
                self.disprove(case);
            }
            if judges_of(self.plan, &touched).contains(rule) {
                self.look_at(case, Cause::Rollup(&touched));
            }
        }
        rules
    }

    /// Takes the share of one account and cell into a series, or out of it.
    fn take_share(
        &mut self,
        series: SeriesIx,
        share: &Share,
        rollup: &Rollup,
        added: &mut Vec<(SeriesIx, Timestamp)>,
    ) {
        let (day, floor) = (self.local_day(series, share.newest), self.floor(series));
        let plan = self.plan;
        let own = &plan.program.series[usize::from(series.0)];
        let account = usize::try_from(share.member).ok().and_then(|place| rollup.members.get(place));
        let account = account.map_or("", |member| &*member.account);
        if let Measure::Crowd(_) = own.measure {
            let row = hash_of_value(&Value::text(account.to_owned()));
            self.count_row(series, (row, share.newest, share.leaves));
            if !share.leaves {
                added.push((series, share.newest));
            }
            return;
        }
        let weight = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let sample = |weight, value| Sample { time: share.newest, weight, value, midnight: None, lost_ms: 0 };
        let base = (share.base > 0).then(|| sample(weight(share.base), None));
        let counted = (share.count > 0)
            .then(|| match &own.measure {
                Measure::Distinct(_) | Measure::SumDistinct { .. } if account.is_empty() => None,
                Measure::Distinct(_) => {
                    let hash = Sampled::Hash(hash_of_value(&Value::text(account.to_owned())));
                    Some(sample(weight(share.count), Some(hash)))
                }
                Measure::SumDistinct { .. } => {
                    let keyed = Sampled::Keyed(share.sum, hash_of_value(&Value::text(account.to_owned())));
                    Some(sample(weight(share.count), Some(keyed)))
                }
                Measure::Sum(_) => Some(sample(weight(share.count), Some(Sampled::Amount(share.sum)))),
                Measure::ShareOf(_) => {
                    let amount = i64::try_from(share.count).unwrap_or(i64::MAX);
                    Some(sample(weight(share.count), Some(Sampled::Amount(amount))))
                }
                measure => measured_path(measure).is_none().then(|| sample(weight(share.count), None)),
            })
            .flatten();
        self.fold_hours(series, floor.0);
        let owned = Owned {
            account: hash_of_value(&Value::text(account.to_owned())),
            weight: weight(share.count),
            may_leave: plan.moves[usize::from(own.filter.0)],
        };
        let is_owned = own.extras.accounts && counted.is_some() && !account.is_empty();
        for sample in base.into_iter().chain(counted) {
            let is_owned = is_owned && Some(sample) == counted;
            if share.leaves {
                if self.row.series(own.key).is_some() {
                    let state = self.row.series_mut(own);
                    state.remove(own, &sample, day);
                    if is_owned {
                        state.remove_account(own, (sample.time, day), owned);
                    }
                }
                continue;
            }
            let state = self.row.series_mut(own);
            let taken = state.add(own, &sample, day, floor);
            if taken == Taken::Applied && is_owned {
                state.add_account(own, (sample.time, day), owned);
            }
            if !own.extras.accounts {
                state.forget_accounts();
            }
            // An absence keeps its last match only; an older one may still have been in the silence that it told of.
            if taken == Taken::Applied || own.window == Window::Newest {
                added.push((series, share.newest));
            }
        }
    }

    /// Takes the evidence of a series to all rules that judge it.
    fn prove_all(&mut self, series: SeriesIx, own: &Contribution) {
        let kind = self.plan.filter(self.plan.program.series[usize::from(series.0)].filter).kind;
        let shown: Vec<Proof> = own.witnesses.iter().map(|witness| self.proof_of(witness, kind)).collect();
        let gone: Vec<Proof> = own.recanted.iter().map(|witness| self.proof_of(witness, kind)).collect();
        let weights: u64 = shown.iter().map(|proof| u64::from(proof.weight)).sum();
        let others = u32::try_from(own.matches.saturating_sub(weights)).unwrap_or(u32::MAX);
        let newest = own.shares.iter().filter(|share| !share.leaves).map(|share| share.newest).max();
        for rule in &self.plan.judges[usize::from(series.0)] {
            let case = Case { rule: *rule, episode: 0 };
            self.count_late(case, own);
            let Some(episode) = self.episode_mut(case) else { continue };
            gone.iter().for_each(|proof| episode.disprove(proof));
            shown.iter().for_each(|proof| episode.prove(*proof));
            episode.matches = episode.matches.saturating_add(others);
            episode.last_evidence = episode.last_evidence.max(newest);
        }
    }

    /// Counts what is late for an open alert.
    fn count_late(&mut self, case: Case, own: &Contribution) {
        let watermark = self.watermark(case.rule);
        let late = own.shares.iter().filter(|share| !share.leaves && share.newest < watermark);
        let late: u64 = late.map(|share| share.count.max(share.base)).sum();
        if late > 0
            && let Some(alert) = self.alert_of(case)
            && let Some(open) = self.row.firing.alerts.get_mut(alert)
        {
            open.late_events = open.late_events.saturating_add(u32::try_from(late).unwrap_or(u32::MAX));
        }
    }

    fn proof_of(&mut self, witness: &Witness, kind: Kind) -> Proof {
        let hash = xxhash_rust::xxh3::xxh3_64(witness.label.as_bytes());
        let name = witness.label.split(' ').next().unwrap_or_default();
        let label = self.task.label(hash, || witness.label.to_string(), name);
        let source: &SourcePartition = &witness.source;
        Proof {
            time: witness.time,
            offset: witness.offset,
            source: self.task.place_of_evidence(source, kind),
            label,
            weight: witness.weight,
        }
    }

    fn collect_attached(&mut self, rollup: &Rollup) {
        for own in &rollup.attached {
            let attaches = self.plan.program.rules.iter().flat_map(|rule| &rule.alert.attach);
            let Some(attach) = attaches.into_iter().find(|attach| attach.key == own.key) else { continue };
            self.row.firing.attach(own.key, attach.max, own.time, own.value.clone());
        }
    }
}
