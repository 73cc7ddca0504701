//! The life of an alert: opened, joined, revised, escalated, closed (`contracts.md` §5.1).

use crate::event::{Timestamp, Value};
use crate::rules::program::{Detector, Person, RuleIx, Severity, Variable};

use super::alert::{Action, Alert, Evidence, Observed, Occasion, alert_id, build, dedup_key};
use super::detect::Prompt;
use super::firing::{Fate, OpenAlert, Said};
use super::groups::observe_groups;
use super::matches::find;
use super::number::Exact;
use super::plan::is_negative;
use super::scene::{Case, Scene, variables_hold};

/// Shortest time between two `updated` revisions, ms.
pub const UPDATE_GAP_MS: i64 = 60_000;

/// One revision to write.
#[derive(Debug, Clone, Copy)]
pub struct Revision<'a> {
    /// What happened.
    pub action: Action,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Status of an alert after an action.
const fn status(action: Action) -> &'static str {
    match action {
        Action::Acknowledged => "acknowledged",
        Action::Resolved => "resolved",
        Action::Expired => "expired",
        Action::Withdrawn => "withdrawn",
        _ => "firing",
    }
}

impl Scene<'_> {
    /// The severity of a rule now: the first hit of `severity_by`, else the worst rung's, else its own.
    #[must_use]
    pub fn severity(&self, case: Case, observed: &[Observed]) -> Severity {
        let rule = self.plan.rule(case.rule);
        let hit = self.with_scope(case, (observed, rule.severity), |scope| {
            rule.severity_by.iter().find(|(matches, _)| variables_hold(matches, scope)).map(|(_, own)| *own)
        });
        let rungs = || {
            rule.conditions.iter().zip(observed).filter_map(|(it, seen)| rung_severity(&it.detector, seen))
        };
        hit.flatten().or_else(|| rungs().max()).unwrap_or(rule.severity)
    }

    /// Opens an alert that this case leads.
    pub fn open(&mut self, case: Case, observed: &[Observed]) {
        let (rule, now, family) = (self.rule(case), self.now(), self.plan.rule_plan(case.rule).family);
        let severity = self.severity(case, observed);
        let respond_by = self.respond_by(rule, now);
        let Some(episode) = self.episode_mut(case) else { return };
        let dedup = episode.dedup.clone();
        let onset = episode.activation.map_or(now, |activation| activation.onset);
        if let Some(activation) = &mut episode.activation {
            activation.fate = Fate::Opened;
        }
        episode.member = true;
        episode.opened = Some(now);
        let reported = self.is_reported(case, onset, now);
        let key = dedup_key(&rule.family, &rule.entity.kind(), self.entity, &dedup);
        let ordinal = self.task.openings.count(self.offset, &key);
        let id =
            alert_id(&self.settings.application_id, &key, (self.settings.partition, self.offset), ordinal);
        self.row.firing.alerts.push(OpenAlert {
            family,
            dedup,
            alert_id: id.into(),
            revision: 0,
            lead: rule.key,
            supersedes: Vec::new(),
            severity,
            onset,
            detected: now,
            revised: Timestamp::MIN,
            reminder: rule.alert.update_every_ms.map(|every| now.plus(every)),
            respond_by,
            steps: 0,
            taken: 0,
            pending: false,
            reported,
            said: Said::default(),
            late_events: 0,
        });
        self.task.open.insert(self.key.clone());
        if rule.collapses.is_some() && self.entity.account.is_some() {
            self.ties.collapses = Some(case.rule);
        }
        let alert = self.row.firing.alerts.len() - 1;
        self.note_contact(rule);
        self.emit(alert, (case, observed), Revision { action: Action::Opened, reason: None });
        let tally = self.tally(case.rule);
        tally.time_to_detect_ms.push(now.since(onset).max(0));
        tally.reported_first += u64::from(reported);
    }

    /// Joins the open alert of the family; takes the lead if it ranks higher.
    pub fn join(&mut self, case: Case, alert: usize, observed: &[Observed]) {
        let rule = self.rule(case);
        if let Some(episode) = self.episode_mut(case) {
            episode.member = true;
            if let Some(activation) = &mut episode.activation {
                activation.fate = Fate::Merged;
            }
        }
        let severity = self.severity(case, observed);
        let open = &self.row.firing.alerts[alert];
        if open.lead == rule.key {
            return;
        }
        let lead = self.plan.rule_of_key(open.lead).map(|lead| self.plan.rule(lead).rank);
        let leads = lead.is_none_or(|rank| (rule.rank, severity) > (rank, open.severity));
        if leads {
            self.take_lead(alert, case, severity);
            self.emit(alert, (case, observed), Revision { action: self.worse(case), reason: Some("rank") });
        } else {
            self.revise_alert(alert);
        }
    }

    /// What a change for the worse is called under the rule's policy.
    fn worse(&self, case: Case) -> Action {
        if self.plan.rule(case.rule).policy.renotify_worse { Action::Escalated } else { Action::Updated }
    }

    fn take_lead(&mut self, alert: usize, case: Case, severity: Severity) {
        let rule = self.rule(case);
        let now = self.now();
        let respond_by = self.respond_by(rule, self.row.firing.alerts[alert].detected);
        let open = &mut self.row.firing.alerts[alert];
        if !open.supersedes.contains(&open.lead) {
            open.supersedes.push(open.lead);
        }
        open.supersedes.retain(|key| *key != rule.key);
        open.lead = rule.key;
        open.severity = open.severity.max(severity);
        // Timers run from the opening.
        open.respond_by = open.respond_by.and(respond_by);
        open.reminder = rule.alert.update_every_ms.map(|every| next_multiple(open.detected, every, now));
        (open.steps, open.taken) = (0, 0);
    }

    /// The open alert that a case is a member of.
    #[must_use]
    pub fn alert_of(&self, case: Case) -> Option<usize> {
        let episode = self.episode(case)?;
        self.row.firing.alert(self.plan.rule_plan(case.rule).family, &episode.dedup)
    }

    /// The members of an alert, the highest first: by rank, severity, age.
    #[must_use]
    pub fn members(&self, alert: usize) -> Vec<Case> {
        let open = &self.row.firing.alerts[alert];
        let mut members: Vec<Case> = Vec::new();
        for rule in self.plan.rule_places() {
            let own = self.plan.rule_plan(rule);
            if own.family != open.family {
                continue;
            }
            let Some(state) = self.row.firing.rule(self.plan.rule(rule).key) else { continue };
            let held = |episode: &super::firing::Episode| episode.member && episode.dedup == open.dedup;
            if let Some(episode) = state.episodes.iter().position(held) {
                members.push(Case { rule, episode });
            }
        }
        let age =
            |case: &Case| self.episode(*case).and_then(|episode| episode.activation).map(|own| own.begun);
        members.sort_by_key(|case| {
            let rule = self.plan.rule(case.rule);
            (std::cmp::Reverse((rule.rank, rule.severity)), age(case), case.rule)
        });
        members
    }

    /// Says what has changed in the alert that a case belongs to, if that is worth a revision.
    pub fn revise(&mut self, case: Case, observed: &[Observed]) {
        let Some(alert) = self.alert_of(case) else { return };
        if !self.episode(case).is_some_and(|episode| episode.member) {
            return;
        }
        if self.row.firing.alerts[alert].lead != self.plan.rule(case.rule).key {
            return;
        }
        let severity = self.severity(case, observed);
        let rung = observed.iter().map(|seen| seen.rung).max().unwrap_or(0);
        let band = highest_band(observed);
        let open = &mut self.row.firing.alerts[alert];
        let rises = |now: u8, said: u8| now > said && said > 0;
        if severity > open.severity || rises(rung, open.said.rung) || rises(band, open.said.band) {
            open.severity = open.severity.max(severity);
            let action = self.worse(case);
            self.emit(alert, (case, observed), Revision { action, reason: Some("severity") });
            return;
        }
        if self.has_news(alert, (case, observed)) {
            let now = self.now();
            let open = &mut self.row.firing.alerts[alert];
            if open.revised == Timestamp::MIN || open.revised.plus(UPDATE_GAP_MS) <= now {
                self.emit(alert, (case, observed), Revision { action: Action::Updated, reason: None });
            } else {
                open.pending = true;
            }
        }
    }

    /// Judges an alert's lead for a revision.
    pub fn revise_alert(&mut self, alert: usize) {
        let Some((case, observed)) = self.lead(alert) else { return };
        self.revise(case, &observed);
    }

    /// The leading case of an alert, and what it sees now.
    #[must_use]
    pub fn lead(&mut self, alert: usize) -> Option<(Case, Vec<Observed>)> {
        let open = self.row.firing.alerts.get(alert)?;
        let rule = self.plan.rule_of_key(open.lead)?;
        let state = self.row.firing.rule(open.lead)?;
        let episode = state.episodes.iter().position(|episode| episode.dedup == open.dedup)?;
        let case = Case { rule, episode };
        Some((case, self.observe(case)))
    }

    /// What a case sees now, without consequences.
    #[must_use]
    pub fn observe(&mut self, case: Case) -> Vec<Observed> {
        let clock = self.watermark(case.rule);
        let mut observed: Vec<Observed> =
            self.judge(case, clock, Prompt::All).0.into_iter().map(|judged| judged.observed).collect();
        if let Some(episode) = self.episode(case) {
            for (seen, state) in observed.iter_mut().zip(&episode.conditions) {
                seen.met &= state.held;
            }
            observe_groups(self.plan.rule(case.rule), episode, &mut observed);
        }
        observed
    }

    /// Whether members, lead, owner or a value 10 % worse are news since the last revision.
    fn has_news(&self, alert: usize, (case, observed): (Case, &[Observed])) -> bool {
        let said = &self.row.firing.alerts[alert].said;
        let rule = self.plan.rule(case.rule);
        let members = self.member_keys(alert);
        let worse =
            rule.conditions.iter().zip(observed).zip(&said.values).any(|((condition, seen), before)| {
                seen.met && is_worse(&condition.detector, seen.value, *before)
            });
        let taken = self.row.firing.alerts[alert].taken;
        worse || members != said.members || self.owner(case, taken, observed) != said.owner
    }

    fn member_keys(&self, alert: usize) -> Vec<u32> {
        self.members(alert).iter().map(|case| self.plan.rule(case.rule).key).collect()
    }

    /// Hash of who owns the alert of a case; 0: nobody.
    fn owner(&self, case: Case, taken: u8, observed: &[Observed]) -> u64 {
        let rule = self.plan.rule(case.rule);
        let hash = |text: &str| xxhash_rust::xxh3::xxh3_64(text.as_bytes());
        match rule.alert.owner_after(taken) {
            None => 0,
            Some(Person::Role(name)) => hash(name),
            Some(Person::Owner(field, role)) => {
                hash(find(self.profile, *field).and_then(Value::as_text).unwrap_or(role))
            }
            Some(Person::Lookup(place, column)) => {
                let column = Variable::Lookup(*place, column.clone());
                let text = self.with_scope(case, (observed, rule.severity), |scope| {
                    scope.value(&column).map(|datum| datum.text(&scope.account_zone()))
                });
                text.flatten().map_or(0, |text| hash(&text))
            }
        }
    }

    /// A member's clear has come: it leaves, and with the last one the alert is resolved.
    pub fn clear(&mut self, case: Case, observed: &[Observed]) {
        self.leave(case);
        self.end_events(case, observed);
        self.close_if_deserted(
            case,
            observed,
            Revision { action: Action::Resolved, reason: Some("cleared") },
        );
    }

    /// A late event disproves what a case fired for: its negative conditions; growth stays what it is.
    pub fn disprove(&mut self, case: Case) {
        let (rule, observed) = (self.rule(case), self.observe(case));
        let was_member = self.episode(case).is_some_and(|episode| episode.member);
        self.leave(case);
        if let Some(episode) = self.episode_mut(case) {
            let own = episode.conditions.iter_mut().zip(&rule.conditions);
            for (state, _) in own.filter(|(_, condition)| is_negative(condition)) {
                (state.since, state.held) = (None, false);
            }
        }
        self.deactivate(case, &observed, self.watermark(case.rule));
        if was_member {
            let revision = Revision { action: Action::Withdrawn, reason: Some("late_event") };
            self.close_if_deserted(case, &observed, revision);
        }
    }

    /// A member leaves, and with the last one the alert is over.
    pub fn resign(&mut self, case: Case, observed: &[Observed], revision: Revision<'_>) {
        self.leave(case);
        self.close_if_deserted(case, observed, revision);
    }

    fn leave(&mut self, case: Case) {
        if let Some(episode) = self.episode_mut(case) {
            episode.member = false;
            episode.clearing.iter_mut().for_each(|since| *since = None);
        }
    }

    /// Conditions that events alone make true are true no longer, and ready for the next match.
    pub fn end_events(&mut self, case: Case, observed: &[Observed]) {
        let rule = self.rule(case);
        let Some(episode) = self.episode_mut(case) else { return };
        let mut any = false;
        for (state, condition) in episode.conditions.iter_mut().zip(&rule.conditions) {
            if condition.detector.is_eventful() {
                (state.since, state.held, state.anchor) = (None, false, None);
                any = true;
            }
        }
        if any {
            episode.evidence.clear();
            episode.matches = 0;
            let still = episode.conditions.iter().any(|state| state.since.is_some());
            if !still {
                self.deactivate(case, observed, self.watermark(case.rule));
            }
        }
    }

    fn close_if_deserted(&mut self, case: Case, observed: &[Observed], revision: Revision<'_>) {
        let Some(alert) = self.alert_of(case) else { return };
        match self.members(alert).first().copied() {
            None => self.close(alert, (case, observed), revision),
            Some(heir) => {
                let seen = self.observe(heir);
                if self.row.firing.alerts[alert].lead != self.plan.rule(heir.rule).key {
                    let severity = self.severity(heir, &seen);
                    self.take_lead(alert, heir, severity);
                    self.row.firing.alerts[alert]
                        .supersedes
                        .retain(|key| *key != self.plan.rule(case.rule).key);
                }
                self.revise(heir, &seen);
            }
        }
    }

    /// Writes the last revision of an alert and forgets it.
    pub fn close(&mut self, alert: usize, (case, observed): (Case, &[Observed]), revision: Revision<'_>) {
        self.emit(alert, (case, observed), revision);
        for member in self.members(alert) {
            self.leave(member);
        }
        self.forget_alert(alert);
    }

    /// Writes a revision.
    pub fn emit(&mut self, alert: usize, (case, observed): (Case, &[Observed]), revision: Revision<'_>) {
        let (rule, now) = (self.rule(case), self.now());
        let cases = self.members(alert);
        let members: Vec<RuleIx> = cases.iter().map(|case| case.rule).collect();
        let member_keys: Vec<u32> = members.iter().map(|member| self.plan.rule(*member).key).collect();
        let taken = self.row.firing.alerts[alert].taken;
        let owner = self.owner(case, taken, observed);
        let open = &mut self.row.firing.alerts[alert];
        open.revision += 1;
        open.pending = false;
        let open = open.clone();
        let Some(episode) = self.episode(case).cloned() else { return };
        let supersedes: Vec<RuleIx> =
            open.supersedes.iter().filter_map(|key| self.plan.rule_of_key(*key)).collect();
        let evidence = self.evidence(&episode.evidence, observed);
        let attach: Vec<Vec<Value<'static>>> =
            rule.alert.attach.iter().map(|attach| self.row.firing.attached(attach.key)).collect();
        let counted: u64 = observed.iter().filter_map(|seen| seen.events).sum();
        let closes = revision.action.closes();
        if !closes {
            self.inhibit(&open, case);
        }
        let respond_by = self.respond_by(rule, open.detected);
        let terms = self.terms(case, &open, closes);
        let built = build(&Occasion {
            application_id: &self.settings.application_id,
            journal_partition: self.settings.partition,
            journal_offset: self.offset,
            program: &self.plan.program,
            rule,
            members: &members,
            supersedes: &supersedes,
            alert_id: &open.alert_id,
            revision: open.revision,
            action: revision.action,
            status: status(revision.action),
            reason: revision.reason,
            severity: open.severity,
            entity: self.entity,
            dedup: &episode.dedup,
            profile: self.profile,
            user: self.user,
            sentiment: self.sentiment(),
            customer_reported_first: open.reported,
            observed,
            captured: &episode.captured,
            attach: &attach,
            evidence_count: counted.max(evidence.len() as u64),
            evidence: &evidence,
            history_days: self.row.first_event().map(|first| now.since(first).max(0) / 86_400_000),
            late_events: u64::from(open.late_events),
            onset: open.onset,
            last_evidence: episode.last_evidence,
            detected: open.detected,
            emitted: now,
            respond_by,
            expires: rule.expires_after_ms.map(|after| open.detected.plus(after)),
            keep_summary: closes.then_some(&*open.said.summary),
            traceparent: None,
            terms,
        });
        if let Some(own) = self.row.firing.alerts.get_mut(alert) {
            own.said = said(&built, observed, &own.said);
            (own.said.members, own.said.owner) = (member_keys, owner);
            if revision.action == Action::Updated {
                own.revised = now;
            }
        }
        self.tally(case.rule).alerts[revision.action as usize] += 1;
        self.effects.alerts.push(built);
    }

    /// The newest records behind an alert: those in the judged windows.
    fn evidence(&self, proofs: &[super::firing::Proof], observed: &[Observed]) -> Vec<Evidence> {
        let from = observed.iter().filter_map(|seen| seen.window).map(|(from, _)| from).min();
        let upward = observed.iter().any(|seen| seen.events.is_some_and(|events| events > 0));
        let seen = |proof: &&super::firing::Proof| !upward || from.is_none_or(|from| proof.time > from);
        let own: Vec<&super::firing::Proof> = proofs.iter().filter(seen).collect();
        let own = if own.is_empty() { proofs.iter().collect() } else { own };
        own.into_iter()
            .rev()
            .filter_map(|proof| {
                let source = self.task.sources.get(usize::from(proof.source))?;
                Some(Evidence {
                    topic: source.source.topic.clone(),
                    partition: source.source.partition,
                    offset: proof.offset,
                    time: proof.time,
                    label: self.task.label_text(proof.label).into(),
                })
            })
            .collect()
    }

    /// When an alert expires.
    #[must_use]
    pub fn expires(&self, alert: &OpenAlert) -> Option<Timestamp> {
        let rule = self.plan.rule(self.plan.rule_of_key(alert.lead)?);
        rule.expires_after_ms.map(|after| alert.detected.plus(after))
    }
}

/// What a revision says of the values, so that the next one can tell what has changed since.
fn said(built: &Alert, observed: &[Observed], before: &Said) -> Said {
    Said {
        summary: built.summary.as_str().into(),
        values: observed.iter().map(|seen| seen.value).collect(),
        rung: observed.iter().map(|seen| seen.rung).max().unwrap_or(0).max(before.rung),
        band: highest_band(observed).max(before.band),
        ..Said::default()
    }
}

/// The first multiple of a period after the opening that lies ahead.
#[must_use]
pub const fn next_multiple(opened: Timestamp, every_ms: i64, now: Timestamp) -> Timestamp {
    let every = if every_ms < 1 { 1 } else { every_ms };
    let passed = now.since(opened) / every;
    opened.plus((passed + 1) * every)
}

/// The highest band of the scores that hold, from 1; 0: none.
fn highest_band(observed: &[Observed]) -> u8 {
    let held = observed.iter().filter(|seen| seen.met).filter_map(|seen| seen.band);
    held.max().map_or(0, |band| band.saturating_add(1))
}

/// What the highest rung that a condition reached says of severity.
fn rung_severity(detector: &Detector, seen: &Observed) -> Option<Severity> {
    let place = usize::from(seen.rung).checked_sub(1)?;
    detector.rungs().get(place)?.severity
}

/// Whether a value is 10 % worse than before, in the direction in which the condition grows worse.
#[must_use]
pub fn is_worse(detector: &Detector, value: Option<Exact>, before: Option<Exact>) -> bool {
    let (Some(value), Some(before)) = (value, before) else { return false };
    let upward = detector.rungs().iter().all(|rung| rung.op.is_upward());
    let tenth = Exact { num: before.num.abs(), den: before.den.saturating_mul(10) };
    let step = if upward { value.minus(before) } else { before.minus(value) };
    step.num > 0 && step.order(tenth).is_ge()
}
