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
/// Records of the partition that is ahead, which begins this many minutes later. It is the one that the client reads first.
const AHEAD: i64 = 1_500;
const LEAD: i64 = 2_400;
/// The configured `max_skew`, in minutes.
const SKEW: i64 = 60;

/// Fills both partitions of a topic in small batches, which are what a broker hands out at least.
fn fill(app: &App, topic: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &app.brokers)
        .set("batch.num.messages", "50")
        .create()
        .unwrap();
    let start = now_ms() - 20 * 24 * 60 * MINUTE;
    for (partition, first, count) in [(0, LEAD, AHEAD), (1, 0, BEHIND)] {
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

/// Where the partition that is ahead was held, and where it read on: the next offsets, from the log.
fn held(log: &str, words: &str) -> Vec<i64> {
    let lines = log.lines().filter(|line| line.contains(words));
    let next = |line: &str| {
        let digits = line.split("\"next\":").nth(1)?;
        digits.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    lines.filter(|line| line.contains("\"partition\":0")).map(|line| next(line).unwrap()).collect()
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn who_is_held_back_goes_on_where_it_was() {
    let app = App::new("skew", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules"));
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

    let events = journaled(&app, &topic);
    for (partition, count) in [(0, AHEAD), (1, BEHIND)] {
        let offsets = events.iter().filter(|(own, _)| *own == partition).map(|(_, offset)| *offset);
        assert!(offsets.eq(0..count), "partition {partition}: each once, in order");
    }
    let holds = held(&log, "held back");
    assert!(!holds.is_empty() && holds == held(&log, "read on"), "it goes on where it was held: {log}");
    // Nothing of it comes between the hold and the moment at which the other one is near.
    for next in holds.into_iter().filter(|next| *next < AHEAD) {
        let place = events.iter().position(|event| *event == (0, next)).unwrap();
        let near = events[..place].iter().filter(|(partition, _)| *partition == 1).count();
        let near = i64::try_from(near).unwrap();
        assert!(near == BEHIND || near + SKEW >= LEAD + next, "{next} came when the other one was at {near}");
    }
}
