//! The configuration: `forewarn.yaml`, the environment and flags, checked into a [`Config`] that can't be wrong.
//!
//! Pure: who calls reads the files and the environment. All mistakes are told at once, with their places. The reference
//! file `docs/config.reference.yaml` is the lowest layer, so every default stands there and nowhere else.

mod layers;
mod read;
mod show;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use layers::Layers;
pub use text::{Lookup, Secret};

use crate::document::Mistakes;
use crate::event::Kind;

/// Every option with its default, as users read it.
pub const REFERENCE: &str = include_str!("../../docs/config.reference.yaml");

/// Properties of librdkafka that the design fixes; the operator may not set them.
pub const RESERVED: [&str; 24] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "request.required.acks",
    "retries",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// A valid configuration. The reference file says what each option means.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Config {
    pub application_id: String,
    pub instance: String,
    pub kafka: Kafka,
    pub topics: Topics,
    pub sources: Vec<Source>,
    pub max_skew: Duration,
    pub roles: Roles,
    pub threads: Threads,
    pub journal: Journal,
    pub delivery: Delivery,
    pub state: State,
    /// Where schemas come from; `None` where neither a registry nor a folder is named.
    pub registry: Option<Registry>,
    pub http: Http,
    pub dlq: DeadLetters,
    pub metrics: Metrics,
    pub logs: Logs,
    pub shutdown: Duration,
}

/// Properties of librdkafka; values may be secrets.
pub type Properties = BTreeMap<String, Secret>;

/// How to reach the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub session_timeout: Duration,
    pub properties: Properties,
    pub consumer: Properties,
    pub producer: Properties,
    pub admin: Properties,
}

/// Names of the topics of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Topics {
    pub journal: String,
    pub changelog: String,
    pub dead_letters: String,
    pub alerts: String,
    pub alerts_state: String,
    pub decisions: String,
    pub health: String,
}

/// How a source's values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Avro where a schema is named, else JSON.
    Auto,
    /// JSON objects.
    Json,
    /// Avro, with a schema id in front or in a header.
    Avro,
}

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Source {
    pub topic: String,
    pub kind: Kind,
    pub format: Format,
    pub lateness: Duration,
    pub environments: Vec<String>,
    pub exclude: Vec<String>,
}

/// What the process does; at least one is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It reads sources and writes the journal.
    pub intake: bool,
    /// It reads the journal and writes alerts.
    pub detect: bool,
}

/// Worker threads by role, 1 to 256 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Threads {
    pub intake: usize,
    pub detect: usize,
}

/// The journal's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Journal {
    pub partitions: u16,
    pub linger: Duration,
    pub frame_bytes: usize,
}

/// How alerts are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// In one transaction with the position.
    ExactlyOnce,
    /// Acknowledged before the position; repeats carry the same ids.
    AtLeastOnce,
}

/// Where rows live.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct State {
    pub path: PathBuf,
    pub hot_bytes: usize,
    pub checkpoint: Duration,
    pub changelog: Duration,
    pub recovery: Duration,
}

/// Where schemas come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// A registry that speaks the Confluent API.
    Url {
        /// Its base address.
        url: String,
        /// User and password of basic authentication.
        login: Option<(Secret, Secret)>,
        /// Longest wait for an answer.
        timeout: Duration,
    },
    /// A folder of `<id>.avsc` files.
    Directory(PathBuf),
}

/// The operator's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Http {
    pub listen: SocketAddr,
}

/// Names of the headers that say where a dead letter came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the dialects of operations: Kafka Streams, Kafka Connect, Spring Kafka")]
pub enum HeaderDialect {
    Streams,
    Connect,
    Spring,
}

/// When bad records stop intake.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeadLetters {
    /// Share of bad records, 0 to 1.
    pub max_ratio: f64,
    /// Bad records in a row.
    pub max_consecutive: u32,
    /// Names of the headers.
    pub headers: HeaderDialect,
}

/// Budgets of the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Metrics {
    pub max_rules: usize,
    pub issues: Vec<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line: `timestamp level target message …`.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/config.reference.yaml documents every option once")]
pub struct Logs {
    pub format: LogFormat,
    pub level: String,
}

impl Config {
    /// Reads the layers into a configuration.
    ///
    /// # Errors
    /// All mistakes of all layers, each with its place.
    pub fn load(layers: &Layers<'_>) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let merged = layers.merge(&mut mistakes);
        let read = merged.and_then(|merged| read::config(&merged, layers.lookup, &mut mistakes));
        match read {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes),
        }
    }

    /// The merged layers as YAML: references as they were written, secrets hidden.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn show(layers: &Layers<'_>) -> Result<String, Mistakes> {
        Self::load(layers)?;
        let mut mistakes = Mistakes::default();
        let merged = layers.merge(&mut mistakes).ok_or(mistakes)?;
        Ok(show::yaml(&merged))
    }
}
