//! The trigger family (`contracts.md` §8.1): how often rules speak, and why they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::{Catalogue, MetricsError};
use crate::engine::alert::{Action, Reason};
use crate::engine::effects::RuleTally;
use crate::rules::program::{Detector, Mode, Program, Rule, Rung, Severity};

/// Label of rules beyond the budget of series.
const OTHER: &str = "_other";

const TIME_TO_DETECT: [f64; 9] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 86_400.0, 604_800.0];

/// Counters and gauges per rule.
#[derive(Debug)]
pub struct Trigger {
    evaluations: IntCounterVec,
    activations: IntCounterVec,
    suppressed: IntCounterVec,
    merged: IntCounterVec,
    alerts: IntCounterVec,
    open_alerts: IntGaugeVec,
    time_to_detect: HistogramVec,
    threshold: GaugeVec,
    info: IntGaugeVec,
    max_rules: usize,
    /// Rules that have a label of their own, and open alerts by task.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    rules: BTreeSet<Box<str>>,
    /// Whether more rules are active than have a label.
    overflow: bool,
    open: BTreeMap<u16, BTreeMap<(Box<str>, Severity), i64>>,
}

const fn mode(rule: &Rule) -> &'static str {
    match rule.mode {
        Mode::Active => "live",
        Mode::Shadow => "shadow",
    }
}

/// Reasons that end as `suppressed`: shadow rules count by mode, members of a family as merged.
fn reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.into_iter().filter(|reason| !matches!(reason, Reason::Shadow | Reason::Family))
}

impl Trigger {
    pub(super) fn register(catalogue: &mut Catalogue, max_rules: usize) -> Result<Self, MetricsError> {
        let name = |name: &str| format!("forewarn_trigger_{name}");
        let rule = &["rule"][..];
        Ok(Self {
            evaluations: catalogue.counters(
                &name("evaluations_total"),
                &["rule", "mode"],
                "Verdicts on eligible entities, by mode (live, shadow)",
            )?,
            activations: catalogue.counters(
                &name("activations_total"),
                &["rule", "mode"],
                "Activations whose fate is known",
            )?,
            suppressed: catalogue.counters(
                &name("suppressed_total"),
                &["rule", "reason"],
                "Activations withheld for good, by the gate that held them",
            )?,
            merged: catalogue.counters(
                &name("merged_total"),
                rule,
                "Activations that joined an open alert of their family",
            )?,
            alerts: catalogue.counters(
                &name("alerts_total"),
                &["rule", "action"],
                "Published revisions of alerts",
            )?,
            open_alerts: catalogue.whole_gauges(
                &name("open_alerts"),
                &["rule", "severity"],
                "Alerts that are firing or acknowledged",
            )?,
            time_to_detect: catalogue.histograms(
                &name("time_to_detect_seconds"),
                rule,
                "From onset (event time) to detection (journal time) of opened alerts",
                &TIME_TO_DETECT,
            )?,
            threshold: catalogue.gauges(
                &name("threshold"),
                &["rule", "condition"],
                "Lowest threshold of a condition, in the condition's unit",
            )?,
            info: catalogue.whole_gauges(
                &name("info"),
                &["rule", "version", "mode", "severity", "family"],
                "1 for every active rule",
            )?,
            max_rules,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn label<'a>(known: &Known, rule: &'a str) -> &'a str {
        if known.rules.contains(rule) { rule } else { OTHER }
    }

    pub(super) fn activate(&self, program: &Program) {
        let mut known = self.known();
        let rules: BTreeSet<Box<str>> =
            program.rules.iter().take(self.max_rules).map(|rule| rule.id.clone()).collect();
        for gone in known.rules.difference(&rules) {
            self.forget(gone);
        }
        known.overflow = program.rules.len() > rules.len();
        known.rules = rules;
        self.info.reset();
        self.threshold.reset();
        for rule in &program.rules {
            let label = Self::label(&known, &rule.id);
            self.announce(label, rule);
        }
    }

    fn announce(&self, label: &str, rule: &Rule) {
        for series in [&self.evaluations, &self.activations] {
            series.with_label_values(&[label, mode(rule)]);
        }
        self.merged.with_label_values(&[label]);
        self.time_to_detect.with_label_values(&[label]);
        for reason in reasons() {
            self.suppressed.with_label_values(&[label, reason.name()]);
        }
        for action in Action::ALL {
            self.alerts.with_label_values(&[label, action.name()]);
        }
        for severity in Severity::ALL {
            self.open_alerts.with_label_values(&[label, severity.name()]);
        }
        if label == OTHER {
            return;
        }
        self.info
            .with_label_values(&[label, &*rule.version, mode(rule), rule.severity.name(), &*rule.family])
            .set(1);
        for condition in &rule.conditions {
            if let Some(rung) = rungs(&condition.detector).first() {
                let limit = rung.limit.to_f64();
                self.threshold.with_label_values(&[label, &*condition.name]).set(limit);
            }
        }
    }

    fn forget(&self, rule: &str) {
        // A label set that was never used can't be removed, which is what is wanted.
        for mode in ["live", "shadow"] {
            let _ = self.evaluations.remove_label_values(&[rule, mode]);
            let _ = self.activations.remove_label_values(&[rule, mode]);
        }
        let _ = self.merged.remove_label_values(&[rule]);
        let _ = self.time_to_detect.remove_label_values(&[rule]);
        for reason in reasons() {
            let _ = self.suppressed.remove_label_values(&[rule, reason.name()]);
        }
        for action in Action::ALL {
            let _ = self.alerts.remove_label_values(&[rule, action.name()]);
        }
        for severity in Severity::ALL {
            let _ = self.open_alerts.remove_label_values(&[rule, severity.name()]);
        }
    }

    pub(super) fn apply(&self, tallies: &[RuleTally], program: &Program) {
        let known = self.known();
        for (tally, rule) in tallies.iter().zip(&program.rules) {
            let label = Self::label(&known, &rule.id);
            self.evaluations.with_label_values(&[label, mode(rule)]).inc_by(tally.evaluations);
            self.activations.with_label_values(&[label, mode(rule)]).inc_by(tally.activations);
            self.merged.with_label_values(&[label]).inc_by(tally.merged);
            for (reason, count) in Reason::ALL.into_iter().zip(&tally.suppressed) {
                if *count > 0 {
                    self.suppressed.with_label_values(&[label, reason.name()]).inc_by(*count);
                }
            }
            for (action, count) in Action::ALL.into_iter().zip(tally.alerts) {
                if count > 0 {
                    self.alerts.with_label_values(&[label, action.name()]).inc_by(count);
                }
            }
            for ms in &tally.time_to_detect_ms {
                #[expect(clippy::cast_precision_loss, reason = "seconds of a histogram")]
                let seconds = (*ms).max(0) as f64 / 1000.0;
                self.time_to_detect.with_label_values(&[label]).observe(seconds);
            }
        }
    }

    /// Says how many alerts a task holds open, by rule and severity; replaces what it said before.
    pub fn set_open_alerts(&self, task: u16, open: impl IntoIterator<Item = (Box<str>, Severity, i64)>) {
        let mut known = self.known();
        let mut of_task: BTreeMap<(Box<str>, Severity), i64> = BTreeMap::new();
        for (rule, severity, count) in open {
            *of_task.entry((Self::label(&known, &rule).into(), severity)).or_default() += count;
        }
        known.open.insert(task, of_task);
        self.publish_open(&known);
    }

    /// Forgets a task that is no longer ours.
    pub fn forget_task(&self, task: u16) {
        let mut known = self.known();
        known.open.remove(&task);
        self.publish_open(&known);
    }

    fn publish_open(&self, known: &Known) {
        let other = known.overflow.then_some(OTHER);
        for rule in known.rules.iter().map(|rule| &**rule).chain(other) {
            for severity in Severity::ALL {
                let key = (Box::from(rule), severity);
                let total = known.open.values().filter_map(|open| open.get(&key)).sum();
                self.open_alerts.with_label_values(&[rule, severity.name()]).set(total);
            }
        }
    }
}

fn rungs(detector: &Detector) -> &[Rung] {
    match detector {
        Detector::Event { .. } => &[],
        Detector::Count { rungs, .. } | Detector::Absence { rungs, .. } | Detector::Compare { rungs, .. } => {
            rungs
        }
    }
}
