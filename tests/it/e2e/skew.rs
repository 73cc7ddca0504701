//! A partition that runs ahead of another one in event time waits for it, and goes on exactly where it was held.

use std::path::Path;

use forewarn::journal::Entry;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::util::Timeout;

use super::cluster::{App, LIMIT, now_ms};

const MINUTE: i64 = 60_000;
/// Records of the partition that is behind, a minute apart.
const BEHIND: i64 = 3_000;
/// Records of the partition that is ahead, which begins this many minutes later.
const AHEAD: i64 = 1_500;
const LEAD: i64 = 2_400;

/// Fills both partitions of a topic in small batches, which are what a broker hands out at least.
fn fill(app: &App, topic: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &app.brokers)
        .set("batch.num.messages", "50")
        .create()
        .unwrap();
    let start = now_ms() - 20 * 24 * 60 * MINUTE;
    for (partition, first, count) in [(0, 0, BEHIND), (1, LEAD, AHEAD)] {
        for number in 0..count {
            let time = start + (first + number) * MINUTE;
            let value = format!(
                "{{\"event_id\":\"{partition}-{number}\",\"event_time\":{time},\"account_id\":\"acme\",\
                 \"event\":\"login.failed\"}}"
            );
            let record =
                BaseRecord::<(), String>::to(topic).partition(partition).payload(&value).timestamp(time);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Timeout::After(LIMIT)).unwrap();
}

/// Partition and offset of each event of the topic, in the order of the journal.
fn journaled(app: &App, topic: &str) -> Vec<(i32, i64)> {
    let mut events = Vec::new();
    for record in app.read_all(&app.topic("journal")) {
        let value = record.value.unwrap();
        let Entry::Frame(frame) = Entry::parse(&value).unwrap() else { continue };
        for event in frame.events() {
            let position = event.unwrap().position;
            let source = &frame.sources[usize::from(position.source)].source;
            assert_eq!(&*source.topic, topic);
            events.push((source.partition, position.offset));
        }
    }
    events
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn who_is_held_back_goes_on_where_it_was() {
    let app = App::new("skew", &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"));
    let topic = app.topic("usage");
    fill(&app, &topic);
    // Some 500 records a second and partition, so that the worker looks at the skew several times on the way.
    let config = std::fs::read_to_string(app.path("forewarn.yaml")).unwrap();
    let config = config.replace(
        "session_timeout: 6s}",
        "session_timeout: 6s, consumer: {max.partition.fetch.bytes: 1000, queued.min.messages: 1, \
         fetch.queue.backoff.ms: 100}}",
    );
    std::fs::write(app.path("forewarn.yaml"), config + "max_skew: 1h\n").unwrap();
    let running = app.run("forewarn.yaml");
    app.wait_intake(&topic);
    // Detect would have stopped at a gap.
    app.wait_detect();
    let log = running.log();
    running.stop();
    assert!(log.contains("held back") && log.contains("read on"), "{log}");

    let events = journaled(&app, &topic);
    for (partition, count) in [(0, BEHIND), (1, AHEAD)] {
        let offsets = events.iter().filter(|(own, _)| *own == partition).map(|(_, offset)| *offset);
        assert!(offsets.eq(0..count), "partition {partition}: each once, in order");
    }
    let done = events.iter().position(|event| *event == (1, AHEAD - 1)).unwrap();
    let behind = events[..done].iter().filter(|(partition, _)| *partition == 0).count();
    assert!(behind > 2_300, "the one ahead was done when the other one was at {behind}");
}
