//! Alerts, decisions and health as records: JSON values, `CloudEvents` attributes in headers (`contracts.md` §5).

use crate::engine::alert::{Alert, Decision};
use crate::engine::effects::{Forward, HealthRecord};
use crate::event::record::to_json;
use crate::runtime::sink::{Outgoing, Sink, SinkError};

/// Where they go.
#[derive(Debug, Clone)]
pub struct OutputTopics {
    /// Every revision of every alert, by entity.
    pub alerts: String,
    /// The newest revision of each open alert.
    pub alerts_state: String,
    /// Decisions about activations.
    pub decisions: String,
    /// The newest score of each account's health.
    pub health: String,
}

const JSON: (&str, &[u8]) = ("content-type", b"application/json");

/// Publishes a revision; the compacted state follows it, until the revision that closes the alert removes it.
///
/// # Errors
/// If the sink fails.
pub(super) fn publish_alert(
    alert: &Alert,
    topics: &OutputTopics,
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    let value = to_json(&alert.data);
    let named: Vec<(String, &[u8])> =
        alert.attributes.iter().map(|(name, value)| (format!("ce_{name}"), value.as_bytes())).collect();
    let mut headers = vec![JSON];
    headers.extend(named.iter().map(|(name, value)| (name.as_str(), *value)));
    let record = Outgoing {
        topic: &topics.alerts,
        partition: None,
        key: Some(alert.key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &headers,
        token: 0,
    };
    sink.send(record)?;
    let kept = if alert.closes { (None, [].as_slice()) } else { (record.value, headers.as_slice()) };
    sink.send(Outgoing {
        topic: &topics.alerts_state,
        key: Some(alert.dedup_key.as_bytes()),
        value: kept.0,
        headers: kept.1,
        ..record
    })
}

/// Sends a record to a journal partition.
///
/// # Errors
/// If the sink fails.
pub(super) fn publish_forward(
    forward: &Forward,
    journal: &str,
    sink: &mut dyn Sink,
) -> Result<(), SinkError> {
    sink.send(Outgoing {
        topic: journal,
        partition: Some(i32::from(forward.partition)),
        key: None,
        value: Some(&forward.value),
        headers: &[],
        token: 0,
    })
}

/// Publishes a decision.
///
/// # Errors
/// If the sink fails.
pub(super) fn publish_decision(
    decision: &Decision,
    topics: &OutputTopics,
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    sink.send(Outgoing {
        topic: &topics.decisions,
        partition: None,
        key: Some(decision.key.as_bytes()),
        value: Some(to_json(&decision.data).as_bytes()),
        headers: &[JSON],
        token: 0,
    })
}

/// Publishes a score of an account's health.
///
/// # Errors
/// If the sink fails.
pub(super) fn publish_health(
    record: &HealthRecord,
    topics: &OutputTopics,
    sink: &mut impl Sink,
) -> Result<(), SinkError> {
    sink.send(Outgoing {
        topic: &topics.health,
        partition: None,
        key: Some(record.key.as_bytes()),
        value: Some(to_json(&record.data).as_bytes()),
        headers: &[JSON],
        token: 0,
    })
}
