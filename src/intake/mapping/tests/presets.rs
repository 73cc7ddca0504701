//! The mapping files that come with the program, on the example records beside them.
//!
//! `mappings/examples/NAME.jsonl` holds records of topic NAME, one a line: what it shows, headers, value; `NAME.events` the
//! events they become. `UPDATE_EXPECT=1` writes the latter anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;

use super::{Mapping, mapping};
use crate::event::{Event, Kind, Timestamp};
use crate::intake::text::Scorer;
use crate::intake::{Decoded, Intake, Record, SourceSettings};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == ending));
    files.sort();
    files
}

fn described(event: &Event<'_>) -> String {
    let mut line = format!("  {} {} at {}", event.kind.name(), event.name, event.time);
    let who = [("account", &event.account), ("alias", &event.alias), ("user", &event.user)];
    for (name, who) in who {
        if let Some(who) = who {
            write!(line, ", {name} {who}").unwrap();
        }
    }
    writeln!(line, ", {}", event.traffic.name()).unwrap();
    for (field, value) in &event.fields {
        writeln!(line, "    {} = {value:?}", field.spec().name).unwrap();
    }
    for (name, value) in &event.properties {
        writeln!(line, "    properties.{name} = {value:?}").unwrap();
    }
    line
}

fn become_events(intake: &mut Intake, line: &str) -> String {
    let example: serde_json::Value = serde_json::from_str(line).unwrap();
    let headers: Vec<(String, Vec<u8>)> = example["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().as_bytes().to_vec()))
        .collect();
    let value = example["value"].to_string();
    let record = Record {
        partition: 0,
        offset: 1,
        timestamp: Timestamp(1_700_000_100_000),
        key: None,
        value: Some(value.as_bytes()),
        headers: &headers,
    };
    let mut out = Decoded::new();
    intake.decode(0, &record, &mut out).unwrap();
    let mut text = format!("{}\n", example["shows"].as_str().unwrap());
    text.extend(out.events.iter().map(described));
    if let Some(dead) = &out.dead {
        writeln!(text, "  dead letter: {}", dead.detail).unwrap();
    }
    let filtered: u32 = Kind::SOURCES.iter().flat_map(|kind| out.counts(*kind).filtered).sum();
    if filtered > 0 {
        writeln!(text, "  filtered: {filtered}").unwrap();
    }
    text
}

#[test]
fn examples_become_these_events() {
    let mappings: Vec<Mapping> =
        files(&folder(), "yaml").iter().map(|path| mapping(&fs::read_to_string(path).unwrap())).collect();
    let mut used: Vec<&str> = Vec::new();
    for path in files(&folder().join("examples"), "jsonl") {
        let topic = path.file_stem().unwrap().to_str().unwrap();
        let own: Vec<Mapping> = mappings.iter().filter(|mapping| *mapping.topic == *topic).cloned().collect();
        used.extend(mappings.iter().filter(|mapping| *mapping.topic == *topic).map(|mapping| &*mapping.name));
        let kind = own.first().unwrap().kind;
        let settings = SourceSettings { mappings: own, ..SourceSettings::new(topic, kind) };
        let mut intake = Intake::new(vec![settings], Scorer::english().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        let events: String = text.lines().map(|line| become_events(&mut intake, line)).collect();
        expect_file![path.with_extension("events")].assert_eq(&events);
    }
    used.sort_unstable();
    let mut all: Vec<&str> = mappings.iter().map(|mapping| &*mapping.name).collect();
    all.sort_unstable();
    assert_eq!(used, all, "a preset without example");
}
