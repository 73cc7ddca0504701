//! Against a real broker: `KAFKA_BROKERS` says where; without it these tests say that they were skipped.

use std::time::{Duration, Instant};

use super::admin::{Admin, TopicPlan};
use super::changelog::{SystemRecords, read_partition};
use super::{Connection, Group, KafkaSource, PlainSink, RowsSink, TransactionalSink, read_rows};
use crate::event::{SourcePartition, Timestamp};
use crate::journal::{Coverage, FrameBuilder, System};
use crate::runtime::mappings::MappingLog as _;
use crate::runtime::sink::{Outgoing, Sink};
use crate::runtime::source::{Assignment, CommitMode, Source};
use crate::runtime::system::{SystemTopics, publish_system};
use crate::runtime::worker::WorkerError;

const SHORT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

/// A name of its own for each test, so that tests share a broker.
fn connection(name: &str) -> Option<Connection> {
    let Ok(brokers) = std::env::var("KAFKA_BROKERS") else {
        eprintln!("skipped: KAFKA_BROKERS is not set");
        return None;
    };
    let mut connection = Connection::new(&brokers, &format!("{name}-{}", std::process::id()), "test");
    connection.session_timeout = Duration::from_secs(6);
    Some(connection)
}

fn topic(connection: &Connection, name: &str, partitions: i32) -> String {
    let name = format!("{}-{name}", connection.application_id);
    let plan = TopicPlan {
        name: name.clone(),
        partitions,
        config: vec![("message.timestamp.type", "LogAppendTime".to_owned())],
    };
    let admin = Admin::open(connection).unwrap();
    assert_eq!(admin.create(std::slice::from_ref(&plan), -1).unwrap(), vec![name.clone()]);
    assert_eq!(admin.create(std::slice::from_ref(&plan), -1).unwrap(), [] as [String; 0]);
    // A topic is there when its leaders are known.
    let deadline = Instant::now() + PATIENCE;
    while admin.describe(std::slice::from_ref(&plan)).unwrap().first().map(|state| state.partitions)
        != Some(partitions)
    {
        assert!(Instant::now() < deadline, "{name} did not appear");
    }
    name
}

fn send(sink: &mut impl Sink, topic: &str, partition: i32, value: &str, token: u64) {
    let headers: &[(&str, &[u8])] = if token == 0 { &[("origin", b"test")] } else { &[] };
    sink.send(Outgoing {
        topic,
        partition: Some(partition),
        key: Some(b"key"),
        value: Some(value.as_bytes()),
        headers,
        token,
    })
    .unwrap();
}

fn write(connection: &Connection, topic: &str, partition: i32, values: std::ops::Range<u64>) {
    let mut sink = PlainSink::open(connection, "writer").unwrap();
    let mut tokens = Vec::new();
    let count = values.clone().count();
    for token in values {
        send(&mut sink, topic, partition, &format!("value {token}"), token);
    }
    let deadline = Instant::now() + PATIENCE;
    while sink.in_flight() > 0 {
        sink.acknowledged(SHORT, &mut tokens).unwrap();
        assert!(Instant::now() < deadline, "{} records are not acknowledged", sink.in_flight());
    }
    assert_eq!(tokens.len(), count);
}

/// Polls until the assignment changes.
fn change(source: &mut KafkaSource) -> Assignment {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let change = source.poll(SHORT, &mut |_| ()).unwrap();
        if change != Assignment::Unchanged {
            return change;
        }
        assert!(Instant::now() < deadline, "the assignment did not change");
    }
}

/// Polls until so many records have come: partition, offset, value.
fn read(source: &mut KafkaSource, count: usize) -> Vec<(i32, i64, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut found = Vec::new();
    while found.len() < count {
        let change = source
            .poll(SHORT, &mut |record| {
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                found.push((record.partition, record.offset, value));
            })
            .unwrap();
        assert_eq!(change, Assignment::Unchanged);
        assert!(Instant::now() < deadline, "{} of {count} records came", found.len());
    }
    found
}

fn at(topic: &str, partition: i32) -> SourcePartition {
    SourcePartition { topic: topic.into(), partition }
}

#[test]
fn a_member_can_be_dropped_at_any_moment_of_its_joining() {
    // Half milliseconds after it has begun to join: librdkafka tells the group's answer within some sixty.
    const MOMENTS: u64 = 160;
    let Some(connection) = connection("drops") else { return };
    let topics = [topic(&connection, "in", 2)];
    let (send, dropped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for moment in 0..MOMENTS {
            let mut source = KafkaSource::open(&connection, Group::Intake, 0, &topics).unwrap();
            // In every other round a change is told and never carried out; in the others none is even told.
            if moment % 2 == 0 {
                source.poll(Duration::from_millis(1), &mut |_| ()).unwrap();
            }
            std::thread::park_timeout(Duration::from_millis(moment / 2));
            drop(source);
            send.send(moment).unwrap();
        }
    });
    for moment in 0..MOMENTS {
        assert_eq!(dropped.recv_timeout(PATIENCE), Ok(moment), "it does not come back");
    }
}

#[test]
fn a_member_reads_in_order_commits_and_goes_on_where_it_was() {
    let Some(connection) = connection("reads") else { return };
    let topic = topic(&connection, "in", 2);
    write(&connection, &topic, 0, 0..3000);
    write(&connection, &topic, 1, 0..10);
    let topics = [topic.clone()];
    let mut source = KafkaSource::open(&connection, Group::Intake, 0, &topics).unwrap();
    assert_eq!(change(&mut source), Assignment::Assigned(vec![at(&topic, 0), at(&topic, 1)]));
    assert_eq!(source.committed(&at(&topic, 0)).unwrap(), None);
    assert_eq!(source.bounds(&at(&topic, 0)).unwrap(), (0, 3000));
    source.seek(&at(&topic, 1), 8).unwrap();

    let found = read(&mut source, 3002);
    let of = |partition| found.iter().filter(move |(own, ..)| *own == partition);
    assert!(of(0).map(|(_, offset, _)| *offset).eq(0..3000));
    assert!(of(1).map(|(_, offset, value)| (*offset, value.as_str())).eq([(8, "value 8"), (9, "value 9")]));
    assert_eq!(source.known_end(&at(&topic, 0)), Some(3000));
    assert_eq!(source.position(&at(&topic, 0)), Some(3000));

    source.commit(&[(at(&topic, 0), 2999), (at(&topic, 1), 10)], CommitMode::Wait).unwrap();
    source.seek(&at(&topic, 1), 9).unwrap();
    assert_eq!(read(&mut source, 1), [(1, 9, "value 9".to_owned())]);
    drop(source);

    // A static member is back at once: its partitions waited for it.
    let mut source = KafkaSource::open(&connection, Group::Intake, 0, &topics).unwrap();
    assert!(matches!(change(&mut source), Assignment::Assigned(_)));
    assert_eq!(source.committed(&at(&topic, 0)).unwrap(), Some(2999));
    assert_eq!(read(&mut source, 1), [(0, 2999, "value 2999".to_owned())]);
}

#[test]
fn headers_and_keys_are_read() {
    let Some(connection) = connection("headers") else { return };
    let topic = topic(&connection, "in", 1);
    write(&connection, &topic, 0, 0..1);
    let mut source = KafkaSource::open(&connection, Group::Intake, 0, &[topic]).unwrap();
    change(&mut source);
    let mut seen = 0;
    while seen == 0 {
        source
            .poll(SHORT, &mut |record| {
                seen += 1;
                assert_eq!(record.key, Some(b"key".as_slice()));
                assert_eq!(record.headers.header(0), Some(("origin", b"test".as_slice())));
                assert_eq!(record.headers.header(1), None);
                assert!(record.timestamp.0 > 0);
            })
            .unwrap();
    }
}

#[test]
fn partitions_move_to_a_member_that_joins_after_the_last_commit() {
    let Some(connection) = connection("joins") else { return };
    let topic = topic(&connection, "in", 2);
    write(&connection, &topic, 0, 0..5);
    write(&connection, &topic, 1, 0..5);
    let topics = [topic.clone()];
    let mut first = KafkaSource::open(&connection, Group::Intake, 0, &topics).unwrap();
    change(&mut first);
    read(&mut first, 10);

    let mut second = KafkaSource::open(&connection, Group::Intake, 1, &topics).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The second joins while the first is told to give up.
        let told = first.poll(SHORT, &mut |_| ()).unwrap();
        if told == Assignment::Revoked(vec![at(&topic, 0), at(&topic, 1)]) {
            first.commit(&[(at(&topic, 0), 4), (at(&topic, 1), 4)], CommitMode::Wait).unwrap();
            break;
        }
        assert_eq!(second.poll(SHORT, &mut |_| ()).unwrap(), Assignment::Unchanged);
        assert!(Instant::now() < deadline, "nothing was revoked");
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    while one.is_empty() || two.is_empty() {
        for (source, found) in [(&mut first, &mut one), (&mut second, &mut two)] {
            source.poll(SHORT, &mut |record| found.push((record.partition, record.offset))).unwrap();
        }
        assert!(Instant::now() < deadline, "the partitions were not taken over");
    }
    one.extend(two);
    one.sort_unstable();
    assert_eq!(one, [(0, 4), (1, 4)]);
}

#[test]
fn a_transaction_shows_its_records_and_offsets_together_or_not_at_all() {
    let Some(connection) = connection("transactions") else { return };
    let (input, output) = (topic(&connection, "in", 1), topic(&connection, "out", 1));
    write(&connection, &input, 0, 0..4);
    let inputs = [input.clone()];
    let mut source = KafkaSource::open(&connection, Group::Detect, 0, &inputs).unwrap();
    change(&mut source);
    read(&mut source, 4);
    let mut sink = TransactionalSink::open(&connection, 0, &source).unwrap();
    send(&mut sink, &output, 0, "first", 1);
    sink.start_commit(&[(at(&input, 0), 2)]).unwrap();
    send(&mut sink, &output, 0, "second", 1);
    assert!(sink.start_commit(&[]).is_err(), "two commits at a time");
    assert!(sink.commit_done(PATIENCE).unwrap());
    assert_eq!(source.committed(&at(&input, 0)).unwrap(), Some(2));
    assert_eq!(sink.in_flight(), 1);
    // Dropped with its record: nothing of it was begun.
    drop(sink);

    let mut sink = TransactionalSink::open(&connection, 0, &source).unwrap();
    let mut took = Vec::new();
    for round in 0..20 {
        send(&mut sink, &output, 0, &format!("round {round}"), 1);
        let began = Instant::now();
        sink.start_commit(&[(at(&input, 0), 3)]).unwrap();
        assert!(sink.commit_done(PATIENCE).unwrap());
        took.push(began.elapsed());
    }
    took.sort_unstable();
    eprintln!("a commit takes {:?} (median), {:?} (longest)", took[10], took[19]);

    let mut fenced = sink;
    let mut sink = TransactionalSink::open(&connection, 0, &source).unwrap();
    send(&mut fenced, &output, 0, "zombie", 1);
    let refused = fenced.start_commit(&[(at(&input, 0), 4)]).and_then(|()| fenced.commit_done(PATIENCE));
    assert!(refused.is_err(), "a predecessor could still commit");
    send(&mut sink, &output, 0, "last", 1);
    sink.start_commit(&[(at(&input, 0), 4)]).unwrap();
    assert!(sink.commit_done(PATIENCE).unwrap());

    let mut reader = KafkaSource::open(&connection, Group::Intake, 0, std::slice::from_ref(&output)).unwrap();
    change(&mut reader);
    let values: Vec<String> = read(&mut reader, 22).into_iter().map(|(.., value)| value).collect();
    assert_eq!(values.first().map(String::as_str), Some("first"));
    assert_eq!(values.last().map(String::as_str), Some("last"));
    assert!(!values.iter().any(|value| value == "zombie" || value == "second"), "{values:?}");
    // Markers of transactions fill the log's end: the reader has passed them, without having seen a record.
    let end = reader.bounds(&at(&output, 0)).unwrap().1;
    let deadline = Instant::now() + PATIENCE;
    while reader.position(&at(&output, 0)) != Some(end) {
        reader.poll(SHORT, &mut |_| ()).unwrap();
        assert!(Instant::now() < deadline, "stuck before {end}");
    }
}

#[test]
fn at_least_once_commits_what_is_acknowledged() {
    let Some(connection) = connection("acknowledged") else { return };
    let (input, output) = (topic(&connection, "in", 1), topic(&connection, "out", 1));
    write(&connection, &input, 0, 0..4);
    let mut source = KafkaSource::open(&connection, Group::Detect, 0, std::slice::from_ref(&input)).unwrap();
    change(&mut source);
    read(&mut source, 4);
    let mut sink = PlainSink::open_for(&connection, "output", &source).unwrap();
    send(&mut sink, &output, 0, "first", 1);
    sink.start_commit(&[(at(&input, 0), 3)]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !sink.commit_done(SHORT).unwrap() {
        assert!(Instant::now() < deadline, "not acknowledged");
    }
    assert_eq!(sink.in_flight(), 0);
    assert_eq!(source.committed(&at(&input, 0)).unwrap(), Some(3));
    assert!(PlainSink::open(&connection, "journal").unwrap().start_commit(&[]).is_err());
}

#[test]
fn a_stretch_of_a_partition_is_read_as_it_was_written() {
    let Some(connection) = connection("stretch") else { return };
    let source = at(&topic(&connection, "in", 1), 0);
    write(&connection, &source.topic, 0, 0..6);
    let stretch = |range| {
        let mut found = Vec::new();
        read_partition(&connection, &source, range, &mut |record| {
            let header = record.headers.header(0).map(|(name, value)| (name.to_owned(), value.to_vec()));
            found.push((
                record.offset,
                record.key.map(<[u8]>::len),
                record.value.map(<[u8]>::to_vec),
                header,
            ));
            Ok(())
        })
        .unwrap();
        found
    };
    let record =
        |offset: i64, header| (offset, Some(3), Some(format!("value {offset}").into_bytes()), header);
    let origin = Some(("origin".to_owned(), b"test".to_vec()));
    assert_eq!(stretch(0..2), [record(0, origin), record(1, None)]);
    assert_eq!(stretch(4..i64::MAX), [record(4, None), record(5, None)]);
    assert_eq!(stretch(6..9), []);
}

#[test]
fn the_changelog_tells_its_system_records() {
    let Some(connection) = connection("changelog") else { return };
    let topics = SystemTopics {
        journal: topic(&connection, "journal", 1),
        partitions: 1,
        changelog: topic(&connection, "changelog", 2),
    };
    let place = at(&topics.changelog, 1);
    let mut records = SystemRecords::open(&connection, place.clone(), topics.journal.clone()).unwrap();
    assert_eq!(records.read().unwrap(), []);
    let mapping = |generation, version: &str| System::Mapping {
        generation,
        version: version.into(),
        body: vec![("usage.yaml".into(), "version: 1".into())],
        first: Vec::new(),
    };
    let mut sink = PlainSink::open(&connection, "apply").unwrap();
    publish_system(&mut sink, &topics, &mapping(1, "a")).unwrap();
    assert_eq!(records.read().unwrap(), [mapping(1, "a")]);
    publish_system(&mut sink, &topics, &mapping(2, "b")).unwrap();
    assert_eq!(records.read().unwrap(), [mapping(2, "b")]);
    let mut again = SystemRecords::open(&connection, place, topics.journal).unwrap();
    assert_eq!(again.read().unwrap(), [mapping(1, "a"), mapping(2, "b")]);
}

#[test]
fn the_journal_tells_how_far_a_source_was_decoded() {
    let Some(connection) = connection("decoded") else { return };
    let journal = topic(&connection, "journal", 2);
    let changelog = topic(&connection, "changelog", 3);
    let mut sink = PlainSink::open(&connection, "journal").unwrap();
    let source = at("usage", 0);
    let mut frame = |partition, from, to, token| {
        let coverage = Coverage {
            source: source.clone(),
            from,
            to,
            end: to + 1,
            watermark: Timestamp::MIN,
            caught_up: true,
        };
        let mut bytes = Vec::new();
        FrameBuilder::default().finish(3, &[coverage], &mut bytes);
        sink.send(Outgoing {
            topic: &journal,
            partition: Some(partition),
            key: None,
            value: Some(&bytes),
            headers: &[],
            token,
        })
        .unwrap();
    };
    frame(0, 5, 19, 1);
    frame(1, 5, 11, 2);
    // More than the first look back takes in: the frame that counts is found by the second.
    for token in 3..103 {
        frame(0, 20, 19, token);
    }
    let mut tokens = Vec::new();
    while sink.in_flight() > 0 {
        sink.acknowledged(SHORT, &mut tokens).unwrap();
    }
    let mut records = SystemRecords::open(&connection, at(&changelog, 2), journal.clone()).unwrap();
    assert_eq!(records.decoded(&source, 8).unwrap(), Some(20));
    assert_eq!(records.decoded(&at("usage", 1), 8).unwrap(), Some(8), "never seen");
}

#[test]
fn batches_are_fast() {
    let Some(connection) = connection("fast") else { return };
    let topic = topic(&connection, "in", 1);
    let count = 1_000_000;
    let mut sink = PlainSink::open(&connection, "writer").unwrap();
    let value = "v".repeat(200);
    let mut tokens = Vec::new();
    for token in 1..=count {
        send(&mut sink, &topic, 0, &value, token);
        if token % 1000 == 0 {
            sink.acknowledged(Duration::ZERO, &mut tokens).unwrap();
        }
    }
    while sink.in_flight() > 0 {
        sink.acknowledged(SHORT, &mut tokens).unwrap();
    }
    let mut source = KafkaSource::open(&connection, Group::Intake, 0, &[topic]).unwrap();
    change(&mut source);
    let (mut seen, mut polls) = (0, 0);
    let before = thread_cpu();
    while seen < count {
        polls += 1;
        source.poll(SHORT, &mut |record| seen += u64::from(record.value.is_some())).unwrap();
    }
    let spent = thread_cpu().checked_sub(before).unwrap();
    eprintln!(
        "{} ns of this thread's CPU time a record, {} records a poll",
        spent.as_nanos() / u128::from(count),
        count / polls
    );
    assert!(spent < Duration::from_micros(2) * u32::try_from(count).unwrap(), "{spent:?}");
}

/// CPU time of this thread, from the kernel's account of it.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// What is committed of a partition, each with the number of offsets behind it.
fn rows(connection: &Connection, topic: &str, newest: Option<i64>) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    read_rows(connection, (topic, 1), newest, &mut |kept| {
        found.push((String::from_utf8(kept.value.unwrap().to_vec()).unwrap(), kept.remaining));
        Ok(())
    })
    .unwrap();
    found
}

#[test]
fn rows_are_visible_when_their_transaction_is_and_whoever_comes_next_fences() {
    let Some(connection) = connection("rows") else { return };
    let topic = topic(&connection, "changelog", 2);
    assert_eq!(rows(&connection, &topic, None), []);
    let mut first = RowsSink::open(&connection, 1).unwrap();
    (0..3000).for_each(|number| send(&mut first, &topic, 1, &format!("row {number}"), 0));
    assert_eq!(rows(&connection, &topic, None), [], "not before the transaction is over");
    first.start_commit(&[]).unwrap();
    assert!(first.commit_done(PATIENCE).unwrap());

    // The first one is paused in the midst of a transaction. That this one has begun shows that the one before is complete:
    // a broker says that a transaction is committed before its end stands in the log.
    send(&mut first, &topic, 1, "of the zombie", 0);
    first.acknowledged(PATIENCE, &mut Vec::new()).unwrap();
    assert_eq!(first.in_flight(), 0);
    let found = rows(&connection, &topic, None);
    assert_eq!(found.len(), 3000);
    // The end of the transaction takes an offset, too.
    assert_eq!(
        (found[0].clone(), found[2999].clone()),
        (("row 0".to_owned(), 3000), ("row 2999".to_owned(), 1))
    );
    assert_eq!(rows(&connection, &topic, Some(2)), [("row 2999".to_owned(), 1)]);

    // Another takes over.
    let mut second = RowsSink::open(&connection, 1).unwrap();
    assert_eq!(rows(&connection, &topic, None).len(), 3000, "what it has left open is ended");
    first.start_commit(&[]).unwrap();
    assert!(first.commit_done(PATIENCE).is_err(), "it is fenced");
    send(&mut second, &topic, 1, "of the successor", 0);
    second.start_commit(&[]).unwrap();
    assert!(second.commit_done(PATIENCE).unwrap());
    // Whoever opens next waits until that is complete.
    RowsSink::open(&connection, 1).unwrap();
    let found = rows(&connection, &topic, None);
    assert_eq!((found.len(), found[3000].0.as_str()), (3001, "of the successor"));

    // A visitor that has seen enough ends the reading.
    let end = read_rows(&connection, (&topic, 1), None, &mut |_| Err(WorkerError::Aborted));
    assert!(matches!(end, Err(WorkerError::Aborted)));
}
