//! A frame taken out of the journal stops the task with a clear message; a frame that is there twice changes nothing.

use std::path::Path;

use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::util::Timeout;

use super::cluster::{App, LIMIT};
use super::crash::{by_entity, load, undisturbed};

const PARTITIONS: i32 = 4;

/// Copies the journal of one application into that of another, saying for each record how often.
fn copy_journal(from: &App, to: &App, mut times: impl FnMut(i32, i64, &[u8]) -> usize) {
    let consumer = from.consumer("copy");
    let producer = to.producer();
    let topic = from.topic("journal");
    let ends = from.ends(&topic, PARTITIONS);
    for partition in 0..PARTITIONS {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&topic, partition, rdkafka::Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let end = ends[usize::try_from(partition).unwrap()];
        let mut next = 0;
        while next < end {
            let message = match consumer.poll(LIMIT).expect("nothing more to read") {
                Ok(message) => message,
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => break,
                Err(error) => panic!("{error}"),
            };
            next = message.offset() + 1;
            let value = message.payload().unwrap();
            for _ in 0..times(partition, message.offset(), value) {
                let journal = to.topic("journal");
                let record = BaseRecord::<(), [u8]>::to(&journal).partition(partition).payload(value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
    }
    producer.flush(Timeout::After(LIMIT)).unwrap();
}

/// An application whose journal is full and whose own detect is done.
fn journaled(name: &str) -> App {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let app = App::new(name, &rules);
    let running = app.run("forewarn.yaml");
    for stretch in 0..3 {
        load(&app, stretch);
    }
    app.wait_intake(&app.topic("error-log"));
    app.wait_intake(&app.topic("usage"));
    app.wait_detect();
    running.stop();
    app
}

/// An application that reads a journal it did not write.
fn reader(name: &str) -> App {
    let app = App::without_rules(name);
    app.write_config("detect.yaml", "detect", "a", "state", "");
    app
}

/// The alerts without what names the application: ids and origins.
fn summaries(app: &App, topic: &str) -> Vec<(Vec<u8>, Vec<String>)> {
    by_entity(app.read_all(&app.topic(topic)))
        .into_iter()
        .map(|(entity, revisions)| {
            let lines = revisions.iter().map(|revision| {
                let value: serde_json::Value = serde_json::from_slice(revision).unwrap();
                format!(
                    "{} {} {} {}",
                    value["rule"]["id"], value["action"], value["summary"], value["evidence"]
                )
            });
            (entity, lines.collect())
        })
        .collect()
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn every_frame_twice_changes_nothing() {
    let from = journaled("twice");
    let expected = summaries(&from, "alerts");
    assert!(!expected.is_empty());
    let to = reader("twice-again");
    copy_journal(&from, &to, |_, _, _| 2);
    let running = to.run("detect.yaml");
    to.wait_detect();
    running.stop();
    assert_eq!(summaries(&to, "alerts"), expected);
    assert!(!undisturbed(&from).is_empty());
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn a_missing_frame_stops_the_task_with_a_clear_message() {
    let from = journaled("gap");
    let to = reader("gap-again");
    let mut left_out = false;
    copy_journal(&from, &to, |partition, _, value| {
        let entry = forewarn::journal::Entry::parse(value).unwrap();
        let full = matches!(&entry, forewarn::journal::Entry::Frame(frame) if !frame.is_tick());
        if full && partition == 2 && !left_out {
            left_out = true;
            return 0;
        }
        1
    });
    assert!(left_out);
    let (code, log) = to.run("detect.yaml").wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("lost") && log.contains("source_moved"), "{log}");
}
