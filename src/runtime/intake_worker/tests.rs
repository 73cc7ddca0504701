mod skew;
mod versions;

use std::time::Duration;

use super::*;
use crate::event::Kind;
use crate::intake::text::Scorer;
use crate::intake::{SourceSettings, partition_of};
use crate::journal::coverage::{Admission, Covered};
use crate::journal::{Entry, Frame};
use crate::runtime::clock::VirtualClock;
use crate::runtime::http::Health;
use crate::runtime::memory_log::{Given, MemoryLog, MemorySink, MemorySource, Stored, TimeOf};
use crate::runtime::system::system_partition;

const PARTITIONS: usize = 3;

struct World {
    clock: Arc<VirtualClock>,
    log: MemoryLog,
    metrics: Arc<Metrics>,
    limits: Limits,
    max_skew_ms: i64,
}

fn at(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition { topic: topic.into(), partition }
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new(Timestamp(1_000_000)));
        let log = MemoryLog::new(clock.clone(), partition_of);
        log.create("usage", 2, TimeOf::Creation);
        log.create("journal", PARTITIONS, TimeOf::Append);
        log.create("dlq", 1, TimeOf::Append);
        log.create("changelog", PARTITIONS + 1, TimeOf::Append);
        Self {
            clock,
            log,
            metrics: Arc::new(Metrics::new(25).unwrap()),
            limits: Limits::default(),
            max_skew_ms: 3_600_000,
        }
    }

    fn worker(&self) -> IntakeWorker<MemorySource, MemorySink> {
        let settings = IntakeSettings {
            journal: "journal".to_owned(),
            partitions: PARTITIONS,
            linger_ms: 10,
            frame_bytes: 32 << 10,
            letters: crate::runtime::letters::LetterWriter {
                topic: "dlq".to_owned(),
                dialect: crate::config::HeaderDialect::Streams,
                instance: "test".to_owned(),
            },
            limits: self.limits,
            max_skew_ms: self.max_skew_ms,
        };
        let parts = IntakeParts {
            settings,
            intake: Intake::new(vec![SourceSettings::new("usage", Kind::Usage)], Scorer::english().unwrap()),
            mappings: Box::new(self.log.mappings(
                at("changelog", system_partition(3)),
                (0..3).map(|partition| at("journal", partition)).collect(),
            )),
            registry: None,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            pulse: Health::default().worker("intake", self.clock.now()),
        };
        IntakeWorker::new(self.log.source("intake", &["usage"]), self.log.sink(), parts)
    }

    fn write(&self, partition: i32, value: &str) {
        let given = Given {
            partition: &at("usage", partition),
            timestamp: Timestamp(1_000_000),
            key: Some(b"key"),
            value: Some(value.as_bytes()),
        };
        self.log.append(given).unwrap();
    }

    fn event(&self, partition: i32, account: &str, id: &str) {
        self.write(
            partition,
            &format!(
                r#"{{"event_id":"{id}","event_time":900000,"account_id":"{account}","event":"login.failed"}}"#
            ),
        );
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        self.log.committed("intake", &at("usage", partition))
    }

    fn journal(&self, partition: i32) -> Vec<Stored> {
        let records = self.log.read(&at("journal", partition), 0).unwrap();
        records.into_iter().map(|(_, record)| (*record).clone()).collect()
    }
}

fn frame(record: &Stored) -> Option<Frame<'_>> {
    match Entry::parse(record.value.as_deref().unwrap()).unwrap() {
        Entry::Frame(frame) => Some(frame),
        Entry::System(_) => None,
    }
}

/// What a reader of a journal partition takes in: accounts of events not known before.
fn accounts(records: &[Stored]) -> Vec<String> {
    let mut covered = Covered::default();
    let mut accounts = Vec::new();
    for record in records {
        match Entry::parse(record.value.as_deref().unwrap()).unwrap() {
            Entry::System(System::SourceAdded { source, first, .. }) => covered.add(&source, first),
            Entry::System(System::Mapping { .. }) => {}
            Entry::System(System::SourceRetired { source, .. }) => covered.retire(&source),
            Entry::System(other) => panic!("{other:?}"),
            Entry::Frame(frame) => {
                let admissions: Vec<_> =
                    frame.sources.iter().map(|coverage| covered.admit(coverage)).collect();
                for event in frame.events() {
                    let event = event.unwrap();
                    match admissions[usize::from(event.position.source)] {
                        Admission::From(first) if event.position.offset >= first => {
                            accounts.push(event.account.unwrap().into_owned());
                        }
                        Admission::From(_) | Admission::Duplicate => {}
                        bad => panic!("{bad:?}"),
                    }
                }
            }
        }
    }
    accounts
}

fn turns(worker: &mut IntakeWorker<MemorySource, MemorySink>, count: usize) {
    for _ in 0..count {
        worker.turn(Duration::from_millis(100)).unwrap();
    }
}

/// Two ticks: what the first one sends, the second one finds acknowledged.
fn seconds(world: &World, worker: &mut IntakeWorker<MemorySource, MemorySink>) {
    for _ in 0..2 {
        world.clock.pause(Duration::from_secs(1));
        turns(worker, 1);
    }
}

#[test]
fn events_reach_the_partition_of_their_account_and_every_partition_hears_of_every_offset() {
    let world = World::new();
    let mut worker = world.worker();
    for number in 0..50 {
        world.event(number % 2, &format!("account-{number}"), &format!("e{number}"));
    }
    turns(&mut worker, 3);
    seconds(&world, &mut worker);
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let found = accounts(&world.journal(i32::try_from(partition).unwrap()));
        assert!(found.iter().all(|account| partition_of(account.as_bytes(), 3) as usize == partition));
        all.extend(found);
    }
    assert_eq!(all.len(), 50);
    assert_eq!((world.committed(0), world.committed(1)), (Some(25), Some(25)));

    let journal = world.journal(0);
    let last = frame(journal.last().unwrap()).unwrap();
    let coverage = &last.sources[0];
    assert_eq!((coverage.to, coverage.end, coverage.caught_up), (24, 25, true));
    assert_eq!(coverage.watermark, Timestamp(900_000 - 600_000));
}

#[test]
fn a_bad_record_is_kept_as_it_came_and_passed_only_then() {
    let world = World::new();
    let mut worker = world.worker();
    world.event(0, "acme", "e1");
    world.write(0, "{broken");
    world.event(0, "acme", "e2");
    turns(&mut worker, 3);
    seconds(&world, &mut worker);
    let letters = world.log.read(&at("dlq", 0), 0).unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].1;
    assert_eq!(letter.value.as_deref(), Some(b"{broken".as_slice()));
    assert_eq!(letter.key.as_deref(), Some(b"key".as_slice()));
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(own, _)| &**own == name);
        found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
    };
    assert_eq!(header("__streams.errors.topic").as_deref(), Some("usage"));
    assert_eq!(header("__streams.errors.offset").as_deref(), Some("1"));
    assert_eq!(header("forewarn.errors.reason").as_deref(), Some("decode_failed"));
    assert_eq!(world.committed(0), Some(3));
    let metrics = world.metrics.render().unwrap();
    assert!(
        metrics.contains(r#"forewarn_dead_letters_total{reason="decode_failed",topic="usage"} 1"#),
        "{metrics}"
    );
}

#[test]
fn a_worker_that_begins_again_doubles_nothing() {
    let world = World::new();
    let mut worker = world.worker();
    for number in 0..20 {
        world.event(0, &format!("account-{number}"), &format!("e{number}"));
    }
    turns(&mut worker, 2);
    world.clock.pause(Duration::from_millis(20));
    turns(&mut worker, 1);
    // Frames are out, but nothing is committed: what a crash leaves.
    assert_eq!(world.committed(0), None);
    drop(worker);
    world.event(0, "account-20", "e20");
    let mut worker = world.worker();
    turns(&mut worker, 3);
    worker.finish(&Stop::default()).unwrap();
    let all: usize = (0..3).map(|partition| accounts(&world.journal(partition)).len()).sum();
    assert_eq!(all, 21);
    assert_eq!(world.committed(0), Some(21));
}

#[test]
fn partitions_are_given_up_when_all_that_was_read_is_safe() {
    let world = World::new();
    let mut first = world.worker();
    for number in 0..10 {
        world.event(number % 2, &format!("account-{number}"), &format!("e{number}"));
    }
    turns(&mut first, 2);
    let mut second = world.worker();
    turns(&mut first, 1);
    assert_eq!(world.committed(1), Some(5), "the one that is given up");
    world.event(1, "late", "e10");
    for _ in 0..3 {
        turns(&mut first, 1);
        turns(&mut second, 1);
    }
    first.finish(&Stop::default()).unwrap();
    second.finish(&Stop::default()).unwrap();
    let all: usize = (0..3).map(|partition| accounts(&world.journal(partition)).len()).sum();
    assert_eq!(all, 11);
    assert_eq!((world.committed(0), world.committed(1)), (Some(5), Some(6)));
}

#[test]
fn too_many_bad_records_stop_intake_before_they_are_committed() {
    let mut world = World::new();
    world.limits = Limits { max_ratio: 1.0, window: 1000, max_consecutive: 3 };
    let mut worker = world.worker();
    for _ in 0..10 {
        world.write(0, "garbage");
    }
    let error = loop {
        if let Err(error) = worker.turn(Duration::from_millis(100)) {
            break error;
        }
    };
    assert!(matches!(error, WorkerError::Breaker { .. }) && !error.heals(), "{error}");
    assert_eq!(world.log.read(&at("dlq", 0), 0).unwrap().len(), 4);
}

#[test]
fn offsets_that_were_deleted_before_they_were_read_leave_a_gap() {
    let world = World::new();
    let mut worker = world.worker();
    world.event(0, "acme", "e1");
    turns(&mut worker, 2);
    worker.finish(&Stop::default()).unwrap();
    drop(worker);
    for number in 0..5 {
        world.event(0, "acme", &format!("f{number}"));
    }
    world.log.truncate(&at("usage", 0), 4).unwrap();
    let mut worker = world.worker();
    turns(&mut worker, 2);
    worker.finish(&Stop::default()).unwrap();
    let partition = i32::try_from(partition_of(b"acme", 3)).unwrap();
    let records = world.journal(partition);
    let from: Vec<i64> = records.iter().filter_map(frame).map(|frame| frame.sources[0].from).collect();
    assert!(from.contains(&4) && !from.iter().any(|from| (2..4).contains(from)), "{from:?}");
}
