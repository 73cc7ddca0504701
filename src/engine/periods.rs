//! Levels that tell each rung once a period (`rules.md` §7, `once_per`).

use crate::event::Timestamp;
use crate::rules::program::{Condition, Detector};

use super::alert::{Observed, Reason};
use super::firing::{Activation, Fate, Told};
use super::scene::{Case, Scene};

impl Scene<'_> {
    /// The period in which a level is that tells each rung once.
    fn period(&self, condition: &Condition) -> Option<u64> {
        let Detector::Level { series, once: true, .. } = &condition.detector else { return None };
        self.row.series(self.plan.program.series[usize::from(series.0)].key)?.period()
    }

    /// A new period ends the alert and begins an episode: what was told counts no more.
    pub fn begin_period(&mut self, case: Case) {
        let rule = self.rule(case);
        let Some(episode) = self.episode(case) else { return };
        let is_new = rule.conditions.iter().zip(&episode.conditions).any(|(condition, state)| {
            state.told.is_some_and(|told| self.period(condition) != Some(told.period))
        });
        if !is_new {
            return;
        }
        let observed = self.observe(case);
        if self.episode(case).is_some_and(|episode| episode.member) {
            self.clear(case, &observed);
        }
        self.deactivate(case, &observed, self.watermark(case.rule));
        let Some(episode) = self.episode_mut(case) else { return };
        episode.disarmed = false;
        for state in &mut episode.conditions {
            (state.since, state.held, state.told) = (None, false, None);
        }
    }

    /// Whether all that holds has been told in this period.
    pub fn is_told(&self, case: Case, observed: &[Observed]) -> bool {
        let rule = self.rule(case);
        let Some(episode) = self.episode(case) else { return false };
        let mut holding = rule.conditions.iter().zip(&episode.conditions).zip(observed).filter(|it| it.1.met);
        let once = |condition: &Condition| matches!(condition.detector, Detector::Level { once: true, .. });
        rule.conditions.iter().any(once)
            && holding.all(|((condition, state), seen)| {
                once(condition) && state.told.is_some_and(|told| seen.rung <= told.rung)
            })
    }

    /// The time of an activation: what has risen over all that was told begins anew.
    pub fn renewed(&mut self, case: Case, activation: Activation, observed: &[Observed]) -> Timestamp {
        let was_told = activation.fate == Fate::Withheld(Reason::Cooldown) && activation.until.is_none();
        if !was_told || self.is_told(case, observed) {
            return activation.at;
        }
        let at = self.newest_times(case).into_iter().flatten().max().unwrap_or(activation.at);
        if let Some(own) = self.episode_mut(case).and_then(|episode| episode.activation.as_mut()) {
            own.at = at;
        }
        at
    }

    /// Remembers what a member of an open alert has told.
    pub fn note_told(&mut self, case: Case, observed: &[Observed]) {
        let rule = self.rule(case);
        if !self.episode(case).is_some_and(|episode| episode.member) {
            return;
        }
        for (place, (condition, seen)) in rule.conditions.iter().zip(observed).enumerate() {
            let Some(period) = self.period(condition).filter(|_| seen.met) else { continue };
            if let Some(state) = self.episode_mut(case).and_then(|it| it.conditions.get_mut(place)) {
                let rung = state.told.map_or(0, |told| told.rung).max(seen.rung);
                state.told = Some(Told { period, rung });
            }
        }
    }
}
