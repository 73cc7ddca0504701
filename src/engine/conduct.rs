//! What policies say of a case: who is kept out, when customers may be spoken to, what holds what back, and what happens
//! when nobody reacts (`rules.md` §11; `contracts.md` §5.1, §7).

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{Field, Timestamp, Value};
use crate::journal::broadcast::Broadcast;
use crate::rules::program::{Due, Path, Rule, RuleIx, Within};

use super::alert::{Action, Reason, Terms};
use super::business::Business;
use super::collapse::Note;
use super::dealings::{Dealings, Inhibitor};
use super::detect::zone_of;
use super::firing::{Fate, OpenAlert};
use super::gates::Owners;
use super::health::Scored;
use super::ingest::hash_of;
use super::lifecycle::Revision;
use super::matches::{Subject, find, holds};
use super::scene::{Case, Scene, variables_hold};

/// What became of an account's dealings while one of its rows was worked on.
#[derive(Debug, Default)]
pub struct Ties {
    /// They changed.
    pub changed: bool,
    /// An alert that held others back is closed.
    pub released: bool,
    /// What the account's own row must hear.
    pub notes: Vec<Note>,
    /// The rule whose alert has opened in the place of those of the account's rows.
    pub collapses: Option<RuleIx>,
    /// A new score of the account's health.
    pub scored: Option<Scored>,
}

impl Ties {
    /// Whether nothing became of them.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        let Self { changed, released, notes, collapses, scored } = self;
        !*changed && !*released && notes.is_empty() && collapses.is_none() && scored.is_none()
    }
}

/// Hash by which accounts fall into arms: below 10,000. The deployment's id is the salt.
fn lot(salt: &str, group: &str, account: &str) -> u64 {
    let input = [salt.as_bytes(), &[0], group.as_bytes(), &[0], account.as_bytes()].concat();
    xxhash_rust::xxh3::xxh3_64(&input) % 10_000
}

/// What holding back compares: the entity's part, what was kept of the firing event, account and user.
pub(super) struct Standing<'s> {
    part: Option<(&'s Path, &'s str)>,
    captured: &'s [(Path, Value<'static>)],
    owners: Owners<'s>,
}

impl Subject for Standing<'_> {
    fn value<'s>(&'s self, path: &Path) -> Option<Cow<'s, Value<'s>>> {
        match (path, self.part) {
            (Path::Field(_) | Path::Property(_), Some((own, part))) if own == path => {
                Some(Cow::Owned(Value::text(part)))
            }
            (Path::Field(_) | Path::Property(_), _) => {
                self.captured.iter().find(|(own, _)| own == path).map(|(_, value)| Cow::Borrowed(value))
            }
            _ => self.owners.value(path),
        }
    }
}

impl<'a> Scene<'a> {
    /// The account's dealings, to change.
    pub(super) fn dealings_mut(&mut self) -> &mut Dealings {
        self.ties.changed = true;
        Arc::make_mut(self.dealings.get_or_insert_default())
    }

    /// The experiment that a rule is part of, and whether the account is in its control arm.
    #[must_use]
    pub fn arm(&self, rule: &'a Rule) -> Option<(&'a str, bool)> {
        let (holdout, account) = (rule.policy.holdout.as_ref()?, self.entity.account?);
        let control = match find(self.profile, Field::HoldoutOverride).and_then(Value::as_text) {
            Some("control") => true,
            Some("treatment") => false,
            _ => lot(&self.settings.application_id, &holdout.group, account) < u64::from(holdout.per_myriad),
        };
        Some((&holdout.group, control))
    }

    /// Whether a rule's alert is for customers, after these steps of its escalation.
    fn is_for_customers(&self, rule: &Rule, taken: u8) -> bool {
        let forbidden = find(self.profile, Field::DoNotContact) == Some(&Value::Bool(true));
        rule.alert.is_for_customers(taken) && !forbidden
    }

    /// When an account's customers may be contacted under a rule, at or after `now`; `None`: not in years.
    fn contact_from(&mut self, rule: &'a Rule, now: Timestamp) -> Option<Timestamp> {
        if rule.policy.contact.any_hour {
            return Some(now);
        }
        let zone = zone_of(self.calendar, &rule.zone, self.profile, self.user);
        let hours = Business::of(&rule.policy.contact, self.profile, zone).for_contact(self.profile);
        hours.next_open(self.calendar, now)
    }

    /// The gates 12 to 14: who is kept out, and when customers may be contacted.
    pub fn courtesy(&mut self, case: Case) -> Option<(Reason, Option<Timestamp>)> {
        let (rule, now) = (self.rule(case), self.now());
        if self.arm(rule).is_some_and(|(_, control)| control) {
            return Some((Reason::Holdout, None));
        }
        if !self.is_for_customers(rule, 0) {
            return None;
        }
        let none = Dealings::default();
        let dealings = self.dealings.as_deref().unwrap_or(&none);
        if let Some(until) = dealings.closed_until(rule, self.profile, now) {
            return Some((Reason::ContactBudget, Some(until)));
        }
        match self.contact_from(rule, now) {
            Some(from) if from <= now => None,
            from => Some((Reason::QuietHours, from)),
        }
    }

    /// Whether an open alert of the account, or one across accounts, holds a case back.
    #[must_use]
    pub fn is_inhibited(&self, case: Case) -> bool {
        let own = self.dealings.as_deref().map_or(&[][..], |own| &own.inhibitors);
        let incidents = &self.task.incidents;
        if own.is_empty() && incidents.is_empty() {
            return false;
        }
        let held = self.standing(case);
        own.iter().any(|open| self.holds_back(case, (open.rule, &open.equal), &held))
            || incidents.open().any(|open| {
                self.is_reached(open) && self.holds_back(case, (open.rule, &open.equal), &held)
                    || self.takes_place_of(case, open)
            })
    }

    /// Whether an open alert, led by a rule, holds a case back.
    fn holds_back(&self, case: Case, (lead, equal): (u32, &[u64]), held: &Standing<'_>) -> bool {
        let (own, family) = (self.plan.rule_plan(case.rule), &self.rule(case).family);
        let Some(lead) = self.plan.rule_of_key(lead) else { return false };
        let items = self.plan.rule(lead).inhibits.iter().zip(equal);
        let collapses = own.parent == Some(lead) && self.plan.rule(lead).entity.account;
        collapses
            || items.into_iter().any(|(item, equal)| {
                item.family == *family
                    && holds(&item.condition, held)
                    && (item.equal.is_empty() || hash_of(&item.equal, held) == *equal)
            })
    }

    /// Whether an alert across accounts stands in the place of a case's.
    fn takes_place_of(&self, case: Case, open: &Broadcast) -> bool {
        let parent = self.plan.rule_plan(case.rule).parent;
        parent.is_some_and(|parent| self.plan.rule(parent).key == open.rule)
            && self.entity.part == Some(&*open.part)
    }

    /// The alert that stands in the place of a case's, if one is open.
    fn parent_alert(&self, case: Case) -> Option<Box<str>> {
        let parent = self.plan.rule(self.plan.rule_plan(case.rule).parent?).key;
        let mut own = self.dealings.iter().flat_map(|own| &own.inhibitors);
        let own = own.find(|open| open.rule == parent).map(|open| open.alert.clone());
        let mut incidents = self.task.incidents.open();
        own.or_else(|| incidents.find(|open| self.takes_place_of(case, open)).map(|open| open.alert.clone()))
    }

    /// What one alert and another can have in common.
    pub(super) fn standing(&self, case: Case) -> Standing<'_> {
        let part = self.rule(case).entity.part.as_ref();
        Standing {
            part: part.and_then(|part| Some((&part.path, self.entity.part?))),
            captured: self.episode(case).map_or(&[], |episode| &episode.captured),
            owners: Owners { account: self.entity.account, profile: self.profile, user: self.user },
        }
    }

    /// Something in this row is held back until an alert closes; if that is not remembered, when it is to look again.
    pub fn hold(&mut self) -> Option<Timestamp> {
        let (key, now) = (self.key, self.now());
        if self.dealings.as_ref().is_some_and(|own| !own.inhibitors.is_empty() && !own.holds(key)) {
            self.dealings_mut().hold(key);
        }
        let incidents = &mut self.task.incidents;
        if incidents.is_empty() { None } else { incidents.hold(key, now) }
    }

    /// An alert is open, led by a case: it holds back what that rule says, and nothing else.
    pub fn inhibit(&mut self, alert: &OpenAlert, case: Case) {
        if self.entity.account.is_none() {
            self.tell_incident(alert, case);
            return;
        }
        let (rule, alert) = (self.rule(case), &*alert.alert_id);
        let known = self.dealings.iter().flat_map(|own| &own.inhibitors).find(|own| *own.alert == *alert);
        let matters = !rule.inhibits.is_empty() || rule.collapses.is_some();
        if !matters && known.is_none() {
            return;
        }
        let standing = self.standing(case);
        let equal = rule.inhibits.iter().map(|item| hash_of(&item.equal, &standing)).collect();
        let now = Inhibitor { alert: alert.into(), rule: rule.key, equal };
        if known == Some(&now) {
            return;
        }
        self.release(alert);
        if matters {
            self.dealings_mut().inhibit(now);
        }
    }

    fn release(&mut self, alert: &str) {
        let mut known = self.dealings.iter().flat_map(|dealings| &dealings.inhibitors);
        if known.any(|own| *own.alert == *alert) {
            self.dealings_mut().release(alert);
            self.ties.released = true;
        }
    }

    /// Forgets an alert that is over.
    pub fn forget_alert(&mut self, alert: usize) {
        let gone = self.row.firing.alerts.remove(alert);
        if self.entity.account.is_none() {
            self.tell_end(&gone);
        } else {
            self.release(&gone.alert_id);
        }
        if self.row.firing.alerts.is_empty() {
            self.task.open.remove(self.key);
        }
    }

    /// An alert of a rule has opened: if it is for customers, it counts as a contact.
    pub fn note_contact(&mut self, rule: &Rule) {
        if self.is_for_customers(rule, 0) && self.entity.account.is_some() {
            let now = self.now();
            self.dealings_mut().note_contact(now);
        }
    }

    /// Looks again at what a gate holds in this row.
    pub fn try_again(&mut self, held: Reason) {
        for rule in self.plan.rule_places() {
            let episodes = self.row.firing.rule(self.plan.rule(rule).key).map_or(0, |own| own.episodes.len());
            for case in (0..episodes).map(|episode| Case { rule, episode }) {
                let fate = self.episode(case).and_then(|own| own.activation).map(|own| own.fate);
                if fate == Some(Fate::Withheld(held)) {
                    let observed = self.observe(case);
                    self.pass_gates(case, &observed);
                }
            }
        }
    }

    /// The end of a time that somebody has from `from` on.
    pub fn within(&mut self, rule: &'a Rule, within: Within, from: Timestamp) -> Option<Timestamp> {
        match within {
            Within::Time(ms) => Some(from.plus(ms)),
            Within::Business(days) => {
                let zone = zone_of(self.calendar, &rule.zone, self.profile, self.user);
                let hours = Business::of(&rule.policy.contact, self.profile, zone);
                hours.days_after(self.calendar, from, days)
            }
        }
    }

    /// By when somebody should answer an alert that a rule leads.
    pub fn respond_by(&mut self, rule: &'a Rule, detected: Timestamp) -> Option<Timestamp> {
        rule.alert.respond_within.and_then(|within| self.within(rule, within, detected))
    }

    /// What policies add to a revision of an alert.
    pub fn terms(&mut self, case: Case, open: &OpenAlert, closes: bool) -> Terms<'a> {
        let (rule, now) = (self.rule(case), self.now());
        let customers = self.is_for_customers(rule, open.taken);
        let due = match rule.alert.next_step_due {
            Some(Due::After(within @ Within::Business(_))) => self.within(rule, within, open.detected),
            _ => None,
        };
        let not_before = if customers && !closes { self.contact_from(rule, now) } else { None };
        let dealings = self.dealings.as_deref().filter(|_| customers);
        Terms {
            taken: open.taken,
            not_before: not_before.filter(|from| *from > now),
            due,
            spent: dealings.and_then(|own| own.spent(&rule.policy.contact, self.profile, now)),
            last_contacted: dealings.and_then(|own| own.last_contact_before(open.detected)),
            experiment: self.arm(rule).map(|(group, _)| group),
            feature_severity: self.feature_severity(case, &open.alert_id),
            parent: if closes { self.parent_alert(case) } else { None },
            affected: self.episode(case).and_then(|episode| episode.affected.clone()),
        }
    }

    /// When the next step of an alert's escalation is due.
    #[must_use]
    pub fn next_step(&self, alert: &OpenAlert) -> Option<Timestamp> {
        let rule = self.plan.rule(self.plan.rule_of_key(alert.lead)?);
        let step = rule.alert.escalate.get(usize::from(alert.steps))?;
        Some(alert.detected.plus(step.after_ms))
    }

    /// Nobody has reacted in time: takes the next step of an alert's escalation, if it holds.
    pub fn escalate_unanswered(&mut self, alert: usize) {
        let open = &mut self.row.firing.alerts[alert];
        let place = open.steps;
        let severity = open.severity;
        open.steps += 1;
        let Some((case, observed)) = self.lead(alert) else { return };
        let Some(step) = self.rule(case).alert.escalate.get(usize::from(place)) else { return };
        let holds =
            self.with_scope(case, (&observed, severity), |scope| variables_hold(&step.condition, scope));
        if holds != Some(true) {
            return;
        }
        let open = &mut self.row.firing.alerts[alert];
        open.taken |= 1 << place;
        open.severity = open.severity.max(step.severity.unwrap_or(open.severity));
        let revision = Revision { action: Action::Escalated, reason: Some("unanswered") };
        self.emit(alert, (case, &observed), revision);
    }
}

#[cfg(test)]
mod tests {
    use super::lot;

    #[test]
    fn lots_have_these_values_and_are_even() {
        let drawn = [lot("risk-eu-1", "g", "acme"), lot("risk-eu-1", "h", "acme")];
        expect_test::expect!["[4846, 2364]"].assert_eq(&format!("{drawn:?}"));
        let kept = (0..10_000).filter(|n| lot("s", "g", &format!("a{n}")) < 1_000).count();
        // Binomial, n = 10,000, p = 0.1: five standard deviations are 150.
        assert!((850..=1_150).contains(&kept), "{kept}");
    }
}
