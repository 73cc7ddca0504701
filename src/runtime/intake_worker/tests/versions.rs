//! Switching mappings on the log in memory: at an offset that is written down, never within a frame, the same again after a
//! crash.

use super::*;
use crate::runtime::system::{SystemTopics, publish_system};

/// A mapping that takes the account from this key of a record.
fn mapping(account: &str) -> String {
    format!(
        "version: 1\nname: usage\ntopic: usage\nkind: usage\n\
         set: {{event_id: id, event_time: time, account_id: {account}, event: {{const: login.failed}}}}\n"
    )
}

impl World {
    fn system(&self, system: &System) {
        let topics =
            SystemTopics { journal: "journal".to_owned(), partitions: 3, changelog: "changelog".to_owned() };
        publish_system(&mut self.log.sink(), &topics, system).unwrap();
    }

    fn apply(&self, generation: i64, text: &str) {
        let body = vec![("usage.yaml".into(), text.into())];
        self.system(&System::Mapping { generation, version: "v".into(), body, first: Vec::new() });
    }

    /// Records that have an account in each of two keys.
    fn records(&self, partition: i32, numbers: std::ops::Range<i64>) {
        for number in numbers {
            self.write(
                partition,
                &format!(r#"{{"id":"e{number}","time":900000,"a":"a-{number}","b":"b-{number}"}}"#),
            );
        }
    }

    /// Accounts that a reader takes in, of all journal partitions.
    fn all_accounts(&self) -> Vec<String> {
        let mut all: Vec<_> = (0..3).flat_map(|partition| accounts(&self.journal(partition))).collect();
        all.sort();
        all
    }

    /// First letters of the accounts in the frames of each version.
    fn letters(&self) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for record in (0..3).flat_map(|partition| self.journal(partition)) {
            let Some(frame) = frame(&record) else { continue };
            for event in frame.events() {
                let letter = event.unwrap().account.unwrap()[..1].to_owned();
                found.push((frame.mapping, letter));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// What the changelog says of first offsets: version, partition, offset.
    fn firsts(&self) -> Vec<(i64, i32, i64)> {
        let records = self.log.read(&at("changelog", 3), 0).unwrap();
        let first = |record: &Stored| match Entry::parse(record.value.as_deref().unwrap()).unwrap() {
            Entry::System(System::Mapping { generation, first, .. }) => {
                first.first().map(|(source, offset)| (generation, source.partition, *offset))
            }
            _ => None,
        };
        records.iter().filter_map(|(_, record)| first(record)).collect()
    }
}

/// The accounts of records by the letter of the key that they were taken from.
fn named(letters: &[(char, std::ops::Range<i64>)]) -> Vec<String> {
    let of = |(letter, numbers): &(char, std::ops::Range<i64>)| {
        let letter = *letter;
        numbers.clone().map(move |number| format!("{letter}-{number}"))
    };
    let mut all: Vec<_> = letters.iter().flat_map(of).collect();
    all.sort();
    all
}

/// Lets a worker take in what there is and send it, without the tick that would commit it.
fn take_in(world: &World, worker: &mut IntakeWorker<MemorySource, MemorySink>) {
    worker.turn(Duration::ZERO).unwrap();
    world.clock.pause(Duration::from_millis(20));
    worker.turn(Duration::ZERO).unwrap();
}

#[test]
fn a_new_mapping_applies_from_the_next_offset_and_no_frame_has_two() {
    let world = World::new();
    world.apply(1, &mapping("a"));
    let mut worker = world.worker();
    world.records(0, 0..10);
    world.records(1, 0..4);
    turns(&mut worker, 3);
    world.apply(2, &mapping("b"));
    world.records(0, 10..13);
    // Not yet noticed: it is looked for once a second.
    worker.turn(Duration::ZERO).unwrap();
    seconds(&world, &mut worker);
    world.records(0, 13..20);
    turns(&mut worker, 1);
    worker.finish(&Stop::default()).unwrap();
    let mut expected = named(&[('a', 0..13), ('b', 13..20)]);
    expected.extend(named(&[('a', 0..4)]));
    expected.sort();
    assert_eq!(world.all_accounts(), expected);
    assert_eq!(world.letters(), [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(world.firsts(), [(1, 0, 0), (1, 1, 0), (2, 0, 13), (2, 1, 4)]);
}

#[test]
fn after_a_crash_each_record_is_decoded_as_the_first_time() {
    let world = World::new();
    world.apply(1, &mapping("a"));
    let mut worker = world.worker();
    turns(&mut worker, 1);
    world.records(0, 0..10);
    take_in(&world, &mut worker);
    world.apply(2, &mapping("b"));
    worker.activate().unwrap();
    world.records(0, 10..15);
    take_in(&world, &mut worker);
    let before = world.all_accounts();
    drop(worker);
    assert_eq!(world.committed(0), None, "all of it is read again");

    let mut worker = world.worker();
    turns(&mut worker, 3);
    worker.finish(&Stop::default()).unwrap();
    assert_eq!(before, named(&[('a', 0..10), ('b', 10..15)]));
    assert_eq!(world.all_accounts(), before);
    assert_eq!(world.letters(), [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(world.firsts(), [(1, 0, 0), (1, 1, 0), (2, 0, 10), (2, 1, 0)], "nothing is written twice");
}

#[test]
fn what_a_dead_owner_has_decoded_keeps_its_version() {
    let world = World::new();
    world.apply(1, &mapping("a"));
    let mut worker = world.worker();
    world.records(0, 0..3);
    turns(&mut worker, 2);
    seconds(&world, &mut worker);
    assert_eq!(world.committed(0), Some(3));
    world.records(0, 3..13);
    take_in(&world, &mut worker);
    drop(worker);
    assert_eq!(world.committed(0), Some(3), "more is in the journal than is committed");

    world.apply(2, &mapping("b"));
    world.records(0, 13..17);
    let mut worker = world.worker();
    turns(&mut worker, 3);
    worker.finish(&Stop::default()).unwrap();
    assert_eq!(world.all_accounts(), named(&[('a', 0..13), ('b', 13..17)]));
    assert!(world.firsts().contains(&(2, 0, 13)), "{:?}", world.firsts());
}

#[test]
fn a_topic_of_the_canonical_form_keeps_it_for_what_was_read() {
    let world = World::new();
    let mut worker = world.worker();
    world.event(0, "a-0", "e0");
    turns(&mut worker, 2);
    world.apply(5, &mapping("b"));
    seconds(&world, &mut worker);
    world.records(0, 1..3);
    turns(&mut worker, 1);
    worker.finish(&Stop::default()).unwrap();
    assert_eq!(world.all_accounts(), named(&[('a', 0..1), ('b', 1..3)]));
    assert_eq!(world.letters(), [(0, "a".to_owned()), (5, "b".to_owned())]);
    assert_eq!(world.firsts(), [(0, 0, 0), (0, 1, 0), (5, 0, 1), (5, 1, 0)]);
}

#[test]
fn mappings_with_mistakes_leave_the_old_ones() {
    let world = World::new();
    world.apply(1, &mapping("a"));
    let mut worker = world.worker();
    turns(&mut worker, 1);
    world.apply(2, "version: 1\nname: broken\n");
    seconds(&world, &mut worker);
    world.records(0, 0..5);
    turns(&mut worker, 2);
    worker.finish(&Stop::default()).unwrap();
    assert_eq!(world.all_accounts(), named(&[('a', 0..5)]));
    assert_eq!(world.firsts(), [(1, 0, 0), (1, 1, 0)]);
}

#[test]
fn a_retired_source_that_comes_back_is_announced_again() {
    let world = World::new();
    let mut worker = world.worker();
    world.event(0, "a-0", "e0");
    turns(&mut worker, 2);
    worker.finish(&Stop::default()).unwrap();
    drop(worker);
    for partition in 0..2 {
        world.system(&System::SourceRetired { source: at("usage", partition), kind: Kind::Usage });
    }
    world.event(0, "a-1", "e1");
    let mut worker = world.worker();
    turns(&mut worker, 2);
    worker.finish(&Stop::default()).unwrap();
    // The reader refuses frames of a source that was retired and not announced again.
    assert_eq!(world.all_accounts(), named(&[('a', 0..2)]));
}

#[test]
fn a_new_partition_is_announced_before_its_first_event() {
    let world = World::new();
    world.apply(1, &mapping("a"));
    let mut worker = world.worker();
    world.records(0, 0..4);
    turns(&mut worker, 2);
    world.log.create("usage", 3, TimeOf::Creation);
    world.records(2, 4..8);
    turns(&mut worker, 3);
    worker.finish(&Stop::default()).unwrap();
    // The reader refuses frames of a source that was not announced.
    assert_eq!(world.all_accounts(), named(&[('a', 0..8)]));
    assert!(world.firsts().contains(&(1, 2, 0)));
}
