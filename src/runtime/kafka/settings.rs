//! librdkafka's properties: what the design fixes, what the operator may say.
//!
//! Whatever correctness leans on is written out here, whether or not it is a default of the client's version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::watch::Watch;
use crate::config::{Config, Properties};
use crate::runtime::metrics::Metrics;

/// How to reach the cluster, and who we are to it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Prefix of every group, internal topic and transactional id.
    pub application_id: String,
    /// This process among those of the application; stable over restarts, or a restart waits for the session to end.
    pub instance: String,
    /// How long a member may be silent before its partitions go to others.
    pub session_timeout: Duration,
    /// The operator's properties for every client.
    pub properties: BTreeMap<String, String>,
    /// For consumers besides.
    pub consumer: BTreeMap<String, String>,
    /// For producers besides.
    pub producer: BTreeMap<String, String>,
    /// For the admin client besides.
    pub admin: BTreeMap<String, String>,
    /// Where its clients count what they report.
    pub metrics: Option<Arc<Metrics>>,
}

/// The consumer groups of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Readers of source topics.
    Intake,
    /// Readers of the journal.
    Detect,
}

impl Group {
    /// Last part of the group's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Detect => "detect",
        }
    }
}

/// Largest record that we write: a source's largest (1 MiB by default) and what a dead letter adds to it.
pub(super) const MAX_RECORD_BYTES: &str = "2097152";

/// How often clients report, ms.
const STATISTICS_MS: &str = "5000";

impl Connection {
    /// A connection without properties of the operator's.
    #[must_use]
    pub fn new(bootstrap_servers: &str, application_id: &str, instance: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            application_id: application_id.to_owned(),
            instance: instance.to_owned(),
            session_timeout: Duration::from_secs(120),
            properties: BTreeMap::new(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
            admin: BTreeMap::new(),
            metrics: None,
        }
    }

    /// The connection that a configuration describes.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let revealed = |properties: &Properties| {
            properties.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect()
        };
        Self {
            bootstrap_servers: config.kafka.bootstrap_servers.clone(),
            application_id: config.application_id.clone(),
            instance: config.instance.clone(),
            session_timeout: config.kafka.session_timeout,
            properties: revealed(&config.kafka.properties),
            consumer: revealed(&config.kafka.consumer),
            producer: revealed(&config.kafka.producer),
            admin: revealed(&config.kafka.admin),
            metrics: None,
        }
    }

    /// What a new client reports, counted.
    pub(super) fn watch(&self, role: &str) -> Watch {
        Watch::new(self.metrics.clone(), role)
    }

    /// The name of a consumer group.
    #[must_use]
    pub fn group_id(&self, group: Group) -> String {
        format!("{}-{}", self.application_id, group.name())
    }

    fn base(&self, role: &str, own: &BTreeMap<String, String>, fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.properties.iter().chain(own) {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("client.id", format!("{}-{}-{role}", self.application_id, self.instance));
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    /// Sets what the operator may override.
    fn preset(config: &mut ClientConfig, presets: &[(&str, &str)]) {
        for (name, value) in presets {
            if config.get(name).is_none() {
                config.set(*name, *value);
            }
        }
    }

    /// A member of a group.
    pub(super) fn consumer(&self, group: Group, thread: usize) -> ClientConfig {
        let session = self.session_timeout.as_millis().to_string();
        let mut config = self.base(
            group.name(),
            &self.consumer,
            &[
                ("group.id", &self.group_id(group)),
                ("group.instance.id", &format!("{}-{}-{thread}", self.instance, group.name())),
                ("group.protocol", "classic"),
                ("partition.assignment.strategy", "range"),
                ("session.timeout.ms", &session),
                // On the journal too, though it holds no transactions: only so does the client ask for offsets that no
                // transaction is about to change. Without it a member that takes over may find those before the last
                // commit, and publish again what that commit published.
                ("isolation.level", "read_committed"),
                // Offsets that are gone must be noticed, not skipped: where to begin is always said.
                ("auto.offset.reset", "error"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("enable.partition.eof", "false"),
            ],
        );
        Self::preset(
            &mut config,
            &[
                // The default of a second leaves a fast reader waiting whenever its queue was full for a moment.
                ("fetch.queue.backoff.ms", "5"),
                // By default the broker answers for every record that comes: some thousand answers a second, which cost
                // more than what they carry. This wait is part of every alert's delay.
                ("fetch.min.bytes", "65536"),
                ("fetch.wait.max.ms", "15"),
                ("queued.min.messages", "50000"),
                ("queued.max.messages.kbytes", "16384"),
                ("topic.metadata.refresh.interval.ms", "30000"),
                ("statistics.interval.ms", STATISTICS_MS),
            ],
        );
        config
    }

    /// A reader outside of all groups.
    pub(super) fn reader(&self) -> ClientConfig {
        self.base(
            "reader",
            &self.consumer,
            &[
                // The client wants a name of a group, though nothing is committed for it.
                ("group.id", &format!("{}-reader", self.application_id)),
                ("isolation.level", "read_committed"),
                ("auto.offset.reset", "error"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("enable.partition.eof", "false"),
            ],
        )
    }

    /// A reader outside of all groups that is to read a whole partition.
    pub(super) fn rows_reader(&self) -> ClientConfig {
        let mut config = self.reader();
        Self::preset(
            &mut config,
            &[
                ("fetch.queue.backoff.ms", "5"),
                ("queued.min.messages", "100000"),
                ("queued.max.messages.kbytes", "8192"),
                ("max.partition.fetch.bytes", "2097152"),
            ],
        );
        config
    }

    fn producer(&self, role: &str, fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.base(role, &self.producer, fixed);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("partitioner", "murmur2_random");
        Self::preset(
            &mut config,
            &[
                ("compression.codec", "lz4"),
                ("message.max.bytes", MAX_RECORD_BYTES),
                // A gigabyte by default.
                ("queue.buffering.max.kbytes", "65536"),
                ("statistics.interval.ms", STATISTICS_MS),
            ],
        );
        config
    }

    /// A writer without transactions: every record is retried until it is written, in order, without gaps.
    pub(super) fn plain_producer(&self, role: &str) -> ClientConfig {
        let mut config = self.producer(
            role,
            &[
                ("enable.gapless.guarantee", "true"),
                // The guarantee does not cover time-outs, so there must be none.
                ("message.timeout.ms", "0"),
            ],
        );
        Self::preset(&mut config, &[("linger.ms", "5")]);
        config
    }

    /// A writer of transactions. Its time-out ends before the session: else a member that took over could read, while the
    /// transaction of its predecessor is still open.
    pub(super) fn transactional_producer(&self, thread: usize) -> ClientConfig {
        let timeout = self.transaction_timeout().as_millis().to_string();
        let mut config = self.producer(
            "output",
            &[
                ("transactional.id", &format!("{}-{}-{thread}", self.application_id, self.instance)),
                ("transaction.timeout.ms", &timeout),
                ("message.timeout.ms", &timeout),
            ],
        );
        // A transaction is handed over whole: there is nothing to wait for.
        Self::preset(
            &mut config,
            &[
                ("linger.ms", "0"),
                // A transaction that begins while the broker still closes the last one is told to come again: soon.
                ("retry.backoff.ms", "5"),
            ],
        );
        config
    }

    /// How long a transaction of the changelog may take: it holds all rows that changed since the last one.
    pub(super) const ROWS_TIMEOUT: Duration = Duration::from_secs(600);

    /// A writer of the changelog's transactions. Its id belongs to the partition, whoever owns it.
    pub(super) fn rows_producer(&self, partition: i32) -> ClientConfig {
        let timeout = Self::ROWS_TIMEOUT.as_millis().to_string();
        let mut config = self.producer(
            "changelog",
            &[
                ("transactional.id", &format!("{}-changelog-{partition}", self.application_id)),
                ("transaction.timeout.ms", &timeout),
                ("message.timeout.ms", &timeout),
            ],
        );
        Self::preset(&mut config, &[("linger.ms", "20")]);
        config
    }

    /// How long a transaction may stay open.
    pub(super) fn transaction_timeout(&self) -> Duration {
        Duration::from_secs(60).min(self.session_timeout * 2 / 3)
    }

    /// The client that makes and describes topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.base("admin", &self.admin, &[])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Connection, Group};
    use crate::config::RESERVED;

    fn connection() -> Connection {
        Connection::new("broker:9092", "risk-eu-1", "pod-0")
    }

    #[test]
    fn what_is_fixed_is_reserved() {
        let connection = connection();
        let fixed = [
            connection.consumer(Group::Detect, 1),
            connection.plain_producer("journal"),
            connection.transactional_producer(1),
            connection.admin(),
            connection.reader(),
            connection.rows_reader(),
            connection.rows_producer(1),
        ];
        let presets = [
            "fetch.queue.backoff.ms",
            "fetch.min.bytes",
            "fetch.wait.max.ms",
            "queued.min.messages",
            "queued.max.messages.kbytes",
            "max.partition.fetch.bytes",
            "topic.metadata.refresh.interval.ms",
            "statistics.interval.ms",
            "compression.codec",
            "message.max.bytes",
            "queue.buffering.max.kbytes",
            "linger.ms",
            "retry.backoff.ms",
        ];
        for config in fixed {
            for name in config.config_map().keys() {
                assert!(RESERVED.contains(name) || presets.contains(name), "{name} can be overridden");
            }
        }
    }

    #[test]
    fn the_operators_properties_reach_every_client_but_cannot_undo_the_design() {
        let mut connection = connection();
        connection.properties.insert("security.protocol".to_owned(), "ssl".to_owned());
        connection.properties.insert("group.id".to_owned(), "mine".to_owned());
        connection.consumer.insert("fetch.queue.backoff.ms".to_owned(), "50".to_owned());
        let consumer = connection.consumer(Group::Intake, 2);
        assert_eq!(consumer.get("security.protocol"), Some("ssl"));
        assert_eq!(consumer.get("group.id"), Some("risk-eu-1-intake"));
        assert_eq!(consumer.get("group.instance.id"), Some("pod-0-intake-2"));
        assert_eq!(consumer.get("fetch.queue.backoff.ms"), Some("50"));
        assert_eq!(consumer.get("isolation.level"), Some("read_committed"));
        assert_eq!(connection.consumer(Group::Detect, 0).get("isolation.level"), Some("read_committed"));
        assert_eq!(connection.transactional_producer(2).get("transactional.id"), Some("risk-eu-1-pod-0-2"));
    }

    #[test]
    fn a_transaction_ends_before_its_session() {
        let mut connection = connection();
        assert_eq!(connection.transaction_timeout(), Duration::from_secs(60));
        connection.session_timeout = Duration::from_secs(6);
        assert_eq!(connection.transaction_timeout(), Duration::from_secs(4));
    }
}
