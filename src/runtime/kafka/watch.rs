//! What the clients report of themselves, for the metrics: requests that brokers hold back, records that can't be written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use serde::Deserialize;
use tracing::warn;

use crate::runtime::metrics::{Metrics, ProduceError};

/// Where one client's reports go; nowhere, if nobody counts.
#[derive(Debug, Default)]
pub(super) struct Watch {
    metrics: Option<Arc<Metrics>>,
    client: String,
}

/// The part of librdkafka's statistics that is read.
#[derive(Debug, Deserialize)]
struct Statistics {
    brokers: BTreeMap<String, Broker>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    throttle: Option<Window>,
}

/// How long requests were held back since the last report, ms.
#[derive(Debug, Deserialize)]
struct Window {
    max: i64,
}

impl Watch {
    /// The reports of a new client; `role` says what it does.
    pub(super) fn new(metrics: Option<Arc<Metrics>>, role: &str) -> Self {
        static CLIENTS: AtomicU64 = AtomicU64::new(0);
        let client = format!("{role}-{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
        Self { metrics, client }
    }

    /// Takes in the client's statistics.
    pub(super) fn statistics(&self, json: &[u8]) {
        let Some(metrics) = &self.metrics else { return };
        match longest_throttle(json) {
            Ok(time) => metrics.pipeline.throttled(&self.client, Some(time)),
            Err(error) => warn!(%error, "the statistics of a client can't be read"),
        }
    }

    /// Counts a record that could not be written.
    pub(super) fn lost(&self, topic: &str, error: &KafkaError) {
        if let Some(metrics) = &self.metrics {
            metrics.pipeline.produce_error(topic, reason(error));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.pipeline.throttled(&self.client, None);
        }
    }
}

fn longest_throttle(json: &[u8]) -> serde_json::Result<Duration> {
    let statistics: Statistics = serde_json::from_slice(json)?;
    let longest =
        statistics.brokers.into_values().filter_map(|broker| broker.throttle).map(|own| own.max).max();
    Ok(Duration::from_millis(longest.unwrap_or(0).max(0).unsigned_abs()))
}

fn reason(error: &KafkaError) -> ProduceError {
    match error.rdkafka_error_code() {
        Some(Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut) => {
            ProduceError::Timeout
        }
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => ProduceError::Fenced,
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => ProduceError::TooLarge,
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed,
        ) => ProduceError::Denied,
        _ => ProduceError::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::{Watch, longest_throttle};
    use crate::runtime::metrics::Metrics;

    #[test]
    fn the_longest_wait_of_any_broker_counts_while_the_client_lives() {
        let json = br#"{"name":"c","brokers":{
            "a":{"nodeid":1,"throttle":{"min":0,"max":120,"avg":7}},
            "b":{"throttle":{"max":30}},
            "bootstrap":{}}}"#;
        assert_eq!(longest_throttle(json).unwrap(), Duration::from_millis(120));
        let metrics = Arc::new(Metrics::new(25).unwrap());
        let shown =
            |value: &str| metrics.render().unwrap().contains(&format!("kafka_throttle_seconds {value}\n"));
        let watch = Watch::new(Some(Arc::clone(&metrics)), "journal");
        watch.statistics(json);
        assert!(shown("0.12"));
        drop(watch);
        assert!(shown("0"));
    }

    #[test]
    fn errors_are_counted_by_topic_and_reason() {
        let metrics = Arc::new(Metrics::new(25).unwrap());
        let watch = Watch::new(Some(Arc::clone(&metrics)), "output");
        watch.lost("risk.alerts", &KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge));
        let line = r#"forewarn_produce_errors_total{reason="too_large",topic="risk.alerts"} 1"#;
        assert!(metrics.render().unwrap().contains(line));
    }
}
