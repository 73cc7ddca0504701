//! One golden answer, several executions.
//!
//! A scenario is a folder of `tests/scenarios`: `input.jsonl` as for `forewarn replay`, the rules it runs (`rules.yaml`, or
//! else those of `tests/rules/`), and what must come out (`alerts.jsonl`, `decisions.jsonl`). Each is run straight, with a
//! checkpoint after every record, with checkpoints at random places, with the store reopened after every record, and with
//! every record delivered twice; all must give the same bytes. `UPDATE_EXPECT=1` writes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forewarn::event::Timestamp;
use forewarn::event::record::to_json;
use forewarn::intake::text::Scorer;
use forewarn::replay::{Harness, Line, sources};
use forewarn::rules::program::Program;
use forewarn::runtime::memory_store::MemoryStore;

/// How a scenario is run.
#[derive(Debug, Clone, Copy)]
pub enum Execution {
    Straight,
    CheckpointEach,
    CheckpointAtRandom(u64),
    ReopenEach,
    EachTwice,
}

/// All executions.
pub const EXECUTIONS: [Execution; 6] = [
    Execution::Straight,
    Execution::CheckpointEach,
    Execution::CheckpointAtRandom(1),
    Execution::CheckpointAtRandom(2),
    Execution::ReopenEach,
    Execution::EachTwice,
];

/// Alerts and decisions, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    pub alerts: String,
    pub decisions: String,
}

/// The program of these rule files.
pub fn program(files: &[(&str, &str)]) -> Arc<Program> {
    match forewarn::rules::load(files, forewarn::rules::Options::default()) {
        Ok(loaded) => Arc::new(loaded.program),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// Runs lines through a fresh engine.
pub fn run(program: &Arc<Program>, lines: &[Line], execution: Execution) -> Outcome {
    let inputs = (sources(&[]), Scorer::english().unwrap());
    let mut harness = Harness::new(Arc::clone(program), MemoryStore::default(), inputs).unwrap();
    let mut outcome = Outcome::default();
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    if let Execution::CheckpointAtRandom(own) = execution {
        seed ^= own;
    }
    if matches!(execution, Execution::EachTwice) {
        harness.deliver_twice();
    }
    for line in lines {
        harness.line(line).unwrap();
        collect(&mut harness, &mut outcome);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match execution {
            Execution::Straight | Execution::EachTwice => {}
            Execution::CheckpointEach => harness.commit().unwrap(),
            Execution::CheckpointAtRandom(_) => match seed >> 61 {
                0 | 1 => harness.commit().unwrap(),
                2 => harness.reopen().unwrap(),
                _ => {}
            },
            Execution::ReopenEach => harness.reopen().unwrap(),
        }
    }
    outcome
}

fn collect(harness: &mut Harness<MemoryStore>, outcome: &mut Outcome) {
    let effects = harness.take();
    for alert in &effects.alerts {
        outcome.alerts += &to_json(&alert.data);
        outcome.alerts.push('\n');
    }
    for decision in &effects.decisions {
        outcome.decisions += &to_json(&decision.data);
        outcome.decisions.push('\n');
    }
}

/// Runs lines with up to so many of equal timestamps a frame.
fn run_gathered(program: &Arc<Program>, lines: &[Line], most: usize) -> Outcome {
    let inputs = (sources(&[]), Scorer::english().unwrap());
    let mut harness = Harness::new(Arc::clone(program), MemoryStore::default(), inputs).unwrap();
    harness.gather(most);
    for line in lines {
        harness.line(line).unwrap();
    }
    let end = lines.iter().map(|line| line.timestamp).max().unwrap();
    harness.run_until(end.plus(60_000)).unwrap();
    let mut outcome = Outcome::default();
    collect(&mut harness, &mut outcome);
    outcome
}

/// Without what is made of journal offsets: ids and origins.
fn without_offsets(lines: &str) -> Vec<serde_json::Value> {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(entries) => {
                entries.retain(|name, _| !matches!(name.as_str(), "alert_id" | "idempotency_key" | "origin"));
                entries.values_mut().for_each(strip);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    lines
        .lines()
        .map(|line| {
            let mut value = serde_json::from_str(line).unwrap();
            strip(&mut value);
            value
        })
        .collect()
}

/// A cut of the same input into other frames changes journal offsets, and with them ids; nothing else may change. Lines are
/// moved to minutes first, so that many share a timestamp: lines of different times can't share a frame without changing
/// journal time itself.
#[test]
fn other_frames_of_the_same_input_give_the_same_alerts() {
    let files = rule_files(&folder("tests/rules"));
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let program = program(&borrowed);
    let mut alerts = 0;
    for scenario in fs::read_dir(folder("tests/scenarios")).unwrap() {
        let scenario = scenario.unwrap().path();
        let input = fs::read_to_string(scenario.join("input.jsonl")).unwrap();
        let mut lines: Vec<Line> = input.lines().map(|line| Line::parse(line).unwrap()).collect();
        for line in &mut lines {
            line.timestamp = Timestamp(line.timestamp.0.div_euclid(60_000) * 60_000);
        }
        let one = run_gathered(&program, &lines, 1);
        alerts += one.alerts.lines().count();
        for most in [2, 3, 7, 1000] {
            let other = run_gathered(&program, &lines, most);
            let name = scenario.display();
            assert_eq!(
                without_offsets(&other.alerts),
                without_offsets(&one.alerts),
                "{name}: {most} a frame"
            );
            assert_eq!(
                without_offsets(&other.decisions),
                without_offsets(&one.decisions),
                "{name}: {most} a frame"
            );
        }
    }
    assert!(alerts > 20, "only {alerts} alerts");
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Rule files of a folder, by name.
pub fn rule_files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn check(scenario: &Path) {
    let own = scenario.join("rules.yaml");
    let files = if own.exists() {
        vec![("rules.yaml".to_owned(), fs::read_to_string(own).unwrap())]
    } else {
        rule_files(&folder("tests/rules"))
    };
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let program = program(&borrowed);
    let input = fs::read_to_string(scenario.join("input.jsonl")).unwrap();
    let lines: Vec<Line> = input.lines().map(|line| Line::parse(line).unwrap()).collect();
    let straight = run(&program, &lines, Execution::Straight);
    for (file, found) in [("alerts.jsonl", &straight.alerts), ("decisions.jsonl", &straight.decisions)] {
        let golden = scenario.join(file);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&golden, found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(*found, expected, "{}: `UPDATE_EXPECT=1` rewrites it", golden.display());
    }
    for execution in EXECUTIONS {
        assert_eq!(run(&program, &lines, execution), straight, "{}: {execution:?}", scenario.display());
    }
}

#[test]
fn every_execution_of_a_scenario_gives_its_golden_answer() {
    let mut scenarios: Vec<PathBuf> =
        fs::read_dir(folder("tests/scenarios")).unwrap().map(|entry| entry.unwrap().path()).collect();
    scenarios.sort();
    assert!(scenarios.len() >= 6, "only {} scenarios", scenarios.len());
    scenarios.iter().for_each(|scenario| check(scenario));
}
