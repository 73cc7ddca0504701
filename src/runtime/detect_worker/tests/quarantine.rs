//! A journal record that kills the engine: three deaths, then it is left out.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::config::HeaderDialect;
use crate::journal::Frame;
use crate::runtime::deaths::{Death, Deaths};
use crate::runtime::letters::LetterWriter;
use crate::runtime::memory_log::Stored;

thread_local! {
    /// The account whose row kills.
    static POISON: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Kills the engine of this thread if it asks for the row of the account that kills.
pub(super) fn strike(keys: &[RowKey]) {
    let is_in = |account: &str| {
        keys.iter().any(|key| key.0.windows(account.len()).any(|part| part == account.as_bytes()))
    };
    assert!(!POISON.get().is_some_and(is_in), "the bug of this test");
}

impl World {
    /// What the machine's workers leave records out with, if it remembers deaths.
    pub(super) fn quarantine(&self) -> Option<Arc<Quarantine>> {
        let (log, writing) = (self.log.clone(), self.log.clone());
        let read = move |partition: &SourcePartition,
                         range: std::ops::Range<i64>,
                         visit: &mut dyn FnMut(&Record<'_>) -> Result<(), WorkerError>| {
            let records =
                log.read(partition, range.start).map_err(crate::runtime::source::SourceError::from)?;
            records
                .iter()
                .take_while(|(offset, _)| *offset < range.end)
                .try_for_each(|(offset, stored)| visit(&record_of(partition.partition, *offset, stored)))
        };
        Some(Arc::new(Quarantine {
            deaths: self.deaths()?,
            read: Arc::new(read),
            open_sink: Arc::new(move || Ok(Box::new(writing.sink()) as Box<dyn Sink + Send>)),
            letters: LetterWriter {
                topic: "dlq".to_owned(),
                dialect: HeaderDialect::Streams,
                instance: "test".to_owned(),
            },
        }))
    }

    fn deaths(&self) -> Option<Deaths> {
        self.machine.as_ref().map(|disk| Deaths::beside(disk.path()))
    }

    /// A machine that has never seen anything.
    fn new_machine(&mut self) {
        self.machine = Some(tempfile::tempdir().unwrap());
    }

    /// An event and the source record that it came from.
    fn record(&mut self, account: &str, name: &str) {
        let value = format!("{name} of {account}");
        let given = Given {
            partition: &at("usage", 0),
            timestamp: self.clock.now(),
            key: Some(account.as_bytes()),
            value: Some(value.as_bytes()),
        };
        assert_eq!(self.log.append(given).unwrap(), self.next);
        self.event(account, name);
    }

    /// Works until all is committed, or the engine has died so often; how often it did.
    fn live(&self, group: &str, stores: &[Kept], most: usize) -> usize {
        let mut deaths = 0;
        while deaths < most {
            let work = || self.run(group, stores, &calm());
            match catch_unwind(AssertUnwindSafe(work)) {
                Ok(failures) => {
                    assert_eq!(failures, 0);
                    break;
                }
                Err(_) => {
                    deaths += 1;
                    self.deaths().unwrap().note().unwrap().unwrap();
                }
            }
        }
        deaths
    }
}

fn record_of(partition: i32, offset: i64, stored: &Stored) -> Record<'_> {
    Record {
        topic: 0,
        partition,
        offset,
        timestamp: stored.timestamp,
        key: stored.key.as_deref(),
        value: stored.value.as_deref(),
        headers: stored,
    }
}

fn header<'r>(record: &'r Stored, name: &str) -> &'r str {
    let found = record.headers.iter().find(|(own, _)| &**own == name);
    std::str::from_utf8(&found.unwrap_or_else(|| panic!("no header {name}")).1).unwrap()
}

#[test]
fn a_record_that_killed_three_times_is_left_out_by_everybody() {
    let mut world = World::new();
    world.log.create("dlq", 1, TimeOf::Append);
    world.log.create("usage", 1, TimeOf::Creation);
    world.new_machine();
    for account in ["acme", "acme", "poison", "acme", "globex", "globex", "globex"] {
        world.record(account, "login.failed");
    }
    POISON.set(Some("poison"));
    let (first, second) = (stores(&calm()), stores(&calm()));
    assert_eq!(world.live("one", &first, 10), 3);

    let letters = world.log.read(&at("dlq", 0), 0).unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0].1;
    assert_eq!(letter.key.as_deref(), Some(b"poison".as_slice()));
    assert_eq!(letter.value.as_deref(), Some(b"login.failed of poison".as_slice()));
    let told = ["__streams.errors.topic", "__streams.errors.partition", "__streams.errors.offset"];
    assert_eq!(told.map(|name| header(letter, name)), ["usage", "0", "2"]);
    assert_eq!(header(letter, "forewarn.errors.stage"), "engine");
    assert_eq!(header(letter, "forewarn.errors.reason"), "quarantined");
    let metrics = world.metrics.render().unwrap();
    assert!(metrics.contains(r#"forewarn_dead_letters_total{reason="quarantined",topic="usage"} 1"#));
    assert!(metrics.contains(r#"forewarn_events_total{kind="usage",result="dead_letter"} 1"#), "{metrics}");
    let opened = |group: &str| {
        let alerts = world.values(&format!("{group}-alerts"));
        let mut keys: Vec<String> = alerts.into_iter().filter_map(|(key, _)| key).collect();
        keys.sort();
        keys
    };
    assert_eq!(opened("one"), ["acme", "globex"], "the rest goes on");

    // Another machine knows nothing of it until its own engine dies, and then does as the first one said.
    world.new_machine();
    assert_eq!(world.live("two", &second, 10), 1);
    assert_eq!(world.published("two"), world.published("one"));
    assert_eq!(world.log.read(&at("dlq", 0), 0).unwrap().len(), 1, "nothing is told twice");

    // Once the record is behind, nothing reminds of it.
    assert_eq!(world.live("two", &second, 10), 0);
    let own = i32::try_from(partition_of(b"poison", 2)).unwrap();
    let deaths = world.deaths().unwrap();
    assert_eq!(deaths.of(own).unwrap(), None);
    POISON.set(None);
}

/// Several records in a row hold what kills, and between them nothing is stored.
#[test]
fn each_of_several_is_left_out_in_its_turn() {
    let mut world = World::new();
    world.log.create("dlq", 1, TimeOf::Append);
    world.log.create("usage", 1, TimeOf::Creation);
    world.new_machine();
    for account in ["poison", "acme", "poison", "acme", "poison", "acme"] {
        world.record(account, "login.failed");
    }
    POISON.set(Some("poison"));
    let kept = stores(&calm());
    assert_eq!(world.live("one", &kept, 3), 3);
    // The order to leave the first one out stands between the others and one more.
    let own = at("journal", i32::try_from(partition_of(b"poison", 2)).unwrap());
    let told = world.quarantine().unwrap().judge(&own, 0, (Timestamp(0), &world.metrics)).unwrap();
    assert_eq!(told, [2]);
    world.record("poison", "login.failed");
    let deaths = world.live("one", &kept, 30);
    POISON.set(None);
    assert_eq!(deaths, 9);
    let letters = world.log.read(&at("dlq", 0), 0).unwrap();
    let offsets: Vec<&str> =
        letters.iter().map(|(_, letter)| header(letter, "__streams.errors.offset")).collect();
    assert_eq!(offsets, ["0", "2", "4", "6"]);
    assert_eq!(world.values("one-alerts").len(), 1, "the other account's three failures are told");
}

#[test]
fn what_is_gone_from_its_topic_is_told_all_the_same() {
    let mut world = World::new();
    world.log.create("dlq", 1, TimeOf::Append);
    world.log.create("usage", 1, TimeOf::Creation);
    world.new_machine();
    world.record("acme", "login.failed");
    world.record("poison", "login.failed");
    world.log.truncate(&at("usage", 0), 2).unwrap();
    POISON.set(Some("poison"));
    assert_eq!(world.live("one", &stores(&calm()), 10), 3);
    POISON.set(None);
    let letters = world.log.read(&at("dlq", 0), 0).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].1.value, None);
    assert_eq!(header(&letters[0].1, "__streams.errors.offset"), "1");
    assert!(header(&letters[0].1, "__streams.errors.message").ends_with("gone from its topic"));
}

#[test]
fn ticks_and_orders_are_not_left_out() {
    let mut world = World::new();
    world.log.create("dlq", 1, TimeOf::Append);
    world.new_machine();
    let tick = Coverage {
        source: at("usage", 0),
        from: 0,
        to: -1,
        end: 0,
        watermark: Timestamp(START),
        caught_up: true,
    };
    let mut bytes = Vec::new();
    FrameBuilder::new().finish(0, &[tick], &mut bytes);
    assert!(matches!(Entry::parse(&bytes), Ok(Entry::Frame(frame)) if Frame::is_tick(&frame)));
    world.append(0, &bytes);
    // Offset 1 is the order that brings the rules, 2 the tick.
    for offset in [1, 2] {
        crate::runtime::deaths::set_under_way(Some((0, offset)));
        let deaths = world.deaths().unwrap();
        let mut last = None;
        for _ in 0..5 {
            last = deaths.note().unwrap();
        }
        crate::runtime::deaths::set_under_way(None);
        assert_eq!(last, Some(Death { offset, times: 5 }));
        let before = world.log.read(&at("journal", 0), 0).unwrap().len();
        let told = world.quarantine().unwrap().judge(&at("journal", 0), 0, (Timestamp(0), &world.metrics));
        assert_eq!(told.unwrap(), [] as [i64; 0]);
        assert_eq!(world.log.read(&at("journal", 0), 0).unwrap().len(), before);
    }
    assert_eq!(world.log.read(&at("dlq", 0), 0).unwrap().len(), 0);
}
