//! Killed at random instants, a real `RocksDB` holds exactly the rows of the position it names.
//!
//! The test runs itself again as a child that steps an engine through a numbered journal and writes checkpoints; the parent
//! kills it, opens the store, and compares every row with those of an engine that was never killed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forewarn::engine::effects::Effects;
use forewarn::engine::store::Store;
use forewarn::engine::{Activation, Engine, JournalRecord, Settings};
use forewarn::event::{Event, Field, Kind, SourcePartition, Timestamp, Value};
use forewarn::journal::{Coverage, Entry, FrameBuilder, System};
use forewarn::rules::program::Program;
use forewarn::runtime::memory_store::MemoryStore;
use forewarn::runtime::rocks::{RocksMemory, RocksStore};

const FOLDER: &str = "FOREWARN_TEST_CRASH_FOLDER";
const KILLS: u32 = 12;
const RECORDS: i64 = 6_000;
const PER_CHECKPOINT: i64 = 7;
const START: i64 = 1_767_571_200_000;

fn program() -> Arc<Program> {
    super::scenarios::program(&[("rules.yaml", include_str!("oracle/rules.yaml"))])
}

fn settings() -> Settings {
    Settings {
        application_id: "crash".into(),
        journal: "journal".into(),
        partition: 0,
        partitions: 1,
        hot_bytes: 64 << 20,
        activate: Activation::Replay(Timestamp::MIN),
    }
}

fn fresh() -> Engine {
    let mut engine = Engine::new(settings());
    engine.install(program());
    engine
}

fn source() -> SourcePartition {
    SourcePartition { topic: "error-log".into(), partition: 0 }
}

/// The journal's record at this offset; always the same.
fn with_record(offset: i64, visit: impl FnOnce(&JournalRecord<'_>)) {
    let time = Timestamp(START + offset * 1_000);
    if offset == 0 {
        let added =
            System::SourceAdded { source: source(), kind: Kind::ErrorLog, first: 0, lateness_ms: 600_000 };
        visit(&JournalRecord { offset, time, entry: Entry::System(added) });
        return;
    }
    let mut builder = FrameBuilder::new();
    for index in 0..20_u64 {
        let number = u64::try_from(offset).unwrap() * 20 + index;
        let mut event = Event::new(Kind::ErrorLog, "connection.failed", time);
        event.account = Some(format!("a{}", number * number % 997).into());
        event.id = number + 1;
        event.position.offset = offset - 1;
        event.position.index = u16::try_from(index).unwrap();
        event.set(Field::Integration, Value::text("slack"));
        event.set(Field::Occurrences, Value::Int(1));
        builder.push(&event, 0);
    }
    let coverage = Coverage {
        source: source(),
        from: offset - 1,
        to: offset - 1,
        end: offset,
        watermark: time.plus(-600_000),
        caught_up: true,
    };
    let mut bytes = Vec::new();
    builder.finish(0, &[coverage], &mut bytes);
    visit(&JournalRecord { offset, time, entry: Entry::parse(&bytes).unwrap() });
}

fn step(engine: &mut Engine, store: &mut dyn Store, offset: i64, effects: &mut Effects) {
    with_record(offset, |record| engine.step(record, store, effects).unwrap());
    effects.clear();
}

fn open(folder: &Path) -> RocksStore {
    RocksStore::open(folder, 0, 1, &RocksMemory::new(8 << 20, 8 << 20)).unwrap()
}

/// The file with which a child says that it has written a checkpoint.
const BEGUN: &str = "begun";

/// What the child does: goes on from the last checkpoint until it is killed or done.
fn ingest(folder: &Path) {
    let mut store = open(folder);
    let (mut engine, first) = match store.last_checkpoint().unwrap() {
        Some((position, task)) => {
            let mut engine = Engine::resume(settings(), position, &task).unwrap();
            engine.install(program());
            (engine, position)
        }
        None => (fresh(), 0),
    };
    let mut effects = Effects::default();
    for offset in first..RECORDS {
        step(&mut engine, &mut store, offset, &mut effects);
        if offset % PER_CHECKPOINT == 0 {
            let checkpoint = engine.checkpoint(&mut store).unwrap();
            store.checkpoint(&checkpoint).unwrap();
            std::fs::write(folder.with_extension(BEGUN), []).unwrap();
        }
    }
}

/// Rows of an undisturbed engine that has read everything before this position.
fn undisturbed(engine: &mut Engine, store: &mut MemoryStore, (from, to): (i64, i64)) {
    let mut effects = Effects::default();
    for offset in from..to {
        step(engine, store, offset, &mut effects);
    }
    let checkpoint = engine.checkpoint(store).unwrap();
    store.checkpoint(&checkpoint).unwrap();
}

#[test]
fn rows_equal_those_of_the_position_after_every_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        ingest(Path::new(&folder));
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    let begun = folder.with_extension(BEGUN);
    let (mut oracle, mut rows) = (fresh(), MemoryStore::default());
    let mut seen = 0;
    let mut seed = 7_u64;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_crash::rows_equal_those_of_the_position_after_every_kill"])
            .env(FOLDER, &folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every other child is killed wherever it is, the others once they have come far enough to have something to lose.
        drop(std::fs::remove_file(&begun));
        while kill % 2 > 0 && !begun.exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let deadline = Instant::now() + Duration::from_millis((seed >> 33) % 400);
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut store = open(&folder);
        let Some((position, _)) = store.last_checkpoint().unwrap() else {
            assert_eq!(seen, 0, "a later child lost what an earlier one had written");
            continue;
        };
        assert!(position >= seen, "the position fell from {seen} to {position}");
        undisturbed(&mut oracle, &mut rows, (seen, position));
        seen = position;
        let (keys, expected): (Vec<_>, Vec<_>) =
            rows.rows().iter().map(|(key, row)| (key.clone(), Some(row.clone()))).unzip();
        // The record at 0 announces the source; rows begin with the next.
        assert!(position <= 1 || !keys.is_empty());
        assert_eq!(store.load(&keys).unwrap(), expected, "position {position}");
    }
    assert!(seen > 100, "the children came no further than {seen}");
}
