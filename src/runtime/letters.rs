//! Dead letters: the record as it came, and beside it in headers where it came from and what was wrong (`contracts.md` §6).

use super::dead_headers::{ATTEMPT, deaths};
use super::sink::{Outgoing, Sink, SinkError};
use super::source::Record;
use crate::config::HeaderDialect;
use crate::event::Timestamp;
use crate::intake::DeadLetter;

/// Who writes dead letters, and how.
#[derive(Debug, Clone)]
pub struct LetterWriter {
    /// The topic that they go to.
    pub topic: String,
    /// How their headers are named.
    pub dialect: HeaderDialect,
    /// Who we are.
    pub instance: String,
}

/// A record that can't be used, and why.
#[derive(Debug)]
pub struct Failed<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Its topic.
    pub topic: &'a str,
    /// Why.
    pub letter: &'a DeadLetter,
    /// When it failed.
    pub now: Timestamp,
}

impl LetterWriter {
    /// Sends a record there.
    ///
    /// # Errors
    /// If the sink fails.
    pub fn send(
        &self,
        token: u64,
        failed: &Failed<'_>,
        sink: &mut (impl Sink + ?Sized),
    ) -> Result<(), SinkError> {
        let record = failed.record;
        let own = self.headers(failed);
        let mut headers: Vec<(&str, &[u8])> = (0..).map_while(|place| record.headers.header(place)).collect();
        headers.extend(own.iter().map(|(name, value)| (*name, value.as_slice())));
        sink.send(Outgoing {
            topic: &self.topic,
            partition: None,
            key: record.key,
            value: record.value,
            headers: &headers,
            token,
        })
    }

    fn headers(&self, failed: &Failed<'_>) -> Vec<(&'static str, Vec<u8>)> {
        let Failed { record, topic, letter, now, .. } = failed;
        let text = |text: &str| text.as_bytes().to_vec();
        let number = |number: i64| number.to_string().into_bytes();
        let reason = letter.reason.name();
        let mut headers = match self.dialect {
            HeaderDialect::Streams => vec![
                ("__streams.errors.exception", text(reason)),
                ("__streams.errors.message", text(&letter.detail)),
                ("__streams.errors.stacktrace", text(&letter.detail)),
                ("__streams.errors.topic", text(topic)),
                ("__streams.errors.partition", number(i64::from(record.partition))),
                ("__streams.errors.offset", number(record.offset)),
            ],
            HeaderDialect::Connect => vec![
                ("__connect.errors.topic", text(topic)),
                ("__connect.errors.partition", number(i64::from(record.partition))),
                ("__connect.errors.offset", number(record.offset)),
                ("__connect.errors.connector.name", text("forewarn")),
                ("__connect.errors.task.id", text(&self.instance)),
                ("__connect.errors.stage", text(letter.stage.name())),
                ("__connect.errors.class.name", text("forewarn")),
                ("__connect.errors.exception.class.name", text(reason)),
                ("__connect.errors.exception.message", text(&letter.detail)),
                ("__connect.errors.exception.stacktrace", text(&letter.detail)),
            ],
            // Spring writes numbers as big-endian integers.
            HeaderDialect::Spring => vec![
                ("kafka_dlt-original-topic", text(topic)),
                ("kafka_dlt-original-partition", record.partition.to_be_bytes().to_vec()),
                ("kafka_dlt-original-offset", record.offset.to_be_bytes().to_vec()),
                ("kafka_dlt-original-timestamp", record.timestamp.0.to_be_bytes().to_vec()),
                ("kafka_dlt-exception-fqcn", text(reason)),
                ("kafka_dlt-exception-message", text(&letter.detail)),
                ("kafka_dlt-exception-stacktrace", text(&letter.detail)),
            ],
        };
        headers.extend([
            ("forewarn.errors.stage", text(letter.stage.name())),
            ("forewarn.errors.reason", text(reason)),
            ("forewarn.errors.kind", text(letter.kind.name())),
            ("forewarn.errors.mapping", text(letter.mapping.as_deref().unwrap_or(""))),
            ("forewarn.errors.instance", text(&self.instance)),
            (ATTEMPT, number(i64::from(deaths(record.headers)) + 1)),
            ("forewarn.errors.timestamp", text(&now.to_string())),
            ("forewarn.errors.version", text(env!("CARGO_PKG_VERSION"))),
        ]);
        headers
    }
}
