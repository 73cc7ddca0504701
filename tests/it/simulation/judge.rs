//! What is held against a run when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use forewarn::event::SourcePartition;
use forewarn::journal::{Entry, System};

use super::cluster::Kept;
use super::fate::Case;
use super::input::{Input, Place, expected, places};
use super::world::{DETECT, JOURNAL, JOURNAL_PARTITIONS, LETTERS, OUTPUTS, World};

/// What a reader sees of each key, in order.
type Seen = BTreeMap<(String, Vec<u8>), Vec<(Option<Vec<u8>>, Vec<(String, Vec<u8>)>)>>;

/// What a `read_committed` reader sees of the outputs. Keys of different tasks interleave as they like.
fn seen(world: &World) -> Seen {
    let mut seen = Seen::new();
    for topic in OUTPUTS {
        for record in world.cluster.borrow().visible(topic) {
            let key = (topic.to_owned(), record.key.clone().unwrap_or_default());
            seen.entry(key).or_default().push((record.value.clone(), record.headers.clone()));
        }
    }
    seen
}

fn at(partition: usize) -> SourcePartition {
    SourcePartition { topic: JOURNAL.into(), partition: partition as i32 }
}

fn journal(world: &World, partition: usize) -> Vec<Rc<Kept>> {
    let committed = world.committed(DETECT, JOURNAL, partition) as usize;
    world.cluster.borrow().log(&at(partition))[..committed].to_vec()
}

/// Runs an undisturbed detect worker over the journal that a run has left.
fn undisturbed(journals: &[Vec<Rc<Kept>>]) -> Seen {
    let calm = Case::Plan { blows: Vec::new(), coin: 0 };
    let world = World::enter(&calm, &[DETECT]);
    for (partition, records) in journals.iter().enumerate() {
        world.cluster.borrow_mut().put(JOURNAL, partition, records);
    }
    let done = || {
        (0..JOURNAL_PARTITIONS).all(|own| world.committed(DETECT, JOURNAL, own) >= journals[own].len() as i64)
    };
    for _ in 0..2_000 {
        if done() {
            break;
        }
        world.round();
    }
    assert!(done(), "the undisturbed run does not come to its end");
    let seen = seen(&world);
    world.leave();
    seen
}

/// Where the events of a journal partition came from, duplicates dropped by what their frames cover. Reads covered ranges
/// in its own way.
fn events(records: &[Rc<Kept>]) -> Vec<Place> {
    let mut next: BTreeMap<SourcePartition, i64> = BTreeMap::new();
    let mut found = Vec::new();
    for record in records {
        let frame = match Entry::parse(record.value.as_deref().unwrap()).unwrap() {
            Entry::System(System::SourceAdded { source, first, .. }) => {
                next.entry(source).or_insert(first);
                continue;
            }
            Entry::System(_) => continue,
            Entry::Frame(frame) => frame,
        };
        let due: Vec<i64> = frame.sources.iter().map(|coverage| next[&coverage.source]).collect();
        for (coverage, due) in frame.sources.iter().zip(&due) {
            assert!(
                coverage.from <= *due,
                "offsets {due}..{} of {:?} are missing",
                coverage.from,
                coverage.source
            );
            next.insert(coverage.source.clone(), (coverage.to + 1).max(*due));
        }
        if frame.sources.iter().any(|coverage| &*coverage.source.topic == JOURNAL) {
            continue;
        }
        for event in frame.events().map(Result::unwrap) {
            let place = usize::from(event.position.source);
            if event.position.offset >= due[place] {
                let source = &frame.sources[place].source;
                found.push((source.topic.to_string(), source.partition, event.position.offset));
            }
        }
    }
    found
}

/// Every input record is in the journal or among the dead letters, once.
fn input_law(world: &World, inputs: &[Input]) {
    let (good, bad) = places(inputs);
    let mut found = BTreeSet::new();
    for partition in 0..JOURNAL_PARTITIONS {
        for place in events(&journal(world, partition)) {
            assert!(found.insert(place.clone()), "{place:?} was applied twice");
        }
    }
    assert_eq!(found, good, "applied on the left, written on the right");
    let letters: BTreeSet<Place> =
        world.cluster.borrow().visible(LETTERS).iter().map(|letter| origin(letter)).collect();
    assert_eq!(letters, bad, "dead letters on the left, garbage on the right");
}

/// Where a dead letter came from, by its headers.
fn origin(letter: &Kept) -> Place {
    let header = |name: &str| {
        let name = format!("__streams.errors.{name}");
        let (_, value) = letter.headers.iter().find(|(own, _)| *own == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    (header("topic"), header("partition").parse().unwrap(), header("offset").parse().unwrap())
}

/// How often each rule said what of whom.
fn said(seen: &Seen) -> BTreeMap<(String, String, String), u32> {
    let mut said = BTreeMap::new();
    let alerts = seen.iter().filter(|((topic, _), _)| topic == OUTPUTS[0]).flat_map(|(_, records)| records);
    for (value, _) in alerts {
        let alert: serde_json::Value = serde_json::from_slice(value.as_deref().unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let key = (text(&alert["rule"]["id"]), text(&alert["entity"]["id"]), text(&alert["action"]));
        if key.2 != "updated" {
            *said.entry(key).or_insert(0) += 1;
        }
    }
    said
}

/// All of it. The world is left behind.
pub fn judge(world: &World, inputs: &[Input]) {
    assert!(!world.cluster.borrow().has_open(), "a transaction is open");
    input_law(world, inputs);
    let disturbed = seen(world);
    assert_eq!(
        said(&disturbed),
        expected(inputs),
        "what was said is on the left, what the input means on the right"
    );
    let journals: Vec<_> = (0..JOURNAL_PARTITIONS).map(|partition| journal(world, partition)).collect();
    world.leave();
    assert!(
        disturbed == undisturbed(&journals),
        "the undisturbed run over the same journal says something else"
    );
}
