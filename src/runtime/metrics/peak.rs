//! `peak_threshold_ratio`: a histogram that takes in the observations of a whole day at once, millions at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{Catalogue, MetricsError};
use crate::engine::peaks::{EDGES, ONE, PeakDay};

const HELP: &str = "Each eligible entity's highest ratio of value to threshold on a UTC day of journal time, counted at the \
                    day's end; the share above m would fire at m times the threshold. Entities that were not judged that \
                    day count as 0";

/// The histogram, by rule.
#[derive(Debug, Clone)]
pub(super) struct PeakHistogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    desc: Desc,
    rules: Mutex<BTreeMap<Box<str>, PeakDay>>,
}

impl PeakHistogram {
    /// # Errors
    /// If the name is malformed or taken.
    pub(super) fn register(catalogue: &mut Catalogue, name: &str) -> Result<Self, MetricsError> {
        let desc = Desc::new(name.to_owned(), HELP.to_owned(), vec!["rule".to_owned()], HashMap::new())?;
        let own = Self(Arc::new(Inner { name: name.to_owned(), desc, rules: Mutex::default() }));
        catalogue.add_histogram((name, HELP), &["rule"], &EDGES, own)
    }

    fn rules(&self) -> MutexGuard<'_, BTreeMap<Box<str>, PeakDay>> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a rule's series exist.
    pub(super) fn announce(&self, rule: &str) {
        self.rules().entry(rule.into()).or_default();
    }

    /// Removes a rule's series.
    pub(super) fn forget(&self, rule: &str) {
        self.rules().remove(rule);
    }

    /// Takes in the peaks of days that ended.
    pub(super) fn add(&self, rule: &str, ended: &PeakDay) {
        if ended.entities() > 0 {
            self.rules().entry(rule.into()).or_default().add(ended);
        }
    }
}

/// A rule's histogram in the form of the exposition.
fn metric(rule: &str, peaks: &PeakDay) -> Metric {
    let mut count = 0;
    let mut buckets = Vec::with_capacity(EDGES.len());
    for (edge, entities) in EDGES.iter().zip(peaks.buckets) {
        count += entities;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*edge);
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(peaks.entities());
    #[expect(clippy::cast_precision_loss, reason = "a sum of ratios")]
    histogram.set_sample_sum(peaks.sum as f64 / f64::from(ONE));
    histogram.set_bucket(buckets);
    let mut label = LabelPair::default();
    label.set_name("rule".to_owned());
    label.set_value(rule.to_owned());
    let mut metric = Metric::from_label(vec![label]);
    metric.set_histogram(histogram);
    metric
}

impl Collector for PeakHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.name.clone());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(self.rules().iter().map(|(rule, peaks)| metric(rule, peaks)).collect());
        vec![family]
    }
}
