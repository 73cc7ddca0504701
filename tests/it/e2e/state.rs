//! What the stores of a process that was killed say, held to the journal.

use std::path::Path;

use forewarn::engine::effects::Effects;
use forewarn::engine::rows::row::Row;
use forewarn::engine::store::{ChangedRow, Marked, Store};
use forewarn::engine::{Activation, Engine, JournalRecord, Settings};
use forewarn::event::Timestamp;
use forewarn::journal::Entry;
use forewarn::runtime::memory_store::MemoryStore;
use forewarn::runtime::rocks::{RocksMemory, RocksStore};

use super::cluster::{App, Read};

pub const PARTITIONS: u16 = 4;

/// All rows of a store, by key.
fn rows(store: &mut RocksStore) -> Vec<ChangedRow> {
    // A line of its own has no marker, so everything is a change.
    store.set_marked(Marked::begin(1_000)).unwrap();
    let mut rows: Vec<_> =
        store.changes().unwrap().rows.map(Result::unwrap).filter(|(_, row)| row.is_some()).collect();
    rows.sort();
    rows
}

/// A row as people can read it.
fn told((key, row): &ChangedRow) -> String {
    let row = row.as_deref().map(Row::decode);
    format!("{}: {row:?}", key.0.escape_ascii())
}

/// Rows of an engine that was never disturbed and has read everything before this position.
fn undisturbed(app: &App, journal: &[Read], partition: u16, position: i64) -> Vec<ChangedRow> {
    let mut engine = Engine::new(Settings {
        application_id: app.id.as_str().into(),
        journal: app.topic("journal").into(),
        partition,
        partitions: PARTITIONS,
        hot_bytes: 64 << 20,
        activate: Activation::Live,
    });
    let (mut store, mut effects) = (MemoryStore::new(), Effects::default());
    let own = |record: &&Read| record.partition == i32::from(partition) && record.offset < position;
    for record in journal.iter().filter(own) {
        let record = JournalRecord {
            offset: record.offset,
            time: Timestamp(record.timestamp),
            entry: Entry::parse(record.value.as_deref().unwrap()).unwrap(),
        };
        engine.step(&record, &mut store, &mut effects).unwrap();
        effects.clear();
    }
    let checkpoint = engine.checkpoint(&mut store).unwrap();
    store.checkpoint(&checkpoint).unwrap();
    store.rows().iter().map(|(key, row)| (key.clone(), Some(row.clone()))).collect()
}

/// No store is ahead of what is committed, and each holds exactly the rows of its position. How many rows there are.
pub fn assert_agrees(app: &App, folder: &Path) -> usize {
    let topic = app.topic("journal");
    let journal = app.read_all(&topic);
    let committed = app.committed(&format!("{}-detect", app.id), &topic, i32::from(PARTITIONS));
    let memory = RocksMemory::new(8 << 20, 8 << 20);
    let mut count = 0;
    for (partition, committed) in (0..PARTITIONS).zip(committed) {
        let own = i32::from(partition);
        if !folder.join(own.to_string()).exists() {
            continue;
        }
        let mut store = RocksStore::open(folder, own, u32::from(PARTITIONS), &memory).unwrap();
        let Some((position, _)) = store.last_checkpoint().unwrap() else { continue };
        // Where nothing is committed yet, the journal is read from its beginning.
        let committed = committed.max(0);
        assert!(
            position <= committed,
            "partition {own}: the store is at {position}, committed is {committed}"
        );
        let found = rows(&mut store);
        let expected = undisturbed(app, &journal, partition, position);
        assert_eq!(found.len(), expected.len(), "partition {own} at {position}");
        let differences: Vec<String> = found
            .iter()
            .zip(&expected)
            .filter(|(found, expected)| found != expected)
            .map(|(found, expected)| format!("found {}\nexpected {}", told(found), told(expected)))
            .collect();
        assert!(differences.is_empty(), "partition {own} at {position}:\n{}", differences.join("\n"));
        count += found.len();
    }
    count
}
