//! How well alerts tell the planted truth.

use std::collections::{BTreeMap, BTreeSet};

use super::{Planted, Truth};
use crate::event::Timestamp;

/// An alert that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired<'a> {
    /// The rule.
    pub rule: &'a str,
    /// The entity, as alerts write it: its ids joined by `/`.
    pub entity: &'a str,
    /// When it was opened, or the rule joined it.
    pub at: Timestamp,
    /// The rule joined the open alert of its family: that finds an incident, and is no alert of its own.
    pub joined: bool,
}

/// Who plays something: by account, or by the tag that ids end with.
#[derive(Debug, Clone, Default)]
pub struct Stage(BTreeMap<Box<str>, Part>);

/// What somebody plays: the rules that it is about, and until when it says what these do.
#[derive(Debug, Clone)]
struct Part {
    rules: BTreeSet<Box<str>>,
    until: Timestamp,
}

impl Stage {
    /// An account, or all with a tag, play what is about a rule, until a time.
    pub fn put(&mut self, who: &str, rule: &str, until: Timestamp) {
        let part = self.0.entry(who.into()).or_insert_with(|| Part { rules: BTreeSet::new(), until });
        part.rules.insert(rule.into());
        part.until = part.until.max(until);
    }

    /// Nobody says what comes of what an account plays.
    pub fn mute(&mut self, who: &str) {
        self.0
            .entry(who.into())
            .or_insert_with(|| Part { rules: BTreeSet::new(), until: Timestamp::MIN })
            .until = Timestamp::MIN;
    }

    /// Whether an alert comes of something that is played and about other rules, or after its end, or is of all together:
    /// nobody has said what rules do there.
    #[must_use]
    pub fn is_beside(&self, alert: &Fired<'_>) -> bool {
        let mut played = alert.entity.split('/').filter_map(|part| {
            let tag = part.rfind("-p").map(|at| &part[at..]);
            self.0.get(part).or_else(|| self.0.get(tag?))
        });
        match played.next() {
            Some(part) => !part.rules.contains(alert.rule) || alert.at > part.until,
            None => alert.entity == "platform" && !self.0.is_empty(),
        }
    }
}

/// One line of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// The rule.
    pub rule: Box<str>,
    /// Planted incidents.
    pub planted: usize,
    /// Incidents with an alert at the expected time.
    pub found: usize,
    /// Incidents without.
    pub missed: usize,
    /// Alerts that no incident explains.
    pub false_alerts: usize,
    /// Of the false ones, those that fell for a look-alike.
    pub fooled: usize,
    /// Alerts on those who play something that is about other rules.
    pub beside: usize,
    /// From onset to alert, ms: the median over the incidents found, the lower of two.
    pub median_detect_ms: Option<i64>,
}

/// Compares alerts with the truth: one line a rule.
#[must_use]
pub fn score(rules: &[&str], (truth, stage): (&[Planted], &Stage), alerts: &[Fired<'_>]) -> Vec<Score> {
    rules.iter().map(|rule| line(rule, (truth, stage), alerts)).collect()
}

/// The incidents without an alert at the expected time.
pub fn missed<'t>(truth: &'t [Planted], alerts: &[Fired<'_>]) -> impl Iterator<Item = &'t Planted> {
    let is_found =
        |own: &Planted| alerts.iter().any(|alert| *own.rule == *alert.rule && explains(own, alert));
    truth.iter().filter(move |own| own.kind == Truth::Incident && !is_found(own))
}

/// The alerts that no incident explains, but those of something that is played and about other rules.
pub fn false_alerts<'f>(
    (truth, stage): (&[Planted], &Stage),
    alerts: &'f [Fired<'f>],
) -> impl Iterator<Item = &'f Fired<'f>> {
    let is_explained = |alert: &Fired<'_>| {
        let mut incidents =
            truth.iter().filter(|own| own.kind == Truth::Incident && *own.rule == *alert.rule);
        incidents.any(|own| explains(own, alert))
    };
    alerts.iter().filter(move |alert| !alert.joined && !is_explained(alert) && !stage.is_beside(alert))
}

fn line(rule: &str, (truth, stage): (&[Planted], &Stage), alerts: &[Fired<'_>]) -> Score {
    let of = |kind| truth.iter().filter(move |planted| *planted.rule == *rule && planted.kind == kind);
    let own: Vec<&Fired<'_>> = alerts.iter().filter(|alert| alert.rule == rule).collect();
    let mut delays: Vec<i64> = of(Truth::Incident)
        .filter_map(|incident| {
            let found = own.iter().filter(|alert| explains(incident, alert)).map(|alert| alert.at).min();
            found.map(|at| at.since(incident.onset))
        })
        .collect();
    delays.sort_unstable();
    let unexplained: Vec<&&Fired<'_>> =
        own.iter().filter(|alert| !of(Truth::Incident).any(|incident| explains(incident, alert))).collect();
    let beside = unexplained.iter().filter(|alert| stage.is_beside(alert)).count();
    let false_ones = || unexplained.iter().filter(|alert| !stage.is_beside(alert));
    let planted = of(Truth::Incident).count();
    Score {
        rule: rule.into(),
        planted,
        found: delays.len(),
        missed: planted - delays.len(),
        false_alerts: false_ones().count(),
        fooled: false_ones().filter(|alert| of(Truth::Lookalike).any(|trap| explains(trap, alert))).count(),
        beside,
        median_detect_ms: delays.get(delays.len().saturating_sub(1) / 2).copied(),
    }
}

fn explains(planted: &Planted, alert: &Fired<'_>) -> bool {
    let tagged = |tag: &str| alert.entity.split('/').any(|part| part.ends_with(tag));
    let is_it = match (&*planted.entity, &planted.tag) {
        ("", Some(tag)) => tagged(tag),
        (entity, _) => *entity == *alert.entity,
    };
    is_it && (planted.from..=planted.until).contains(&alert.at)
}

#[cfg(test)]
mod tests {
    use super::{Fired, Stage, score};
    use crate::event::Timestamp;
    use crate::simulate::{CONNECTION_FAILURES, PAYMENT_DECLINED, Planted, Truth};

    fn planted(kind: Truth, entity: &str, onset: i64) -> Planted {
        let (from, until) = (Timestamp(onset + 10), Timestamp(onset + 100));
        let (rule, entity) = (PAYMENT_DECLINED.into(), entity.into());
        Planted { rule, entity, tag: None, kind, onset: Timestamp(onset), from, until }
    }

    #[test]
    fn alerts_are_found_missed_or_false() {
        let marked =
            Planted { entity: "".into(), tag: Some("-p1".into()), ..planted(Truth::Incident, "", 0) };
        let truth = [
            planted(Truth::Incident, "a", 0),
            planted(Truth::Incident, "b", 0),
            planted(Truth::Incident, "c", 1000),
            planted(Truth::Lookalike, "d", 0),
            marked,
        ];
        let mut stage = Stage::default();
        ["a", "b", "c", "d", "-p1"].iter().for_each(|who| stage.put(who, PAYMENT_DECLINED, Timestamp(2000)));
        let fired = |rule, entity, at| Fired { rule, entity, at: Timestamp(at), joined: false };
        let alerts = [
            fired(PAYMENT_DECLINED, "a", 30),
            fired(PAYMENT_DECLINED, "a", 20),
            fired(PAYMENT_DECLINED, "b", 5),
            fired(PAYMENT_DECLINED, "c", 1080),
            fired(PAYMENT_DECLINED, "d", 50),
            fired(PAYMENT_DECLINED, "acme-p1/u", 50),
            fired(CONNECTION_FAILURES, "a", 50),
            fired(CONNECTION_FAILURES, "acme-p1/slack", 50),
            fired(CONNECTION_FAILURES, "acme-p11/slack", 50),
        ];
        let lines = score(&[PAYMENT_DECLINED, CONNECTION_FAILURES], (&truth, &stage), &alerts);
        let line = &lines[0];
        assert_eq!((line.planted, line.found, line.missed), (4, 3, 1));
        assert_eq!((line.false_alerts, line.fooled, line.beside), (2, 1, 0));
        assert_eq!(line.median_detect_ms, Some(50));
        let other = &lines[1];
        assert_eq!((other.planted, other.false_alerts, other.beside), (0, 1, 2));
    }
}
