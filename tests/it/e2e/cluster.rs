//! The broker of the test run, and an application of its own for each test.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_mins(2);
const ASK: Duration = Duration::from_secs(10);

/// An application with topics, configuration and state of its own.
pub struct App {
    pub id: String,
    pub brokers: String,
    pub folder: tempfile::TempDir,
}

/// A running `forewarn run`, killed when dropped.
pub struct Running {
    pub child: Child,
    log: PathBuf,
}

/// A record as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run `make test`"))
}

/// Address of the schema registry of the test run.
pub fn registry() -> String {
    variable("FOREWARN_TEST_REGISTRY")
}

/// Wall time: what happened long ago is withheld as expired, so events of these tests happen now.
#[expect(clippy::disallowed_methods, reason = "events are produced as of now")]
pub fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Asks until `done`, without burning a core.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    let (_keep, never) = mpsc::channel::<()>();
    while !done() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        assert!(never.recv_timeout(Duration::from_millis(20)).is_err());
    }
}

impl App {
    /// Source topics, configuration, our topics, and the rules of this folder applied.
    pub fn new(name: &str, rules: &Path) -> Self {
        let app = Self::without_rules(name);
        app.command(&["apply", "--rules", rules.to_str().unwrap()]);
        app
    }

    /// The same with an empty journal.
    pub fn without_rules(name: &str) -> Self {
        let app = Self {
            id: format!("{name}-{}", std::process::id()),
            brokers: variable("FOREWARN_TEST_BROKERS"),
            folder: tempfile::tempdir().unwrap(),
        };
        for kind in ["usage", "error-log", "billing", "ticket"] {
            app.create_topic(&app.topic(kind), 2);
        }
        app.write_config("forewarn.yaml", "intake, detect", "a", "state", "");
        app.command(&["topics", "create"]);
        app
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a configuration: which roles, which instance, which folder for the state, and the outputs' infix.
    pub fn write_config(&self, file: &str, roles: &str, instance: &str, state: &str, infix: &str) {
        let Self { id, brokers, .. } = self;
        let folder = self.folder.path().display();
        let registry = registry();
        let text = format!(
            "application_id: {id}\n\
             instance: {instance}\n\
             kafka: {{bootstrap_servers: \"{brokers}\", session_timeout: 6s}}\n\
             roles: [{roles}]\n\
             journal: {{partitions: 4}}\n\
             sources:\n\
             - {{topic: {id}-usage, kind: usage}}\n\
             - {{topic: {id}-error-log, kind: error_log}}\n\
             - {{topic: {id}-billing, kind: billing}}\n\
             - {{topic: {id}-ticket, kind: ticket}}\n\
             topics: {{alerts: {id}{infix}-alerts, alerts_state: {id}{infix}-state, \
             decisions: {id}{infix}-decisions, health: {id}{infix}-health}}\n\
             registry: {{url: \"{registry}\"}}\n\
             state: {{path: \"{folder}/{state}\", checkpoint: 1s, changelog: 2s}}\n\
             http: {{listen: \"127.0.0.1:0\"}}\n\
             shutdown: {{timeout: 30s}}\n"
        );
        fs::write(self.path(file), text).unwrap();
    }

    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        // Records of long ago are no less to be read for it: the broker would delete them meanwhile.
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Forgets what a group has committed.
    pub fn delete_group(&self, group: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        until("the group can be deleted", || {
            let results = runtime.block_on(admin.delete_groups(&[group], &AdminOptions::new())).unwrap();
            results.iter().all(Result::is_ok)
        });
    }

    /// Runs a command of the program that must succeed.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("forewarn.yaml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Starts the program with one of the configurations.
    pub fn run(&self, config: &str) -> Running {
        let log = self.path(&format!("{config}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(["run", "--config"])
            .arg(self.path(config))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { child, log }
    }

    /// One of Kafka's own command-line tools, with this on its standard input.
    pub fn kafka_tool(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka.sh");
        let mut child = Command::new(script)
            .arg("tool")
            .arg(class)
            .args(["--bootstrap-server", &self.brokers])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{class}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn producer(&self) -> BaseProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("message.max.bytes", "1048576")
            .create()
            .unwrap()
    }

    /// Sends and waits for the acknowledgements.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = (Option<String>, Vec<u8>, i64)>) {
        let producer = self.producer();
        for (key, value, time) in records {
            let mut record = BaseRecord::<String, Vec<u8>>::to(topic).payload(&value).timestamp(time);
            if let Some(key) = &key {
                record = record.key(key);
            }
            while let Err((error, again)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(Duration::from_millis(5));
                record = again;
            }
        }
        producer.flush(Timeout::After(LIMIT)).unwrap();
    }

    pub fn consumer(&self, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap()
    }

    /// Everything that is committed on a topic, by partition and offset.
    pub fn read_all(&self, topic: &str) -> Vec<Read> {
        let consumer = self.consumer("reader");
        let metadata = consumer.fetch_metadata(Some(topic), ASK).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut open = list.count();
        let mut read = Vec::new();
        while open > 0 {
            match consumer.poll(ASK).expect("nothing more to read") {
                Ok(message) => read.push(Read {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp: message.timestamp().to_millis().unwrap(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message.headers().map_or_else(Vec::new, |headers| {
                        headers
                            .iter()
                            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                            .collect()
                    }),
                }),
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        read.sort_by_key(|record| record.partition);
        read
    }

    /// The committed offsets of a group, by partition. A process that was killed in a transaction keeps them undecided
    /// until the coordinator gives that transaction up, which it looks after every ten seconds.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<i64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let committed = self.consumer(group).committed_offsets(list, LIMIT).unwrap();
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { -1 };
        committed.elements().iter().map(|element| offset(element.offset())).collect()
    }

    /// The next offsets of a topic, by partition.
    pub fn ends(&self, topic: &str, partitions: i32) -> Vec<i64> {
        let consumer = self.consumer("ends");
        (0..partitions).map(|partition| consumer.fetch_watermarks(topic, partition, ASK).unwrap().1).collect()
    }

    /// Waits until intake has committed all that is in a source topic now.
    pub fn wait_intake(&self, topic: &str) {
        let ends = self.ends(topic, 2);
        let group = format!("{}-intake", self.id);
        until("intake catches up", || {
            let committed = self.committed(&group, topic, 2);
            committed.iter().zip(&ends).all(|(committed, end)| committed >= end || *end == 0)
        });
    }

    /// Waits until detect has committed all that is in the journal now.
    pub fn wait_detect(&self) {
        let topic = self.topic("journal");
        let ends = self.ends(&topic, 4);
        let group = format!("{}-detect", self.id);
        until("detect catches up", || {
            self.committed(&group, &topic, 4).iter().zip(&ends).all(|(committed, end)| committed >= end)
        });
    }
}

impl Running {
    /// Kills it at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal: `STOP` pauses it, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Asks it to stop; it must end cleanly.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Waits until it ends by itself; its exit code and log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.and_then(|status| status.code()), self.log())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
