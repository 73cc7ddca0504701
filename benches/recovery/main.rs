//! Recovery on a real broker: rows a second of a restore, and the time from kill -9 to the first correct alert, with the
//! local store kept and lost.
//!
//! `FOREWARN_BENCH_BROKERS` names the broker; `FOREWARN_BENCH_ACCOUNTS` says how many accounts have a row.

#[path = "../w1/process.rs"]
#[expect(dead_code, reason = "what a process has used is not looked at here")]
mod process;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;

use process::{Running, until};

/// Of source topic, journal and changelog.
const PARTITIONS: i32 = 4;
const ASK: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_mins(15);
/// The rule's threshold.
const BURST: u32 = 100;

/// An application with a row for each account.
struct Bench {
    brokers: String,
    application: String,
    folder: tempfile::TempDir,
    producer: BaseProducer,
}

#[expect(clippy::disallowed_methods, reason = "events are produced as of now")]
fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

impl Bench {
    fn prepare(brokers: &str) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "20")
            .create()?;
        let bench = Self {
            brokers: brokers.to_owned(),
            application: format!("recovery-{}", std::process::id()),
            folder: tempfile::tempdir()?,
            producer,
        };
        bench.create_topic()?;
        std::fs::create_dir(bench.path("rules"))?;
        std::fs::write(bench.path("rules").join("w1.yaml"), include_str!("../w1/rules.yaml"))?;
        let Self { application, .. } = &bench;
        let folder = bench.folder.path().display();
        let config = format!(
            "application_id: {application}\n\
             kafka: {{bootstrap_servers: \"{brokers}\"}}\n\
             journal: {{partitions: {PARTITIONS}}}\n\
             sources:\n- {{topic: {application}-errors, kind: error_log, format: json}}\n\
             topics: {{alerts: {application}-alerts, alerts_state: {application}-state, \
             decisions: {application}-decisions, health: {application}-health}}\n\
             state: {{path: \"{folder}/state\"}}\n\
             http: {{listen: \"127.0.0.1:0\"}}\n\
             logs: {{format: json}}\n\
             shutdown: {{timeout: 5m}}\n"
        );
        std::fs::write(bench.path("forewarn.yaml"), config)?;
        bench.command(&["topics", "create"])?;
        bench.command(&["apply", "--rules", &bench.path("rules").display().to_string()])?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_forewarn"))
            .args(arguments)
            .arg("--config")
            .arg(self.path("forewarn.yaml"))
            .output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn create_topic(&self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let name = format!("{}-errors", self.application);
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        ensure!(results.iter().all(std::result::Result::is_ok), "{results:?}");
        Ok(())
    }

    /// One event of each of these accounts.
    fn produce(&self, accounts: impl Iterator<Item = u32>) -> Result<()> {
        let topic = format!("{}-errors", self.application);
        for (number, account) in accounts.enumerate() {
            let (key, time) = (format!("acct-{account:08}"), now_ms()?);
            let value = format!(
                "{{\"event_id\":\"{account}-{time}-{number}\",\"event_time\":{time},\"account_id\":\"{key}\",\
                 \"event\":\"api.error\",\"error_code\":\"E_NET\"}}"
            );
            let mut record = BaseRecord::to(&topic).key(&key).payload(&value);
            while let Err((_, again)) = self.producer.send(record) {
                self.producer.poll(Duration::from_millis(5));
                record = again;
            }
        }
        self.producer.flush(Timeout::After(LIMIT))?;
        Ok(())
    }

    fn start(&self, life: &str) -> Result<Running> {
        Running::start(&self.path("forewarn.yaml"), &self.path(&format!("{life}.log")))
    }

    /// Waits until a `read_committed` consumer sees an alert of this account.
    fn wait_alert(&self, account: u32) -> Result<()> {
        let topic = format!("{}-alerts", self.application);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "bench")
            .set("isolation.level", "read_committed")
            .create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(&topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let key = format!("acct-{account:08}");
        until(LIMIT, "the alert", || {
            let message = consumer.poll(Duration::from_millis(5)).transpose()?;
            Ok(message.is_some_and(|message| message.key() == Some(key.as_bytes())))
        })
    }

    /// Waits until detect has committed all that intake has journaled of the topic.
    fn wait_detect(&self) -> Result<()> {
        let ends = self.committed("intake", &format!("{}-errors", self.application), true)?;
        until(LIMIT, "intake", || {
            Ok(self.committed("intake", &format!("{}-errors", self.application), false)? >= ends)
        })?;
        let journal = format!("{}-journal", self.application);
        let ends = self.committed("detect", &journal, true)?;
        until(LIMIT, "detect", || Ok(self.committed("detect", &journal, false)? >= ends))
    }

    /// The sum over a topic's partitions of what a group has committed, or of the ends.
    fn committed(&self, group: &str, topic: &str, ends: bool) -> Result<i64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", format!("{}-{group}", self.application))
            .create()?;
        let mut list = TopicPartitionList::new();
        let mut sum = 0;
        for partition in 0..PARTITIONS {
            list.add_partition(topic, partition);
            sum += consumer.fetch_watermarks(topic, partition, ASK)?.1;
        }
        if ends {
            return Ok(sum);
        }
        let committed = consumer.committed_offsets(list, ASK)?;
        Ok(committed
            .elements()
            .iter()
            .filter_map(|element| element.offset().to_raw())
            .map(|own| own.max(0))
            .sum())
    }

    /// Kills the process, prepares what the next one finds, and measures until the next alert.
    fn recover(&self, running: Running, account: u32, keep: bool) -> Result<Running> {
        let name = if keep { "kept" } else { "lost" };
        let killed = Instant::now();
        drop(running);
        if !keep {
            std::fs::remove_dir_all(self.path("state"))?;
        }
        self.produce((0..BURST).map(|_| account))?;
        let running = self.start(name)?;
        self.wait_alert(account)?;
        println!("store {name}: {:.1} s from kill -9 to the first alert", killed.elapsed().as_secs_f64());
        Ok(running)
    }

    /// What the log of a life says about the changelog.
    fn print_log(&self, life: &str, sentence: &str) -> Result<()> {
        let log = std::fs::read_to_string(self.path(&format!("{life}.log")))?;
        log.lines().filter(|line| line.contains(sentence)).for_each(|line| println!("  {line}"));
        Ok(())
    }
}

fn main() -> Result<()> {
    let Ok(brokers) = std::env::var("FOREWARN_BENCH_BROKERS") else {
        println!("recovery: skipped, FOREWARN_BENCH_BROKERS is not set");
        return Ok(());
    };
    let accounts = std::env::var("FOREWARN_BENCH_ACCOUNTS").unwrap_or_else(|_| "1000000".to_owned());
    let accounts: u32 = accounts.parse().context("FOREWARN_BENCH_ACCOUNTS is no number")?;
    let bench = Bench::prepare(&brokers)?;
    bench.produce(0..accounts)?;
    let running = bench.start("first")?;
    bench.wait_detect()?;
    let stopped = Instant::now();
    running.stop()?;
    println!(
        "{accounts} accounts: stopped in order, last markers included, in {:.1} s",
        stopped.elapsed().as_secs_f64()
    );
    bench.print_log("first", "changelog marked")?;
    let running = bench.start("second")?;
    bench.produce((0..BURST).map(|_| 1))?;
    bench.wait_alert(1)?;
    let running = bench.recover(running, 2, true)?;
    let running = bench.recover(running, 3, false)?;
    bench.print_log("lost", "restored from the changelog")?;
    running.stop()
}
