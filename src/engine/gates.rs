//! The gates that an activation passes before it becomes an alert, and the decisions they leave (`contracts.md` §5.1, §6).

use crate::event::{Field, Timestamp, Value};
use crate::rules::program::{Match, Mode, Path};

use super::alert::{DecisionInput, Observed, Reason, Verdict, decision};
use super::collapse::Parent;
use super::firing::Fate;
use super::groups::failing_guard;
use super::matches::{Subject, arr_of, find, holds};
use super::scene::{Case, Scene};

/// What `scope` can name: the account and the row's user.
pub struct Owners<'a> {
    pub account: Option<&'a str>,
    pub profile: Option<&'a [(Field, Value<'static>)]>,
    pub user: Option<&'a [(Field, Value<'static>)]>,
}

impl Subject for Owners<'_> {
    fn value<'s>(&'s self, path: &Path) -> Option<std::borrow::Cow<'s, Value<'s>>> {
        match path {
            Path::Account(Field::AccountId) => {
                self.account.map(|account| std::borrow::Cow::Owned(Value::text(account)))
            }
            Path::Account(field) => find(self.profile, *field).map(std::borrow::Cow::Borrowed),
            Path::User(field) => find(self.user, *field).map(std::borrow::Cow::Borrowed),
            Path::AccountArr => arr_of(self.profile).map(std::borrow::Cow::Owned),
            _ => None,
        }
    }
}

/// What the gates say.
enum Gate {
    /// All let it pass.
    Passed,
    /// The first that does not, and when it may lift.
    Held(Reason, Option<Timestamp>),
    /// Somebody has to hear of it first.
    Waits,
}

impl Scene<'_> {
    /// Runs the gates of an activation that is not decided yet.
    pub fn pass_gates(&mut self, case: Case, observed: &[Observed]) {
        let Some(activation) = self.episode(case).and_then(|episode| episode.activation) else { return };
        let before = match activation.fate {
            Fate::New => None,
            Fate::Withheld(reason) => Some(reason),
            Fate::Opened | Fate::Merged | Fate::Suppressed => return,
        };
        let alert = self.alert_of(case);
        let at = self.renewed(case, activation, observed);
        let hit = match self.first_gate(case, observed, at, alert) {
            Gate::Waits => return,
            Gate::Passed => None,
            Gate::Held(reason, until) => Some((reason, until)),
        };
        match (hit, alert) {
            (Some((reason, until)), _) if lifts(reason) => {
                let again = (reason == Reason::Inhibited && until.is_none()).then(|| self.hold()).flatten();
                self.set_fate(case, Fate::Withheld(reason), until.or(again));
                if before != Some(reason) {
                    self.decide(case, observed, (Verdict::Withheld, Some(reason)), until);
                }
            }
            (Some((reason, _)), _) => {
                self.set_fate(case, Fate::Suppressed, None);
                self.suppress(case, observed, reason);
            }
            (None, Some(alert)) => {
                self.tally(case.rule).activations += 1;
                self.tally(case.rule).merged += 1;
                self.join(case, alert, observed);
                self.decide(case, observed, (Verdict::Merged, Some(Reason::Family)), None);
            }
            (None, None) => {
                self.tally(case.rule).activations += 1;
                self.open(case, observed);
                self.decide(case, observed, (Verdict::Opened, None), None);
            }
        }
    }

    /// The first gate that holds an activation, and when it may lift.
    fn first_gate(&mut self, case: Case, observed: &[Observed], at: Timestamp, alert: Option<usize>) -> Gate {
        let (rule, now) = (self.rule(case), self.now());
        if !self.in_scope(&rule.scope) {
            return Gate::Held(Reason::OutOfScope, None);
        }
        if rule.mode == Mode::Shadow {
            return Gate::Held(Reason::Shadow, None);
        }
        if let Some(reason) = failing_guard(rule, observed) {
            return Gate::Held(reason, None);
        }
        if alert.is_none() && self.is_told(case, observed) {
            return Gate::Held(Reason::Cooldown, None);
        }
        let expires = rule.expires_after_ms.filter(|_| rule.collapses.is_none());
        if expires.is_some_and(|after| at.plus(after) <= now) {
            return Gate::Held(Reason::ExpiredBeforeEmit, None);
        }
        match self.ask_parent(case, alert.is_some()) {
            Parent::Hears => return Gate::Waits,
            _ if self.is_inhibited(case) => return Gate::Held(Reason::Inhibited, None),
            Parent::MayOpen(until) => return Gate::Held(Reason::Inhibited, Some(until)),
            Parent::Silent => {}
        }
        if self.awaits_affected(case) {
            return Gate::Waits;
        }
        if alert.is_some() {
            return Gate::Passed;
        }
        let opened = self.episode(case).and_then(|episode| episode.opened);
        match opened.map(|opened| opened.plus(rule.policy.cooldown_ms)) {
            Some(until) if until > now => Gate::Held(Reason::Cooldown, Some(until)),
            _ if rule.collapses.is_some() => Gate::Passed,
            _ => self.courtesy(case).map_or(Gate::Passed, |(reason, until)| Gate::Held(reason, until)),
        }
    }

    /// Whether the row is one that the rule's scope names.
    #[must_use]
    pub fn in_scope(&self, scope: &Match) -> bool {
        scope.0.is_empty()
            || holds(scope, &Owners { account: self.entity.account, profile: self.profile, user: self.user })
    }

    fn set_fate(&mut self, case: Case, fate: Fate, until: Option<Timestamp>) {
        if let Some(activation) = self.episode_mut(case).and_then(|episode| episode.activation.as_mut()) {
            activation.fate = fate;
            activation.until = until;
        }
    }

    /// `when` is false at a time: the activation is over, and what was withheld stays unsaid.
    pub fn deactivate(&mut self, case: Case, observed: &[Observed], time: Timestamp) {
        let Some(activation) = self.episode_mut(case).and_then(|episode| episode.activation.take()) else {
            return;
        };
        if activation.told {
            self.tell_end_to_parent(case, activation.at.max(time));
        }
        if let Fate::Withheld(reason) = activation.fate {
            self.suppress(case, observed, reason);
        }
    }

    /// The end of an activation that never became an alert.
    fn suppress(&mut self, case: Case, observed: &[Observed], reason: Reason) {
        self.tally(case.rule).activations += 1;
        if reason != Reason::Shadow {
            let suppressed = &mut self.tally(case.rule).suppressed;
            suppressed.resize(Reason::ALL.len(), 0);
            suppressed[reason as usize] += 1;
        }
        self.decide(case, observed, (Verdict::Suppressed, Some(reason)), None);
    }

    /// Leaves a decision.
    fn decide(
        &mut self,
        case: Case,
        observed: &[Observed],
        (verdict, reason): (Verdict, Option<Reason>),
        until: Option<Timestamp>,
    ) {
        let rule = self.rule(case);
        let Some(episode) = self.episode(case) else { return };
        let alert_id = self.alert_of(case).and_then(|alert| self.row.firing.alerts.get(alert));
        let index = self.effects.decisions.len() - self.first_decision;
        let built = decision(&DecisionInput {
            at: self.now(),
            program: &self.plan.program,
            rule,
            entity: self.entity,
            dedup: &episode.dedup,
            verdict,
            reason,
            last: verdict != Verdict::Withheld,
            until,
            alert_id: alert_id
                .filter(|_| matches!(verdict, Verdict::Opened | Verdict::Merged))
                .map(|alert| &*alert.alert_id),
            observed,
            affected: None,
            experiment: match (verdict, reason) {
                (Verdict::Opened, _) | (_, Some(Reason::Holdout)) => self.arm(rule),
                _ => None,
            },
            journal_partition: self.settings.partition,
            journal_offset: self.offset,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        });
        self.effects.decisions.push(built);
    }
}

/// Whether what a gate holds may still open.
const fn lifts(reason: Reason) -> bool {
    !matches!(reason, Reason::OutOfScope | Reason::Shadow | Reason::ExpiredBeforeEmit | Reason::Holdout)
}
