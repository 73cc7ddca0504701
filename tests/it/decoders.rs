//! Every decoder of outside bytes over seeds and mutations of them: none panics, and memory stays bounded.
//! A failing input is printed in hex.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use forewarn::engine::effects::Effects;
use forewarn::engine::store::Store;
use forewarn::engine::{Activation, Engine, JournalRecord, Settings};
use forewarn::event::{Event, Field, Kind, SourcePartition, Timestamp, Value};
use forewarn::journal::{Coverage, Entry, FrameBuilder, System, encode_system};
use forewarn::runtime::changelog::{self, marker::Marker};
use forewarn::runtime::memory_store::MemoryStore;

mod targets;

use super::random::Random;
use targets::TARGETS;

/// Mutations of each target's inputs; readers of text take longer.
const MUTATIONS: u64 = 3_000;
/// More than this, MiB, no run of all decoders takes.
const MEMORY_MIB: u64 = 512;
const ALONE: &str = "FOREWARN_TEST_DECODERS";

/// Bytes and words that decoders trip over.
const NASTY: [&[u8]; 12] = [
    &[0xff; 10],
    &[0x80; 9],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0],
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":{\"a\":",
    b"999999999999999999999999",
    b"-1e999",
    b"\\ud800",
    b"\xf0\x9f\x92\xa9",
    b": &a *a",
];

fn below(random: &mut Random, bound: usize) -> usize {
    random.below(bound.max(1) as u64) as usize
}

fn mutate(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = inputs[below(random, inputs.len())].clone();
    for _ in 0..=random.below(4) {
        let at = below(random, bytes.len() + 1);
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, NASTY[below(random, NASTY.len())].iter().copied())),
            4 => {
                let end = (at + below(random, 9)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let other = &inputs[below(random, inputs.len())];
                let from = below(random, other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let end = (at + below(random, 40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

fn read_all(folder: &Path, ending: &str, found: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, ending, found);
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(fs::read(path).unwrap());
        }
    }
}

fn bytes_of_hex(line: &str) -> Vec<u8> {
    (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect()
}

fn source() -> SourcePartition {
    SourcePartition { topic: "usage".into(), partition: 0 }
}

/// The journal of a task that has seen something of everything.
fn journal() -> Vec<Vec<u8>> {
    let systems = [
        System::SourceAdded { source: source(), kind: Kind::Usage, first: 0, lateness_ms: 600_000 },
        System::Rules {
            generation: 1,
            rule_set: "r".into(),
            body: vec![("rules.yaml".into(), include_str!("oracle/rules.yaml").into())],
            seed: false,
        },
        System::Quarantine { partition: 0, offset: 7, reason: "x".into() },
    ];
    let mut records: Vec<Vec<u8>> = systems
        .iter()
        .map(|system| {
            let mut bytes = Vec::new();
            encode_system(system, &mut bytes);
            bytes
        })
        .collect();
    let time = Timestamp(1_767_571_200_000);
    let mut builder = FrameBuilder::new();
    for number in 0..6_u64 {
        let mut event =
            Event::new(Kind::Usage, if number == 3 { "login.succeeded" } else { "login.failed" }, time);
        event.account = Some("acme".into());
        event.user = Some(["u1", "u2"][number as usize % 2].into());
        event.id = number + 1;
        event.position.offset = number as i64;
        event.set(Field::Platform, Value::text("web"));
        builder.push(&event, 0);
    }
    let coverage = Coverage {
        source: source(),
        from: 0,
        to: 5,
        end: 6,
        watermark: time.plus(-600_000),
        caught_up: true,
    };
    let mut frame = Vec::new();
    builder.finish(0, &[coverage], &mut frame);
    records.push(frame);
    records
}

/// Rows, keys and the task's state after that journal.
fn state() -> [Vec<Vec<u8>>; 3] {
    let settings = Settings {
        application_id: "seed".into(),
        journal: "journal".into(),
        partition: 0,
        partitions: 1,
        hot_bytes: 1 << 20,
        activate: Activation::Live,
    };
    let (mut engine, mut store) = (Engine::new(settings), MemoryStore::default());
    engine.install(Arc::clone(&super::scenarios::program(&[(
        "rules.yaml",
        include_str!("oracle/rules.yaml"),
    )])));
    for (offset, bytes) in (0..).zip(journal()) {
        let time = Timestamp(1_767_571_200_000 + offset);
        let entry = Entry::parse(&bytes).unwrap();
        engine.step(&JournalRecord { offset, time, entry }, &mut store, &mut Effects::default()).unwrap();
    }
    let checkpoint = engine.checkpoint(&mut store).unwrap();
    store.checkpoint(&checkpoint).unwrap();
    let keys = store.rows().keys().map(|key| key.0.to_vec()).collect();
    [store.rows().values().cloned().collect(), keys, vec![checkpoint.task]]
}

/// What a target begins with.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    match name {
        "json_record" | "json_document" => read_all(&root.join("schemas"), ".json", &mut found),
        "registry_schema" => read_all(&root.join("schemas"), ".avsc", &mut found),
        "rule_file" => read_all(&root.join("rules"), ".yaml", &mut found),
        "mapping_file" => read_all(&root.join("mappings"), ".yaml", &mut found),
        "journal_record" => found.extend(journal()),
        "row" => found.extend(state()[0].clone()),
        "row_key" => found.extend(state()[1].clone()),
        "task_state" => found.extend(state()[2].clone()),
        "changelog_record" => {
            let [rows, _, tasks] = state();
            found.extend(rows.iter().map(|row| {
                let mut bytes = Vec::new();
                changelog::put_row(&mut bytes, 7, row);
                bytes
            }));
            let marker = |task| Marker { line: 7, position: 9, rows: 2, task };
            found.extend(tasks.into_iter().map(|task| marker(task).encode()));
        }
        // A login by acme, of the fields that stand first; the rest is absent.
        _ => found.push(
            [
                b"\x18login.failed\x02\x08acme\x00\x02\x04u1\x04e1\x80\x80\xc0\x9d\xf1\x66".as_slice(),
                &[0; 12],
            ]
            .concat(),
        ),
    }
    assert!(!found.is_empty(), "{name} begins with nothing");
    // What fuzzing found worth keeping, in hex.
    let kept = fs::read_to_string(root.join("fuzz/corpus").join(name)).unwrap();
    found.extend(kept.lines().map(bytes_of_hex));
    found
}

/// The most memory this process ever had, MiB.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn check(name: &str, decode: fn(&[u8]), input: &[u8]) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| decode(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{name} panics over {hex}");
        resume_unwind(payload);
    }
}

#[test]
fn no_decoder_panics_or_takes_more_memory_than_it_may() {
    if std::env::var_os(ALONE).is_none() {
        // In a process of its own, whose memory is that of the decoders.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "decoders::no_decoder_panics_or_takes_more_memory_than_it_may", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = [child.stdout, child.stderr].concat();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&said));
        return;
    }
    for (name, decode) in TARGETS {
        let inputs = inputs(name);
        inputs.iter().for_each(|input| check(name, decode, input));
        let is_slow = matches!(name, "rule_file" | "mapping_file");
        let mut random = Random::new(name.len() as u64);
        for _ in 0..if is_slow { MUTATIONS / 10 } else { MUTATIONS } {
            check(name, decode, &mutate(&mut random, &inputs));
        }
    }
    let peak = peak_mib();
    assert!(peak < MEMORY_MIB, "the decoders took {peak} MiB");
}
