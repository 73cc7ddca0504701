//! The whole process on a real broker: `KAFKA_BROKERS` says where; without it this test says that it was skipped.

use std::time::{Duration, Instant};

use super::*;
use crate::config::{Layers, Lookup};
use crate::event::SourcePartition;
use crate::journal::System;
use crate::runtime::kafka::admin::TopicPlan;
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::source::Source;
use crate::runtime::system::{SystemTopics, publish_system};

const PATIENCE: Duration = Duration::from_secs(60);
const RULES: &str = include_str!("../../../tests/rules/main.yaml");
const LOOKUPS: &str = include_str!("../../../tests/rules/lookups.yaml");

fn process(config: Config) -> Process {
    Process {
        connection: Connection::of(&config),
        metrics: Arc::new(Metrics::new(25).unwrap()),
        health: Arc::default(),
        stop: Arc::default(),
        clock: Arc::new(SystemClock),
        config: Arc::new(config),
    }
}

fn config(brokers: &str, state: &std::path::Path) -> Config {
    let text = format!(
        "application_id: process-{}\nkafka: {{bootstrap_servers: \"{brokers}\", session_timeout: 6s}}\n\
         sources: [{{topic: process-usage-{}, kind: usage, lateness: 1m}}]\n\
         topics: {{alerts: process-alerts-{}, alerts_state: process-state-{}, decisions: process-decisions-{}, \
         health: process-health-{}}}\n\
         journal: {{partitions: 3}}\nstate: {{path: {}, checkpoint: 1s}}\nregistry: null\n",
        std::process::id(),
        std::process::id(),
        std::process::id(),
        std::process::id(),
        std::process::id(),
        std::process::id(),
        state.display()
    );
    let (env, file) = (|_: &str| None, |_: &str| Err("no files".to_owned()));
    let lookup = Lookup { env: &env, file: &file };
    Config::load(&Layers { file: Some(("test", &text)), env: &[], set: &[], lookup })
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn settle(sink: &mut PlainSink) {
    while sink.in_flight() > 0 {
        sink.acknowledged(Duration::from_millis(50), &mut Vec::new()).unwrap();
    }
}

/// Three failed logins of each of these people.
fn failures(process: &Process, people: std::ops::Range<usize>) {
    let mut sink = PlainSink::open(&process.connection, "usage").unwrap();
    let now = SystemClock.now().0;
    for person in people {
        for attempt in 0..3 {
            let value = format!(
                r#"{{"event_id":"{person}-{attempt}","event_time":{now},"account_id":"acme-{person}","user_id":"u","event":"login.failed"}}"#
            );
            sink.send(Outgoing {
                topic: &process.config.sources[0].topic,
                partition: Some(i32::try_from(person % 2).unwrap()),
                key: None,
                value: Some(value.as_bytes()),
                headers: &[],
                token: 1,
            })
            .unwrap();
        }
    }
    settle(&mut sink);
}

/// Polls committed alerts until there are so many: their keys, sorted.
fn alerts(process: &Process, count: usize) -> Vec<String> {
    let mut connection = process.connection.clone();
    connection.application_id.push_str("-reader");
    let topics = [process.config.topics.alerts.clone()];
    let mut source = KafkaSource::open(&connection, Group::Intake, 0, &topics).unwrap();
    let (mut keys, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    // Somewhat longer than needed, as a double would come last.
    let mut quiet = 0;
    while keys.len() < count || quiet < 10 {
        let before = keys.len();
        source
            .poll(Duration::from_millis(50), &mut |record| {
                keys.push(String::from_utf8(record.key.unwrap().to_vec()).unwrap());
            })
            .unwrap();
        quiet = if keys.len() == before { quiet + 1 } else { 0 };
        assert!(Instant::now() < deadline, "{} of {count} alerts came", keys.len());
    }
    keys.sort();
    keys
}

fn expected(people: std::ops::Range<usize>) -> Vec<String> {
    let mut keys: Vec<String> = people.map(|person| format!("acme-{person}")).collect();
    keys.sort();
    keys
}

#[test]
fn records_become_alerts_and_a_process_goes_on_where_it_was() {
    let Ok(brokers) = std::env::var("KAFKA_BROKERS") else {
        eprintln!("skipped: KAFKA_BROKERS is not set");
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let config = config(&brokers, state.path());
    let topic = config.sources[0].topic.clone();
    let first = process(config.clone());
    let admin = Admin::open(&first.connection).unwrap();
    let source = TopicPlan { name: topic.clone(), partitions: 2, config: Vec::new() };
    admin.create(&[source], -1).unwrap();
    admin.create(&plans(&config.topics, 3), -1).unwrap();
    let rules = System::Rules {
        generation: SystemClock.now().0,
        rule_set: "test".into(),
        body: vec![("lookups.yaml".into(), LOOKUPS.into()), ("main.yaml".into(), RULES.into())],
        seed: false,
    };
    let topics = SystemTopics {
        journal: config.topics.journal.clone(),
        partitions: 3,
        changelog: config.topics.changelog.clone(),
    };
    publish_system(&mut PlainSink::open(&first.connection, "apply").unwrap(), &topics, &rules).unwrap();

    let stop = Arc::clone(&first.stop);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| first.work(false));
        failures(&first, 0..50);
        assert_eq!(alerts(&first, 50), expected(0..50));
        assert!(first.health.unready().is_empty(), "{:?}", first.health.unready());
        stop.drain();
        running.join().unwrap().unwrap();
    });

    // All is committed and checkpointed: the stores stand where the group stands.
    let memory = RocksMemory::new(1 << 20, 1 << 20);
    let journal = [config.topics.journal.clone()];
    let mut group = KafkaSource::open(&first.connection, Group::Detect, 0, &journal).unwrap();
    for partition in 0..3 {
        let mut store = RocksStore::open(state.path(), partition, 3, &memory).unwrap();
        let position = crate::engine::store::Store::last_checkpoint(&mut store).unwrap().map(|(at, _)| at);
        let own = SourcePartition { topic: config.topics.journal.as_str().into(), partition };
        assert_eq!(position, group.committed(&own).unwrap());
    }
    drop(group);

    let second = process(config);
    let stop = Arc::clone(&second.stop);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| second.work(false));
        failures(&second, 50..80);
        assert_eq!(alerts(&second, 80), expected(0..80));
        stop.drain();
        running.join().unwrap().unwrap();
    });
}
