//! Metrics: every name, label and bucket of `contracts.md` §8 that this build publishes.
//!
//! One [`Metrics`] a process, shared by all workers. Counters count committed effects only. Labels are closed sets, and
//! nothing that can be lost (a partition, a rule, a task) leaves a stale value behind.

mod helpdesk;
mod labels;
mod peak;
mod pipeline;
mod process;
mod trigger;

use std::fmt::Write as _;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use helpdesk::Helpdesk;
pub use labels::{AppState, Group, Journaled, ProduceError, Stage, StateBytes, Transacted};
pub use pipeline::{Pipeline, Task};
pub use trigger::Trigger;

use crate::engine::effects::Tally;
use crate::rules::program::Program;

/// Metrics could not be set up: a name is taken or malformed, which is a bug.
#[derive(Debug, thiserror::Error)]
#[error("metrics can't be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// What a metric is, for the reference page.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<&'static str>,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Upper edges of a histogram's buckets.
    pub buckets: Vec<f64>,
}

/// Registers metrics and remembers what they are.
struct Catalogue {
    registry: Registry,
    described: Vec<Description>,
}

impl Catalogue {
    fn add<C: Collector + Clone + 'static>(
        &mut self,
        kind: &'static str,
        (name, help): (&str, &'static str),
        labels: &[&'static str],
        metric: C,
    ) -> Result<C, MetricsError> {
        self.registry.register(Box::new(metric.clone()))?;
        self.described.push(Description {
            name: name.to_owned(),
            kind,
            labels: labels.to_vec(),
            help,
            buckets: Vec::new(),
        });
        Ok(metric)
    }

    fn counters(
        &mut self,
        name: &str,
        labels: &[&'static str],
        help: &'static str,
    ) -> Result<IntCounterVec, MetricsError> {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.add("counter", (name, help), labels, metric)
    }

    fn counter(&mut self, name: &str, help: &'static str) -> Result<IntCounter, MetricsError> {
        let metric = IntCounter::new(name, help)?;
        self.add("counter", (name, help), &[], metric)
    }

    fn gauges(
        &mut self,
        name: &str,
        labels: &[&'static str],
        help: &'static str,
    ) -> Result<GaugeVec, MetricsError> {
        let metric = GaugeVec::new(Opts::new(name, help), labels)?;
        self.add("gauge", (name, help), labels, metric)
    }

    fn whole_gauges(
        &mut self,
        name: &str,
        labels: &[&'static str],
        help: &'static str,
    ) -> Result<IntGaugeVec, MetricsError> {
        let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.add("gauge", (name, help), labels, metric)
    }

    fn gauge(&mut self, name: &str, help: &'static str) -> Result<Gauge, MetricsError> {
        let metric = Gauge::new(name, help)?;
        self.add("gauge", (name, help), &[], metric)
    }

    fn whole_gauge(&mut self, name: &str, help: &'static str) -> Result<IntGauge, MetricsError> {
        let metric = IntGauge::new(name, help)?;
        self.add("gauge", (name, help), &[], metric)
    }

    fn histograms(
        &mut self,
        name: &str,
        labels: &[&'static str],
        help: &'static str,
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
        self.add_histogram((name, help), labels, buckets, metric)
    }

    fn add_histogram<C: Collector + Clone + 'static>(
        &mut self,
        (name, help): (&str, &'static str),
        labels: &[&'static str],
        buckets: &[f64],
        metric: C,
    ) -> Result<C, MetricsError> {
        let metric = self.add("histogram", (name, help), labels, metric)?;
        if let Some(last) = self.described.last_mut() {
            last.buckets = buckets.to_vec();
        }
        Ok(metric)
    }
}

/// All metrics of a process, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    described: Vec<Description>,
    /// Rates of rules: what calibration reads.
    pub trigger: Trigger,
    /// Records, lags, transactions, state: what operation reads.
    pub pipeline: Pipeline,
    helpdesk: Helpdesk,
}

impl Metrics {
    /// Registers everything. At most `max_rules` rules get a label of their own, the others share `_other`; no issue has
    /// one.
    ///
    /// # Errors
    /// If a name is malformed or used twice.
    pub fn new(max_rules: usize) -> Result<Self, MetricsError> {
        Self::with_issues(max_rules, &[])
    }

    /// The same with labels of their own for these issues; all others share `other`.
    ///
    /// # Errors
    /// If a name is malformed or used twice.
    pub fn with_issues(max_rules: usize, issues: &[String]) -> Result<Self, MetricsError> {
        let mut catalogue = Catalogue { registry: Registry::new(), described: Vec::new() };
        let trigger = Trigger::register(&mut catalogue, max_rules)?;
        let helpdesk = Helpdesk::register(&mut catalogue, issues)?;
        let pipeline = Pipeline::register(&mut catalogue)?;
        let Catalogue { registry, described } = catalogue;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        Ok(Self { registry, described, trigger, pipeline, helpdesk })
    }

    /// Adds what a committed run of the engine counted.
    pub fn apply(&self, tally: &Tally, program: &Program) {
        self.pipeline.apply(tally);
        self.helpdesk.apply(&tally.tickets);
        self.trigger.apply(&tally.rules, program);
    }

    /// Makes the series of a rule set exist, at zero, and drops those of rules that are gone.
    pub fn activate(&self, program: &Program) {
        self.trigger.activate(program);
        self.pipeline.set_rule_set(&program.rule_set);
    }

    /// The text exposition format.
    ///
    /// # Errors
    /// If a collected metric is inconsistent.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// All metrics of ours, in the order of the contract.
    #[must_use]
    pub fn described(&self) -> &[Description] {
        &self.described
    }

    /// The reference page `docs/metrics.md`.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut page = String::from(REFERENCE_HEAD);
        for metric in &self.described {
            let Description { name, kind, labels, help, buckets } = metric;
            let labels = labels.join(", ");
            let edges: Vec<String> = buckets.iter().map(f64::to_string).collect();
            let buckets =
                if edges.is_empty() { String::new() } else { format!(" Buckets: {}.", edges.join(" ")) };
            // Writing to a string can't fail.
            let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help}.{buckets} |");
        }
        page.push_str(LATER_HEAD);
        for (feature, names) in LATER {
            let names: Vec<String> = names.iter().map(|name| format!("`forewarn_{name}`")).collect();
            let _ = writeln!(page, "- {feature}: {}", names.join(", "));
        }
        page
    }
}

const REFERENCE_HEAD: &str = "\
# Metrics

Published on `/metrics` in the Prometheus text format, together with the usual `process_*` metrics.
This page is written from the program by a test (`UPDATE_EXPECT=1 cargo test --test it`), so it is always complete.
`deploy/prometheus/rules.yml` has recording rules and alerts, `deploy/grafana` the dashboard.

No label ever holds an account, a user, a ticket or an alert.
Counters count committed effects: silent replay after a crash counts nothing.
A rule's series exist at 0 as soon as the rule is active; beyond `metrics.max_rules` rules share the label `_other`.
Where entities stand, and how near they came today, is part of the state: a restart shows the same numbers.
Two laws hold, and an alert watches each:

- per kind, `forewarn_input_events_total` equals the sum of `forewarn_events_total` over `result`;
- per rule in mode live, `forewarn_trigger_activations_total` equals `forewarn_trigger_alerts_total{action=\"opened\"}`
  plus `forewarn_trigger_suppressed_total` plus `forewarn_trigger_merged_total`.

What the words mean:

- **Ratio** of value to threshold: a rule fires exactly when it is above 1. Integers stand between: at `gte: 5` four events
  are 0.89 and five are 1.11. A guard that fails caps it at 1. Rules of `event` conditions alone have none.
- **Peak**: the highest ratio of an entity on a UTC day of journal time. All entities that a rule has ever judged are counted
  at the day's end. Those that it did not judge that day count as 0: no event came that could have brought them nearer.
  Days without any journal record are no days. Of rules of one absence, whose ratio grows while nothing comes, the days on
  which an entity was silent are counted when it is seen again or the rule fires, whichever comes first.
- **Latency** of an alert: from the oldest source record of the frame that led to it, so up to `journal.linger` too much.
  Alerts that a tick led to (absences, the passing of windows, reminders) have none.
- **Stages** are measured a batch, not a record.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
";

const LATER_HEAD: &str = "
Not published yet, by the feature that they belong to:

";

/// Metrics of the contract that come with features this build lacks.
const LATER: &[(&str, &[&str])] = &[
    (
        "outcomes and controls",
        &[
            "trigger_lead_time_seconds",
            "trigger_outcomes_total",
            "trigger_labels_total",
            "trigger_prevented_total",
            "time_to_triage_seconds",
            "time_to_mitigate_seconds",
            "contacts_total",
            "effort_score",
            "perception_total",
            "losses_total",
        ],
    ),
    ("holdout experiments", &["experiment_entries_total", "experiment_tickets_total"]),
    ("scores of frustration", &["frustration_score"]),
    ("alerts across accounts", &["time_to_detect_seconds"]),
];

#[cfg(test)]
mod tests;
