//! The stages of W1, one after the other on one topic.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use forewarn::runtime::kafka::{Connection, Group, KafkaSource};
use forewarn::runtime::source::{Assignment, Source};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use super::process::{Running, until, usage_of};
use super::workload::{self, Accounts, Spread};

const SOURCE_PARTITIONS: i32 = 4;
/// The default.
const JOURNAL_PARTITIONS: i32 = 12;
const ASK: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_mins(15);
/// A coordinator that is not there yet.
const NOT_YET: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::NotCoordinator,
    RDKafkaErrorCode::CoordinatorNotAvailable,
    RDKafkaErrorCode::CoordinatorLoadInProgress,
];
/// Event time of the whole run. It ends now: what is older than a topic's retention is deleted, and alerts on what has
/// expired are withheld.
const SPAN_MS: u64 = 2 * 3_600_000;

/// One way of running the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Intake alone.
    Intake,
    /// Detect alone, on the journal that intake made.
    Detect,
    /// The same with the changelog, which the others leave out.
    Logged,
    /// Both at once, from the source topic to alerts.
    Whole,
}

impl Run {
    const ALL: [Self; 4] = [Self::Intake, Self::Detect, Self::Logged, Self::Whole];

    const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Detect => "detect",
            Self::Logged => "logged",
            Self::Whole => "whole",
        }
    }

    const fn roles(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Detect | Self::Logged => "detect",
            Self::Whole => "intake, detect",
        }
    }
}

/// One topic with its events, and a configuration that reads it.
#[derive(Debug)]
pub struct Bench {
    brokers: String,
    application: String,
    topic: String,
    events: u64,
    folder: tempfile::TempDir,
}

/// What a stage took.
#[derive(Debug)]
pub struct Stage {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: u64,
    pub bytes_per_byte: Option<f64>,
}

impl Bench {
    /// Creates topics, writes events, journals the rules.
    pub fn prepare(brokers: &str, spread: Spread, events: u64, accounts: u32) -> Result<Self> {
        let what = if events == 0 { "latency" } else { spread.name() };
        let application = format!("w1-{what}-{}", std::process::id());
        let bench = Self {
            brokers: brokers.to_owned(),
            topic: format!("{application}-errors"),
            application,
            events,
            folder: tempfile::tempdir()?,
        };
        create_topic(brokers, &bench.topic, SOURCE_PARTITIONS)?;
        let mut accounts = Accounts::new(spread, accounts, 7);
        let producer = producer(brokers)?;
        let mut value = Vec::new();
        let begin = wall_ms()? - i64::try_from(SPAN_MS)?;
        for number in 0..events {
            let account = format!("acct-{:07}", accounts.draw());
            let time = begin + i64::try_from(number * SPAN_MS / events)?;
            workload::encode(&mut value, &account, number, time);
            send(&producer, &bench.topic, &account, &value, time)?;
        }
        producer.flush(Timeout::Never)?;
        bench.write_files()?;
        for run in [Run::Intake, Run::Logged, Run::Whole] {
            bench.command(run, &["topics", "create"])?;
        }
        for run in [Run::Intake, Run::Whole] {
            bench.command(run, &["apply", "--rules", &bench.path("rules").display().to_string()])?;
        }
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_files(&self) -> Result<()> {
        for name in ["schemas", "rules"] {
            std::fs::create_dir(self.path(name))?;
        }
        std::fs::write(self.path("schemas").join(format!("{}.avsc", workload::SCHEMA_ID)), workload::SCHEMA)?;
        std::fs::write(self.path("rules").join("w1.yaml"), include_str!("rules.yaml"))?;
        for run in Run::ALL {
            std::fs::write(self.path(&format!("{}.yaml", run.name())), self.config(run))?;
        }
        Ok(())
    }

    fn application(&self, run: Run) -> String {
        match run {
            Run::Intake | Run::Detect => self.application.clone(),
            Run::Logged | Run::Whole => format!("{}-{}", self.application, run.name()),
        }
    }

    fn journal(&self, run: Run) -> String {
        let application = if run == Run::Whole { self.application(run) } else { self.application.clone() };
        format!("{application}-journal")
    }

    fn config(&self, run: Run) -> String {
        let Self { brokers, topic, .. } = self;
        let (application, journal) = (self.application(run), self.journal(run));
        let folder = self.folder.path().display();
        // Longer than any run: the changelog is left out.
        let changelog = if run == Run::Logged { "" } else { ", changelog: 1h, recovery: 1h" };
        format!(
            "application_id: {application}\n\
             kafka: {{bootstrap_servers: \"{brokers}\"}}\n\
             roles: [{}]\n\
             threads: {{intake: 1, detect: 1}}\n\
             sources:\n- {{topic: {topic}, kind: error_log, format: avro}}\n\
             topics: {{journal: {journal}, alerts: {application}-alerts, \
             alerts_state: {application}-state, decisions: {application}-decisions, \
             health: {application}-health}}\n\
             registry: {{schemas: \"{folder}/schemas\"}}\n\
             state: {{path: \"{folder}/{application}\", hot_bytes: 768MiB{changelog}}}\n\
             http: {{listen: \"127.0.0.1:0\"}}\n",
            run.roles()
        )
    }

    fn command(&self, run: Run, arguments: &[&str]) -> Result<()> {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .arg("--config")
            .arg(self.path(&format!("{}.yaml", run.name())))
            .output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The yardstick: our own batch consumer, taking only account and time out of each record.
    pub fn bare(&self) -> Result<Stage> {
        let connection = Connection {
            bootstrap_servers: self.brokers.clone(),
            application_id: format!("{}-bare", self.application),
            instance: "bare".to_owned(),
            session_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
            admin: BTreeMap::new(),
            metrics: None,
        };
        let topics = [self.topic.clone()];
        let mut source = KafkaSource::open(&connection, Group::Intake, 0, &topics)?;
        while source.poll(ASK, &mut |_| {})? == Assignment::Unchanged {}
        let before = usage_of("self")?;
        let start = Instant::now();
        let (mut count, mut sum) = (0_u64, 0_u64);
        while count < self.events {
            source.poll(Duration::from_millis(100), &mut |record| {
                count += 1;
                sum = sum.wrapping_add(record.value.map_or(0, account_and_time));
            })?;
        }
        std::hint::black_box(sum);
        let after = usage_of("self")?;
        Ok(Stage {
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            peak_mib: after.peak_mib,
            bytes_per_byte: None,
        })
    }

    /// Runs the program until it has committed all that there is to read.
    pub fn run(&self, run: Run) -> Result<Stage> {
        let start = Instant::now();
        let mut running = self.start(run)?;
        let mut usage = running.usage()?;
        let mut finish = |role: &str, topic: &str, partitions: i32| -> Result<()> {
            let consumer = group_view(&self.brokers, &format!("{}-{role}", self.application(run)))?;
            // Ticks make the journal grow for as long as intake runs: what counts is what is there now.
            let ends: Vec<i64> = (0..partitions)
                .map(|partition| Ok(consumer.fetch_watermarks(topic, partition, ASK)?.1))
                .collect::<Result<_>>()?;
            until(LIMIT, role, || {
                usage = running.usage()?;
                let committed = committed(&consumer, topic, partitions)?;
                Ok(committed.iter().zip(&ends).all(|(committed, end)| committed >= end))
            })
        };
        let mut finished = Ok(());
        if run.roles().contains("intake") {
            finished = finish("intake", &self.topic, SOURCE_PARTITIONS);
        }
        if run.roles().contains("detect") {
            finished = finished.and_then(|()| finish("detect", &self.journal(run), JOURNAL_PARTITIONS));
        }
        if let Err(error) = finished {
            return Err(error.context(std::fs::read_to_string(self.log(run))?));
        }
        let seconds = start.elapsed().as_secs_f64();
        running.stop()?;
        let bytes_per_byte = (run == Run::Intake).then(|| self.journal_ratio()).transpose()?;
        Ok(Stage { seconds, cpu_seconds: usage.cpu_seconds, peak_mib: usage.peak_mib, bytes_per_byte })
    }

    fn log(&self, run: Run) -> PathBuf {
        self.path(&format!("{}.log", run.name()))
    }

    fn start(&self, run: Run) -> Result<Running> {
        Running::start(&self.path(&format!("{}.yaml", run.name())), &self.log(run))
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn journal_ratio(&self) -> Result<f64> {
        Ok(value_bytes(&self.brokers, &self.journal(Run::Intake))? as f64
            / value_bytes(&self.brokers, &self.topic)? as f64)
    }

    /// How many revisions are on the alerts topic.
    pub fn alerts(&self) -> Result<usize> {
        let mut count = 0;
        read_all(&self.brokers, &format!("{}-alerts", self.application), &mut |_| count += 1)?;
        Ok(count)
    }
}

/// From record to committed alert at so many events a second: events with the wall clock as event time, and for every
/// thousand of them one account that reaches its hundred.
pub fn latency(brokers: &str, accounts: u32, rate: u64) -> Result<String> {
    const SECONDS: u64 = 30;
    let bench = Bench::prepare(brokers, Spread::Uniform, 0, accounts)?;
    let running = [bench.start(Run::Intake)?, bench.start(Run::Detect)?];
    // Joining groups takes seconds, and what piles up meanwhile would be measured as delay.
    let group = group_view(brokers, &format!("{}-detect", bench.application))?;
    let journal = bench.journal(Run::Detect);
    until(LIMIT, "joining", || {
        Ok(committed(&group, &journal, JOURNAL_PARTITIONS)?.iter().all(|own| *own > 0))
    })?;
    let alerts = format!("{}-alerts", bench.application);
    let reader = std::thread::spawn({
        let brokers = brokers.to_owned();
        move || watch_latency(&brokers, &alerts, Duration::from_secs(SECONDS + 20))
    });
    let producer = producer(brokers)?;
    let mut value = Vec::new();
    let start = Instant::now();
    for number in 0..rate * SECONDS {
        // A hundred events each for a few accounts at a time, among single events of all the others.
        let account = if number % 10 == 0 {
            format!("hot-{}", number / 1000)
        } else {
            format!("acct-{:07}", number % u64::from(accounts))
        };
        let now = wall_ms()?;
        workload::encode(&mut value, &account, number, now);
        send(&producer, &bench.topic, &account, &value, now)?;
        if number % 500 == 0 {
            let due = start + Duration::from_micros(number * 1_000_000 / rate);
            producer.poll(Duration::ZERO);
            // Not in the client's poll, which burns what is shorter than a millisecond: the machine is shared.
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }
    producer.flush(Timeout::Never)?;
    let mut delays = reader.join().map_err(|_| anyhow::anyhow!("the reader of alerts failed"))??;
    for process in running {
        process.stop()?;
    }
    // The first seconds warm up.
    delays.drain(..delays.len() / 5);
    delays.sort_unstable();
    ensure!(delays.len() > 100, "only {} alerts came in time", delays.len());
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    Ok(format!(
        "record to committed alert at {rate} events/s, {} alerts: p50 {} ms, p99 {} ms, worst {} ms",
        delays.len(),
        at(50),
        at(99),
        at(100)
    ))
}

fn watch_latency(brokers: &str, topic: &str, time: Duration) -> Result<Vec<i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "latency")
        .set("isolation.level", "read_committed")
        .create()?;
    assign_all(&consumer, topic)?;
    let start = Instant::now();
    let mut delays = Vec::new();
    while start.elapsed() < time {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        let alert: serde_json::Value = serde_json::from_slice(message.payload().context("an empty alert")?)?;
        if alert["action"] == "opened" {
            let last = alert["times"]["last_evidence"].as_str().context("no evidence")?;
            delays.push(wall_ms()? - forewarn::event::Timestamp::parse(last)?.0);
        }
    }
    Ok(delays)
}

#[expect(clippy::disallowed_methods, reason = "latency is a difference of wall clocks of one machine")]
fn wall_ms() -> Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

/// Skips to account and time as a reader of this one schema would.
fn account_and_time(value: &[u8]) -> u64 {
    let mut reader = forewarn::event::bytes::Reader::new(value.get(5..).unwrap_or_default());
    let mut text = || -> Option<u64> {
        let length = usize::try_from(reader.signed().ok()?).ok()?;
        reader.take(length).ok()?;
        let time = reader.signed().ok()?;
        let length = usize::try_from(reader.signed().ok()?).ok()?;
        let account = reader.take(length).ok()?;
        Some(time.cast_unsigned() ^ u64::from(*account.last()?))
    };
    text().unwrap_or_default()
}

fn producer(brokers: &str) -> Result<BaseProducer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "1000000")
        .create()?)
}

fn send(producer: &BaseProducer, topic: &str, key: &str, value: &[u8], time: i64) -> Result<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value).timestamp(time);
    while let Err((error, again)) = producer.send(record) {
        ensure!(
            error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
            "could not produce: {error}"
        );
        producer.poll(Duration::from_millis(10));
        record = again;
    }
    Ok(())
}

fn create_topic(brokers: &str, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    for result in results {
        result.map_err(|(name, code)| anyhow::anyhow!("could not create {name}: {code}"))?;
    }
    Ok(())
}

fn group_view(brokers: &str, group: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", group).create()?)
}

/// What a group has committed, -1 where nothing; also while a broker that has just started looks for the coordinator.
fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<Vec<i64>> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let committed = match consumer.committed_offsets(list, ASK) {
        Err(error) if error.rdkafka_error_code().is_some_and(|code| NOT_YET.contains(&code)) => {
            return Ok(vec![-1; usize::try_from(partitions)?]);
        }
        answer => answer?,
    };
    Ok(committed
        .elements()
        .iter()
        .map(|element| match element.offset() {
            Offset::Offset(offset) => offset,
            _ => -1,
        })
        .collect())
}

fn assign_all(consumer: &BaseConsumer, topic: &str) -> Result<TopicPartitionList> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok(list)
}

fn read_all(brokers: &str, topic: &str, visit: &mut dyn FnMut(usize)) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "w1-reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let mut open = assign_all(&consumer, topic)?.count();
    while open > 0 {
        match consumer.poll(ASK).context("nothing more to read")? {
            Ok(message) => visit(message.payload_len()),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn value_bytes(brokers: &str, topic: &str) -> Result<u64> {
    let mut total = 0;
    read_all(brokers, topic, &mut |bytes| total += bytes as u64)?;
    Ok(total)
}
