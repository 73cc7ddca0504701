//! How well alerts tell the planted truth.

use super::{Planted, Truth};
use crate::event::Timestamp;

/// An alert that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired<'a> {
    /// The rule.
    pub rule: &'a str,
    /// The entity, as alerts write it: its ids joined by `/`.
    pub entity: &'a str,
    /// When it was opened.
    pub at: Timestamp,
}

/// One line of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// The rule.
    pub rule: &'static str,
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
    /// From onset to alert, ms: the median over the incidents found, the lower of two.
    pub median_detect_ms: Option<i64>,
}

/// Compares alerts with the truth: one line a rule, in the order of [`super::RULES`].
#[must_use]
pub fn score(truth: &[Planted], alerts: &[Fired<'_>]) -> Vec<Score> {
    super::RULES.iter().map(|rule| line(rule, truth, alerts)).collect()
}

fn line(rule: &'static str, truth: &[Planted], alerts: &[Fired<'_>]) -> Score {
    let of = |kind| truth.iter().filter(move |planted| planted.rule == rule && planted.kind == kind);
    let own = || alerts.iter().filter(move |alert| alert.rule == rule);
    let mut delays: Vec<i64> = of(Truth::Incident)
        .filter_map(|incident| {
            own()
                .filter(|alert| explains(incident, alert))
                .map(|alert| alert.at)
                .min()
                .map(|at| at.since(incident.onset))
        })
        .collect();
    delays.sort_unstable();
    let false_ones = || own().filter(|alert| !of(Truth::Incident).any(|incident| explains(incident, alert)));
    let planted = of(Truth::Incident).count();
    Score {
        rule,
        planted,
        found: delays.len(),
        missed: planted - delays.len(),
        false_alerts: false_ones().count(),
        fooled: false_ones().filter(|alert| of(Truth::Lookalike).any(|trap| explains(trap, alert))).count(),
        median_detect_ms: delays.get(delays.len().saturating_sub(1) / 2).copied(),
    }
}

fn explains(planted: &Planted, alert: &Fired<'_>) -> bool {
    *planted.entity == *alert.entity && (planted.from..=planted.until).contains(&alert.at)
}

#[cfg(test)]
mod tests {
    use super::{Fired, score};
    use crate::event::Timestamp;
    use crate::simulate::{CONNECTION_FAILURES, PAYMENT_DECLINED, Planted, Truth};

    fn planted(kind: Truth, entity: &str, onset: i64) -> Planted {
        let (from, until) = (Timestamp(onset + 10), Timestamp(onset + 100));
        Planted { rule: PAYMENT_DECLINED, entity: entity.into(), kind, onset: Timestamp(onset), from, until }
    }

    #[test]
    fn alerts_are_found_missed_or_false() {
        let truth = [
            planted(Truth::Incident, "a", 0),
            planted(Truth::Incident, "b", 0),
            planted(Truth::Incident, "c", 1000),
            planted(Truth::Lookalike, "d", 0),
        ];
        let fired = |rule, entity, at| Fired { rule, entity, at: Timestamp(at) };
        let alerts = [
            fired(PAYMENT_DECLINED, "a", 30),
            fired(PAYMENT_DECLINED, "a", 20),
            fired(PAYMENT_DECLINED, "b", 5),
            fired(PAYMENT_DECLINED, "c", 1080),
            fired(PAYMENT_DECLINED, "d", 50),
            fired(CONNECTION_FAILURES, "a", 50),
        ];
        let lines = score(&truth, &alerts);
        let line = lines.iter().find(|line| line.rule == PAYMENT_DECLINED).unwrap();
        assert_eq!((line.planted, line.found, line.missed), (3, 2, 1));
        assert_eq!((line.false_alerts, line.fooled), (2, 1));
        assert_eq!(line.median_detect_ms, Some(20));
        let other = lines.iter().find(|line| line.rule == CONNECTION_FAILURES).unwrap();
        assert_eq!((other.planted, other.false_alerts, other.median_detect_ms), (0, 1, None));
    }
}
