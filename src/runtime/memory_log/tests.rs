//! The promises of the log in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{Given, MemoryLog, MemorySource, TimeOf};
use crate::event::{SourcePartition, Timestamp};
use crate::runtime::clock::Clock;
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::source::{Assignment, CommitMode, Source};

/// A clock that moves when somebody waits.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn pause(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

fn log() -> (MemoryLog, Arc<Hands>) {
    let clock = Arc::new(Hands::default());
    let log = MemoryLog::new(clock.clone(), |key, count| u32::from(key[0]) % count);
    log.create("in", 4, TimeOf::Creation);
    log.create("out", 2, TimeOf::Append);
    (log, clock)
}

fn place(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition { topic: topic.into(), partition }
}

fn give(log: &MemoryLog, partition: i32, value: &[u8]) -> i64 {
    let partition = &place("in", partition);
    log.append(Given { partition, timestamp: Timestamp(7), key: None, value: Some(value) }).unwrap()
}

fn record<'a>(key: &'a [u8], value: &'a [u8], token: u64) -> Outgoing<'a> {
    Outgoing {
        topic: "out",
        partition: None,
        key: Some(key),
        value: Some(value),
        headers: &[("h", b"x")],
        token,
    }
}

/// What one poll brought: the change of the assignment, or values with partition and offset.
fn poll(source: &mut MemorySource) -> (Assignment, Vec<(i32, i64, Vec<u8>)>) {
    let mut seen = Vec::new();
    let change = source.poll(Duration::ZERO, &mut |record| {
        seen.push((record.partition, record.offset, record.value.unwrap_or_default().to_vec()));
    });
    (change.unwrap(), seen)
}

fn values(log: &MemoryLog, partition: i32) -> Vec<Vec<u8>> {
    let read = log.read(&place("out", partition), 0).unwrap();
    read.into_iter().map(|(_, record)| record.value.clone().unwrap().into_vec()).collect()
}

#[test]
fn one_member_owns_all_and_goes_on_where_it_committed() {
    let (log, _) = log();
    (0..3).for_each(|n| assert_eq!(give(&log, 1, &[n]), i64::from(n)));
    let mut source = log.source("g", &["in"]);
    let all: Vec<_> = (0..4).map(|partition| place("in", partition)).collect();
    assert_eq!(poll(&mut source).0, Assignment::Assigned(all));
    assert_eq!(source.known_end(&place("in", 1)), None);
    assert_eq!(poll(&mut source).1, [(1, 0, vec![0]), (1, 1, vec![1]), (1, 2, vec![2])]);
    assert_eq!(source.known_end(&place("in", 1)), Some(3));
    assert_eq!(source.position(&place("in", 1)), Some(3));
    source.commit(&[(place("in", 1), 2)], CommitMode::Wait).unwrap();
    drop(source);

    let mut next = log.source("g", &["in"]);
    poll(&mut next);
    assert_eq!(next.committed(&place("in", 1)).unwrap(), Some(2));
    assert_eq!(poll(&mut next).1, [(1, 2, vec![2])]);
    next.seek(&place("in", 1), 1).unwrap();
    assert_eq!(poll(&mut next).1.len(), 2);
}

#[test]
fn a_second_member_waits_until_the_first_has_given_up() {
    let (log, _) = log();
    let mut one = log.source("g", &["in"]);
    poll(&mut one);
    let mut two = log.source("g", &["in"]);
    assert_eq!(poll(&mut two).0, Assignment::Unchanged);
    give(&log, 1, b"x");
    let given_up = vec![place("in", 1), place("in", 3)];
    assert_eq!(poll(&mut one), (Assignment::Revoked(given_up.clone()), Vec::new()));
    assert_eq!(poll(&mut two).0, Assignment::Unchanged);
    one.commit(&[(place("in", 1), 0)], CommitMode::Wait).unwrap();
    assert_eq!(poll(&mut one), (Assignment::Unchanged, Vec::new()));
    assert!(one.commit(&[(place("in", 1), 1)], CommitMode::Wait).is_err());
    assert_eq!(poll(&mut two).0, Assignment::Assigned(given_up.clone()));
    assert_eq!(poll(&mut two).1, [(1, 0, b"x".to_vec())]);
    drop(two);
    assert_eq!(poll(&mut one).0, Assignment::Assigned(given_up));
}

#[test]
fn paused_partitions_and_small_batches_lose_nothing() {
    let (log, _) = log();
    for n in 0..3 {
        (0..4).for_each(|partition| assert_eq!(give(&log, partition, &[n]), i64::from(n)));
    }
    let mut source = log.source("g", &["in"]);
    poll(&mut source);
    source.set_batch(1);
    source.set_paused(&place("in", 2), true).unwrap();
    let seen: Vec<_> = (0..20).flat_map(|_| poll(&mut source).1).collect();
    assert_eq!(seen.len(), 9);
    assert!(seen.iter().all(|(partition, ..)| *partition != 2));
    source.set_paused(&place("in", 2), false).unwrap();
    let rest: Vec<_> = (0..20).flat_map(|_| poll(&mut source).1).collect();
    assert_eq!(rest, [(2, 0, vec![0]), (2, 1, vec![1]), (2, 2, vec![2])]);
}

#[test]
fn waiting_lets_the_clock_run_and_append_times_never_fall() {
    let (log, clock) = log();
    let mut source = log.source("g", &["out"]);
    poll(&mut source);
    source.poll(Duration::from_millis(50), &mut |_| {}).unwrap();
    assert_eq!(clock.now(), Timestamp(50));
    let mut sink = log.sink();
    sink.send(record(&[0], b"a", 1)).unwrap();
    clock.0.store(20, Ordering::Relaxed);
    sink.send(record(&[0], b"b", 2)).unwrap();
    let mut times = Vec::new();
    let mut headers = Vec::new();
    source
        .poll(Duration::ZERO, &mut |record| {
            times.push(record.timestamp);
            let header = record.headers.header(0).unwrap();
            headers.push((header.0.to_owned(), header.1.to_vec()));
        })
        .unwrap();
    assert_eq!(times, [Timestamp(50), Timestamp(50)]);
    assert_eq!(headers[1], ("h".to_owned(), b"x".to_vec()));
}

#[test]
fn a_plain_sink_acknowledges_what_is_visible() {
    let (log, _) = log();
    let mut sink = log.sink();
    sink.send(record(&[1], b"a", 10)).unwrap();
    sink.send(record(&[2], b"b", 11)).unwrap();
    assert_eq!((values(&log, 1), values(&log, 0)), (vec![b"a".to_vec()], vec![b"b".to_vec()]));
    assert_eq!(sink.in_flight(), 2);
    let mut tokens = Vec::new();
    sink.acknowledged(Duration::ZERO, &mut tokens).unwrap();
    assert_eq!((tokens, sink.in_flight()), (vec![10, 11], 0));
    assert!(sink.start_commit(&[]).is_err());
    let lost = Outgoing { partition: Some(9), ..record(&[1], b"a", 12) };
    assert!(sink.send(lost).is_err());
}

#[test]
fn a_transaction_is_visible_whole_with_its_offsets_or_not_at_all() {
    let (log, _) = log();
    let mut sink = log.transactional_sink("t", "g");
    sink.send(record(&[0], b"a", 0)).unwrap();
    sink.send(record(&[1], b"b", 0)).unwrap();
    assert!(values(&log, 0).is_empty());
    drop(sink);

    let mut sink = log.transactional_sink("t", "g");
    sink.send(record(&[0], b"c", 0)).unwrap();
    sink.start_commit(&[(place("in", 0), 5)]).unwrap();
    assert!(sink.commit_done(Duration::ZERO).unwrap());
    assert_eq!((values(&log, 0), values(&log, 1)), (vec![b"c".to_vec()], vec![]));
    assert_eq!(log.committed("g", &place("in", 0)), Some(5));
    assert_eq!(sink.in_flight(), 0);
}

#[test]
fn a_younger_producer_fences_the_older() {
    let (log, _) = log();
    let mut old = log.transactional_sink("t", "g");
    old.send(record(&[0], b"old", 0)).unwrap();
    let mut young = log.transactional_sink("t", "g");
    assert!(old.start_commit(&[(place("in", 0), 9)]).is_err());
    assert!(old.send(record(&[0], b"old", 0)).is_err());
    young.start_commit(&[]).unwrap();
    assert!(values(&log, 0).is_empty());
    assert_eq!(log.committed("g", &place("in", 0)), None);
}

#[test]
fn truncated_records_are_gone_and_offsets_stay() {
    let (log, _) = log();
    (0..4).for_each(|n| assert_eq!(give(&log, 0, &[n]), i64::from(n)));
    log.truncate(&place("in", 0), 3).unwrap();
    let mut source = log.source("g", &["in"]);
    poll(&mut source);
    assert_eq!(source.bounds(&place("in", 0)).unwrap(), (3, 4));
    assert_eq!(poll(&mut source).1, [(0, 3, vec![3])]);
}
