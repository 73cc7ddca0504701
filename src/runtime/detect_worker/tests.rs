mod lost;
mod quarantine;

use std::sync::Mutex;

use super::*;
use crate::engine::StepError;
use crate::engine::store::{
    Changes, Checkpoint, CheckpointWriter, Deadline, DeadlineClock, DeadlinesOf, Marked, RestoredRow, RowKey,
    Store, StoreError, Usage,
};
use crate::event::Event;
use crate::intake::partition_of;
use crate::journal::{Coverage, FrameBuilder, System, encode_system};
use crate::runtime::clock::VirtualClock;
use crate::runtime::http::Health;
use crate::runtime::memory_log::{Given, MemoryLog, MemorySink, MemorySource, TimeOf};
use crate::runtime::memory_store::MemoryStore;
use crate::runtime::sink::{Outgoing, SinkError};

const START: i64 = 1_795_000_000_000;
const PARTITIONS: i32 = 2;
const RULES: &str = r#"
version: 1
name: test
rules:
- id: failures
  title: Repeated failed logins
  why: test
  status: active
  severity: warning
  family: access
  entity: account
  when:
    count:
      topic: usage
      where: {event: login.failed}
      within: 10m
      gte: 3
      reset: {topic: usage, where: {event: login.succeeded}}
  clear: {event: {topic: usage, where: {event: login.succeeded}}}
  expires_after: 2h
  alert:
    summary: "{{value}} failures"
    audience: internal
    owner: role:support-tier1
    playbook: help
    channels: [csm_task]
    next_step: {customer_action: none, text: "Call"}
    respond_within: 15m
  policy: {cooldown: 1m}
"#;

/// When things fail: a number that the test draws from a seed.
#[derive(Debug, Clone, Default)]
struct Fate(Arc<Mutex<(u64, bool)>>);

impl Fate {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new((seed, true))))
    }

    /// Whether this one of `of` chances comes true.
    fn strikes(&self, of: u64) -> bool {
        let mut state = self.0.lock().unwrap();
        if !state.1 {
            return false;
        }
        state.0 = state.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state.0 >> 33).is_multiple_of(of)
    }

    fn heal(&self) {
        self.0.lock().unwrap().1 = false;
    }
}

/// A store that outlives the worker, and fails before or after it has written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<MemoryStore>>, Fate);

impl Store for Kept {
    fn load(&mut self, keys: &[RowKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        quarantine::strike(keys);
        self.0.lock().unwrap().load(keys)
    }

    fn deadlines(
        &mut self,
        clock: DeadlineClock,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Deadline>, StoreError> {
        self.0.lock().unwrap().deadlines(clock, after, until)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let killed = || Err(StoreError::Failed("killed".to_owned()));
        if self.1.strikes(10) {
            return killed();
        }
        self.0.lock().unwrap().checkpoint(checkpoint)?;
        if self.1.strikes(10) { killed() } else { Ok(()) }
    }

    fn last_checkpoint(&mut self) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
        self.0.lock().unwrap().last_checkpoint()
    }

    fn marked(&mut self) -> Result<Marked, StoreError> {
        self.0.lock().unwrap().marked()
    }

    fn set_marked(&mut self, marked: Marked) -> Result<(), StoreError> {
        if self.1.strikes(10) {
            return Err(StoreError::Failed("killed".to_owned()));
        }
        self.0.lock().unwrap().set_marked(marked)
    }

    fn changes(&mut self) -> Result<Changes, StoreError> {
        self.0.lock().unwrap().changes()
    }

    fn restore(&mut self, rows: &[RestoredRow]) -> Result<(), StoreError> {
        self.0.lock().unwrap().restore(rows)
    }

    fn finish_restore(
        &mut self,
        marked: Marked,
        task: &[u8],
        deadlines: DeadlinesOf,
    ) -> Result<u64, StoreError> {
        if self.1.strikes(10) {
            return Err(StoreError::Failed("killed".to_owned()));
        }
        self.0.lock().unwrap().finish_restore(marked, task, deadlines)
    }

    fn usage(&self) -> Usage {
        self.0.lock().unwrap().usage()
    }
}

impl SharedStore for Kept {
    fn writer(&self) -> CheckpointWriter {
        let mut own = self.clone();
        Box::new(move |checkpoint| own.checkpoint(checkpoint))
    }
}

/// A sink whose commits fail before or after they are made.
struct Flaky(MemorySink, Fate);

impl Sink for Flaky {
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SinkError> {
        self.0.send(record)
    }

    fn acknowledged(&mut self, wait: Duration, tokens: &mut Vec<u64>) -> Result<(), SinkError> {
        self.0.acknowledged(wait, tokens)
    }

    fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    fn start_commit(&mut self, offsets: &[(SourcePartition, i64)]) -> Result<(), SinkError> {
        if self.1.strikes(10) {
            return Err(SinkError("killed".to_owned()));
        }
        self.0.start_commit(offsets)
    }

    fn commit_done(&mut self, wait: Duration) -> Result<bool, SinkError> {
        if self.1.strikes(10) {
            return Err(SinkError("the outcome is unknown".to_owned()));
        }
        self.0.commit_done(wait)
    }
}

fn at(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition { topic: topic.into(), partition }
}

struct World {
    clock: Arc<VirtualClock>,
    log: MemoryLog,
    metrics: Arc<Metrics>,
    next: i64,
    /// Whether workers keep a changelog.
    logs: bool,
    /// Whether a dying worker may take its stores with it.
    loses: bool,
    /// The engine's version.
    engine: String,
    /// What is done beside the worker: at once, or on threads.
    spawn: Spawn,
    /// The disk of the machine, if it remembers deaths.
    machine: Option<tempfile::TempDir>,
}

type Worker = DetectWorker<MemorySource, Flaky, Kept>;

impl World {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new(Timestamp(START)));
        let log = MemoryLog::new(clock.clone(), partition_of);
        log.create("journal", usize::try_from(PARTITIONS).unwrap(), TimeOf::Append);
        let mut world = Self {
            clock,
            log,
            metrics: Arc::new(Metrics::new(25).unwrap()),
            next: 0,
            logs: false,
            loses: false,
            engine: "1".to_owned(),
            spawn: crate::runtime::worker::at_once,
            machine: None,
        };
        world.system(&System::SourceAdded {
            source: at("usage", 0),
            kind: Kind::Usage,
            first: 0,
            lateness_ms: 60_000,
        });
        world.system(&System::Rules {
            generation: 1,
            rule_set: "r1".into(),
            body: vec![("test.yaml".into(), RULES.into())],
            seed: false,
        });
        world
    }

    fn append(&self, partition: i32, bytes: &[u8]) {
        let given = Given {
            partition: &at("journal", partition),
            timestamp: Timestamp(0),
            key: None,
            value: Some(bytes),
        };
        self.log.append(given).unwrap();
    }

    fn system(&mut self, system: &System) {
        let mut bytes = Vec::new();
        encode_system(system, &mut bytes);
        (0..PARTITIONS).for_each(|partition| self.append(partition, &bytes));
    }

    /// One source record of an account, and what every partition hears of it.
    fn event(&mut self, account: &str, name: &str) {
        let offset = self.next;
        self.next += 1;
        let now = self.clock.now();
        let own = i32::try_from(partition_of(account.as_bytes(), 2)).unwrap();
        for partition in 0..PARTITIONS {
            let mut builder = FrameBuilder::new();
            if partition == own {
                let mut event = Event::new(Kind::Usage, name.to_owned(), now);
                event.account = Some(account.to_owned().into());
                event.id = offset.unsigned_abs();
                event.position.offset = offset;
                builder.push(&event, 0);
            }
            let coverage = Coverage {
                source: at("usage", 0),
                from: offset,
                to: offset,
                end: offset + 1,
                watermark: now.plus(-60_000),
                caught_up: true,
            };
            let mut bytes = Vec::new();
            builder.finish(0, &[coverage], &mut bytes);
            self.append(partition, &bytes);
        }
        self.clock.pause(Duration::from_secs(20));
    }

    /// Accounts with failed logins, some of which get in at last.
    fn history(&mut self) {
        for round in 0..40 {
            for account in ["acme", "globex", "initech"] {
                let name = if round % 7 == 6 { "login.succeeded" } else { "login.failed" };
                self.event(account, name);
            }
        }
    }

    /// A worker of a group that publishes to topics of its own, named after it.
    fn worker(&self, group: &str, stores: &[Kept], fate: &Fate) -> Worker {
        let topics = OutputTopics {
            alerts: format!("{group}-alerts"),
            alerts_state: format!("{group}-state"),
            decisions: format!("{group}-decisions"),
            health: format!("{group}-health"),
        };
        for topic in [&topics.alerts, &topics.alerts_state, &topics.decisions, &topics.health] {
            self.log.create(topic, 1, TimeOf::Append);
        }
        let stores = stores.to_vec();
        let open_store = move |partition: i32, fresh: bool| -> Result<Kept, WorkerError> {
            let kept = stores[usize::try_from(partition).unwrap()].clone();
            if fresh {
                *kept.0.lock().unwrap() = MemoryStore::new();
            }
            Ok(kept)
        };
        let parts = DetectParts {
            settings: DetectSettings {
                application_id: "test".to_owned(),
                journal: "journal".to_owned(),
                engine: self.engine.clone(),
                partitions: 2,
                topics,
                hot_bytes: 1 << 20,
                checkpoint_ms: 300,
                dirty_bytes: 1 << 20,
            },
            open_store: Arc::new(open_store),
            changelog: self.logs.then(|| Arc::new(self.changelog(group, fate))),
            quarantine: self.quarantine(),
            spawn: self.spawn,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            pulse: Health::default().worker("detect", self.clock.now()),
        };
        let mut source = self.log.source(group, &["journal"]);
        source.set_batch(7);
        let output = Flaky(self.log.transactional_sink(group, group), fate.clone());
        DetectWorker::new(source, Sinks { output, forwards: Box::new(self.log.sink()) }, parts)
    }

    fn values(&self, topic: &str) -> Vec<(Option<String>, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let records = self.log.read(&at(topic, 0), 0).unwrap();
        records
            .iter()
            .map(|(_, record)| (record.key.as_deref().map(text), record.value.as_deref().map(text)))
            .collect()
    }

    /// What was published, by entity: the order across partitions is free.
    fn published(&self, group: &str) -> Vec<(Option<String>, Option<String>)> {
        let mut all: Vec<_> = ["alerts", "decisions"]
            .iter()
            .flat_map(|topic| self.values(&format!("{group}-{topic}")))
            .collect();
        all.sort();
        all
    }

    /// Works until all is read and committed; a worker that fails is replaced.
    fn run(&self, group: &str, stores: &[Kept], fate: &Fate) -> usize {
        let (mut worker, mut deaths) = (self.worker(group, stores, fate), 0);
        for turn in 0.. {
            assert!(turn < 300_000, "does not come to an end");
            if turn == 1500 {
                fate.heal();
            } else if turn > 1500 {
                // Threads of a real machine need real time, which turns of virtual time do not take.
                std::thread::yield_now();
            }
            let dies = fate.strikes(20);
            self.clock.pause(Duration::from_millis(20));
            let end = worker.turn(Duration::from_millis(30));
            self.assert_published(group, &worker, stores);
            if end.is_err() || dies {
                deaths += 1;
                drop(worker);
                if self.loses && fate.strikes(2) {
                    lost::lose(stores);
                }
                worker = self.worker(group, stores, fate);
            }
            let done = |partition| {
                let last = self.log.read(&at("journal", partition), 0).unwrap().last().map(|(last, _)| *last);
                last.is_none_or(|last| self.log.committed(group, &at("journal", partition)) == Some(last + 1))
            };
            if (0..PARTITIONS).all(done) && turn > 100 {
                break;
            }
        }
        fate.heal();
        // The last one may still have to rebuild what its predecessors knew, or hear only now of what failed.
        while self.finish(&mut worker).is_err() {
            deaths += 1;
            drop(worker);
            worker = self.worker(group, stores, fate);
        }
        deaths
    }

    /// No store may know of more than is published.
    fn assert_published(&self, group: &str, worker: &Worker, stores: &[Kept]) {
        for task in &worker.desk.tasks {
            let place = task.partition.partition;
            let stored = stores[usize::try_from(place).unwrap()].0.lock().unwrap().last_checkpoint().unwrap();
            let stored = stored.map_or(0, |(position, _)| position);
            let committed = self.log.committed(group, &task.partition).unwrap_or(0);
            assert!(stored <= committed, "partition {place}: {stored} is stored, {committed} published");
        }
    }

    fn finish(&self, worker: &mut Worker) -> Result<(), WorkerError> {
        while worker.desk.tasks.len() < 2 || worker.desk.tasks.iter().any(Task::is_silent) {
            worker.turn(Duration::from_millis(30))?;
            self.clock.pause(Duration::from_millis(20));
        }
        worker.finish(&Stop::default())
    }
}

fn stores(fate: &Fate) -> Vec<Kept> {
    (0..PARTITIONS).map(|_| Kept(Arc::default(), fate.clone())).collect()
}

fn calm() -> Fate {
    let fate = Fate::new(0);
    fate.heal();
    fate
}

#[test]
fn alerts_and_their_state_are_published_with_the_position() {
    let mut world = World::new();
    world.history();
    let stores = stores(&calm());
    assert_eq!(world.run("calm", &stores, &calm()), 0);
    let alerts = world.values("calm-alerts");
    let actions = |action: &str| {
        let wanted = format!(r#""action":"{action}""#);
        alerts.iter().filter(|(_, value)| value.as_ref().unwrap().contains(&wanted)).count()
    };
    // Six runs of failures each, five of which end.
    assert_eq!((actions("opened"), actions("resolved")), (18, 15));
    assert!(alerts.iter().all(|(key, _)| ["acme", "globex", "initech"].contains(&key.as_deref().unwrap())));

    // Of each alert the state topic holds the newest revision, of closed ones nothing.
    let mut state = std::collections::BTreeMap::new();
    state.extend(world.values("calm-state"));
    let open: Vec<_> =
        state.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key.clone().unwrap()).collect();
    assert_eq!(open, ["access/account/acme", "access/account/globex", "access/account/initech"]);

    let records = world.log.read(&at("calm-alerts", 0), 0).unwrap();
    let headers = &records[0].1.headers;
    let header = |name: &str| headers.iter().find(|(own, _)| &**own == name).map(|(_, value)| &**value);
    assert_eq!(header("content-type"), Some(b"application/json".as_slice()));
    assert_eq!(header("ce_type"), Some(b"forewarn.alert.v1".as_slice()));
    for (partition, store) in stores.iter().enumerate() {
        let position = store.0.lock().unwrap().last_checkpoint().unwrap().unwrap().0;
        let committed = world.log.committed("calm", &at("journal", i32::try_from(partition).unwrap()));
        assert_eq!(Some(position), committed);
    }
    let metrics = world.metrics.render().unwrap();
    assert!(
        metrics.contains(r#"forewarn_trigger_alerts_total{action="opened",rule="failures"}"#),
        "{metrics}"
    );
}

#[test]
fn whatever_fails_and_whenever_the_same_alerts_are_published_once() {
    let mut world = World::new();
    world.history();
    let calm_stores = stores(&calm());
    world.run("calm", &calm_stores, &calm());
    let expected = world.published("calm");
    let rows = |stores: &[Kept]| -> Vec<_> {
        stores.iter().map(|store| store.0.lock().unwrap().rows().clone()).collect()
    };
    let first = std::env::var("SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut deaths = 0;
    for seed in first..first + 20 {
        let fate = Fate::new(seed);
        let group = format!("group-{seed}");
        // Threads come and go as they like; what they leave behind must be the same.
        world.spawn =
            if seed % 2 == 0 { crate::runtime::worker::spawn } else { crate::runtime::worker::at_once };
        let stores = stores(&fate);
        deaths += world.run(&group, &stores, &fate);
        assert_eq!(world.published(&group), expected, "SIM_SEED={seed}");
        assert_eq!(rows(&stores), rows(&calm_stores), "SIM_SEED={seed}");
    }
    assert!(deaths > 100, "only {deaths} deaths");
}

#[test]
fn a_lost_frame_stops_the_task_and_says_what_is_missing() {
    let mut world = World::new();
    world.event("acme", "login.failed");
    world.next += 1;
    world.event("acme", "login.failed");
    let mut worker = world.worker("gap", &stores(&calm()), &calm());
    let error = loop {
        if let Err(error) = worker.turn(Duration::from_millis(30)) {
            break error;
        }
    };
    let WorkerError::Journal { error: step, .. } = &error else { panic!("{error}") };
    assert!(matches!(**step, StepError::Gap { expected: 1, found: 2, .. }), "{error}");
    assert!(!error.heals());
}

#[test]
fn a_store_ahead_of_what_is_committed_is_rebuilt() {
    let mut world = World::new();
    world.history();
    let kept = stores(&calm());
    world.run("first", &kept, &calm());
    // Another group has committed nothing: to it these stores come from the future.
    world.run("second", &kept, &calm());
    assert_eq!(world.published("second"), world.published("first"));
}

#[test]
fn two_workers_share_the_partitions_and_a_partition_that_moves_loses_nothing() {
    let mut world = World::new();
    world.history();
    world.run("calm", &stores(&calm()), &calm());
    let kept = stores(&calm());
    let mut first = world.worker("pair", &kept, &calm());
    for _ in 0..4 {
        first.turn(Duration::from_millis(30)).unwrap();
    }
    let mut second = world.worker("other", &kept, &calm());
    second.source = world.log.source("pair", &["journal"]);
    second.desk.sink = Flaky(world.log.transactional_sink("pair-2", "pair"), calm());
    second.desk.parts.settings.topics = first.desk.parts.settings.topics.clone();
    for _ in 0..200 {
        first.turn(Duration::from_millis(30)).unwrap();
        second.turn(Duration::from_millis(30)).unwrap();
    }
    assert_eq!((first.desk.tasks.len(), second.desk.tasks.len()), (1, 1));
    first.finish(&Stop::default()).unwrap();
    second.finish(&Stop::default()).unwrap();
    assert_eq!(world.published("pair"), world.published("calm"));
}
