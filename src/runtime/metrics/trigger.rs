//! The trigger family (`contracts.md` §8.1): how often rules speak, how near they come to it, and why they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::peak::PeakHistogram;
use super::{Catalogue, MetricsError};
use crate::engine::alert::{Action, Reason};
use crate::engine::census::{Counts, Standing};
use crate::engine::effects::RuleTally;
use crate::rules::program::{Mode, Program, Rate, Rule, Severity};

/// Label of rules beyond the budget of series.
const OTHER: &str = "_other";

const REPORTED_FIRST: &str =
    "Opened alerts that came after a ticket on the same issue_key, feature_area or integration";
const TIME_TO_DETECT: [f64; 9] = [1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 86_400.0, 604_800.0];

/// Counters and gauges per rule.
#[derive(Debug)]
pub struct Trigger {
    evaluations: IntCounterVec,
    activations: IntCounterVec,
    suppressed: IntCounterVec,
    merged: IntCounterVec,
    alerts: IntCounterVec,
    entities: IntGaugeVec,
    open_alerts: IntGaugeVec,
    peak: PeakHistogram,
    time_to_detect: HistogramVec,
    respond_by_missed: IntCounterVec,
    reported_first: IntCounterVec,
    threshold: GaugeVec,
    budget: GaugeVec,
    info: IntGaugeVec,
    max_rules: usize,
    known: Mutex<Known>,
}

/// Which rules have a label of their own, and what each task says of them.
#[derive(Debug, Default)]
struct Known {
    rules: BTreeSet<Box<str>>,
    /// Whether more rules are active than have a label.
    overflow: bool,
    tasks: BTreeMap<u16, BTreeMap<Box<str>, Counts>>,
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

/// The states of `entities`, and how many entities are in each: all judged ones are eligible, the others are some of them.
fn states(counts: &Counts) -> [(&'static str, u64); 5] {
    [
        ("eligible", counts.eligible()),
        ("warming", counts.at(Standing::Warming)),
        ("pending", counts.at(Standing::Pending)),
        ("waiting", counts.at(Standing::Waiting)),
        ("firing", counts.at(Standing::Firing)),
    ]
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
            entities: catalogue.whole_gauges(
                &name("entities"),
                &["rule", "state"],
                "Entities that the rule has judged (eligible), and those of them that are warming (window or history too \
                 young), pending (`for` not over), waiting (withheld by a gate that may lift), firing (in an open alert)",
            )?,
            open_alerts: catalogue.whole_gauges(
                &name("open_alerts"),
                &["rule", "severity"],
                "Alerts that are firing or acknowledged, by the rule that leads",
            )?,
            peak: PeakHistogram::register(catalogue, &name("peak_threshold_ratio"))?,
            time_to_detect: catalogue.histograms(
                &name("time_to_detect_seconds"),
                rule,
                "From onset (event time) to detection (journal time) of opened alerts",
                &TIME_TO_DETECT,
            )?,
            respond_by_missed: catalogue.counters(
                &name("respond_by_missed_total"),
                rule,
                "Alerts still open and unanswered when their `respond_by` passed",
            )?,
            reported_first: catalogue.counters(&name("customer_reported_first_total"), rule, REPORTED_FIRST)?,
            threshold: catalogue.gauges(
                &name("threshold"),
                &["rule", "condition"],
                "Lowest threshold of a condition, in the condition's unit",
            )?,
            budget: catalogue.gauges(
                &name("budget_alerts_per_day"),
                &["rule", "bound"],
                "Alerts a day that the rule expects, by bound (min, max); budgets that are shares have none",
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
        let overflow = program.rules.len() > rules.len();
        if known.overflow && !overflow {
            self.forget(OTHER);
        }
        known.overflow = overflow;
        known.rules = rules;
        self.info.reset();
        self.threshold.reset();
        self.budget.reset();
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
        self.respond_by_missed.with_label_values(&[label]);
        self.reported_first.with_label_values(&[label]);
        self.peak.announce(label);
        for reason in reasons() {
            self.suppressed.with_label_values(&[label, reason.name()]);
        }
        for action in Action::ALL {
            self.alerts.with_label_values(&[label, action.name()]);
        }
        for severity in Severity::ALL {
            self.open_alerts.with_label_values(&[label, severity.name()]);
        }
        for (state, _) in states(&Counts::default()) {
            self.entities.with_label_values(&[label, state]);
        }
        if label == OTHER {
            return;
        }
        self.info
            .with_label_values(&[label, &*rule.version, mode(rule), rule.severity.name(), &*rule.family])
            .set(1);
        for condition in &rule.conditions {
            if let Some(rung) = condition.detector.rungs().first() {
                let limit = rung.limit.to_f64();
                self.threshold.with_label_values(&[label, &*condition.name]).set(limit);
            }
        }
        let bounds = rule.budget.map(|budget| [("min", budget.min), ("max", budget.max)]);
        for (bound, rate) in bounds.into_iter().flatten() {
            if let Some(Rate::PerDay(rate)) = rate {
                self.budget.with_label_values(&[label, bound]).set(rate.to_f64());
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
        let _ = self.respond_by_missed.remove_label_values(&[rule]);
        let _ = self.reported_first.remove_label_values(&[rule]);
        self.peak.forget(rule);
        for reason in reasons() {
            let _ = self.suppressed.remove_label_values(&[rule, reason.name()]);
        }
        for action in Action::ALL {
            let _ = self.alerts.remove_label_values(&[rule, action.name()]);
        }
        for severity in Severity::ALL {
            let _ = self.open_alerts.remove_label_values(&[rule, severity.name()]);
        }
        for (state, _) in states(&Counts::default()) {
            let _ = self.entities.remove_label_values(&[rule, state]);
        }
    }

    pub(super) fn apply(&self, tallies: &[RuleTally], program: &Program) {
        let known = self.known();
        for (tally, rule) in tallies.iter().zip(&program.rules) {
            let label = Self::label(&known, &rule.id);
            self.evaluations.with_label_values(&[label, mode(rule)]).inc_by(tally.evaluations);
            if *tally == (RuleTally { evaluations: tally.evaluations, ..RuleTally::default() }) {
                continue;
            }
            self.activations.with_label_values(&[label, mode(rule)]).inc_by(tally.activations);
            self.merged.with_label_values(&[label]).inc_by(tally.merged);
            self.respond_by_missed.with_label_values(&[label]).inc_by(tally.respond_by_missed);
            self.reported_first.with_label_values(&[label]).inc_by(tally.reported_first);
            self.peak.add(label, &tally.peaks);
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

    /// Says where a task's entities stand with each rule; replaces what it said before.
    pub fn set_task<'a>(&self, task: u16, census: impl Iterator<Item = (&'a Rule, Counts)>) {
        let mut known = self.known();
        let mut own: BTreeMap<Box<str>, Counts> = BTreeMap::new();
        for (rule, counts) in census {
            own.entry(Self::label(&known, &rule.id).into()).or_default().add(&counts);
        }
        if known.tasks.get(&task) != Some(&own) {
            known.tasks.insert(task, own);
            self.publish(&known);
        }
    }

    /// Forgets a task that is no longer ours.
    pub fn forget_task(&self, task: u16) {
        let mut known = self.known();
        known.tasks.remove(&task);
        self.publish(&known);
    }

    fn publish(&self, known: &Known) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let other = known.overflow.then_some(OTHER);
        for rule in known.rules.iter().map(|rule| &**rule).chain(other) {
            let mut total = Counts::default();
            known.tasks.values().filter_map(|task| task.get(rule)).for_each(|counts| total.add(counts));
            for (severity, count) in Severity::ALL.into_iter().zip(total.open) {
                self.open_alerts.with_label_values(&[rule, severity.name()]).set(whole(count));
            }
            for (state, count) in states(&total) {
                self.entities.with_label_values(&[rule, state]).set(whole(count));
            }
        }
    }
}
