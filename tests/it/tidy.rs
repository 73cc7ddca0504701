//! House rules that a compiler does not know: directions between rooms, sizes, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms without effects.
const PURE: &[&str] =
    &["event", "document", "rules", "intake", "journal", "engine", "replay", "simulate", "config"];

/// What a pure room never names, with the reason.
const EFFECTS: &[(&str, &str)] = &[
    ("crate::runtime", "effects live in the runtime"),
    ("crate::cli", "commands lean on rooms, not the other way round"),
    ("tokio", "no async in pure rooms"),
    ("rdkafka", "clients live in the runtime"),
    ("rocksdb", "stores live in the runtime"),
    ("prometheus::", "metrics live in the runtime"),
    ("tracing::", "logs live in the runtime"),
    ("SystemTime", "time enters as journal records"),
    ("Instant::", "time enters as journal records"),
    ("std::collections::HashMap", "its order is random"),
    ("std::collections::HashSet", "its order is random"),
    ("std::fs", "files live in the cli and the runtime"),
    ("std::env", "the environment is read by the cli"),
    ("std::thread", "threads live in the runtime"),
];

/// Which rooms a room may name; rooms that are not listed may name every pure room.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("document", &[]),
    ("journal", &["event"]),
    ("rules", &["event", "document"]),
    ("intake", &["event", "document"]),
    ("engine", &["event", "journal", "rules"]),
    ("config", &["event", "document"]),
];

/// Crates that only these files (or folders) name.
const CRATE_HOMES: &[(&str, &[&str])] = &[
    ("rocksdb", &["src/runtime/rocks"]),
    ("rdkafka_sys", &["src/runtime/kafka/"]),
    ("rdkafka::", &["src/runtime/kafka/"]),
    ("axum", &["src/runtime/http"]),
    ("tokio", &["src/runtime/http", "src/main.rs"]),
    ("prometheus::", &["src/runtime/metrics"]),
    ("ureq", &["src/runtime/registry"]),
    ("saphyr_parser", &["src/document/"]),
    // The alerts' tests read with it what we write.
    ("apache_avro", &["src/event/record/", "src/intake/", "src/engine/alert/tests/"]),
    ("aho_corasick", &["src/intake/"]),
    ("jiff", &["src/event/time.rs", "src/engine/calendar", "src/rules/rule.rs"]),
    ("signal_hook", &["src/runtime/shutdown.rs"]),
];

const LINES_MAX: usize = 800;

/// The only file with unsafe code: it wraps queues of librdkafka.
const UNSAFE_HOME: &str = "src/runtime/kafka/batch.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources below {folder}");
    found
}

/// The code of a file without its comments, line by line with numbers from 1; tests at the end of a file are left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests_begin = text.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
    text.lines()
        .enumerate()
        .take_while(move |(place, _)| *place < tests_begin)
        .map(|(place, line)| (place + 1, line.split("//").next().unwrap_or_default()))
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs") || name.contains("/tests/")
}

fn room_of(name: &str) -> Option<&str> {
    name.strip_prefix("src/")?.split(['/', '.']).next()
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn pure_rooms_name_no_effect() {
    let mut found = Vec::new();
    for (name, text) in sources("src") {
        if !room_of(&name).is_some_and(|room| PURE.contains(&room)) || is_test_file(&name) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for (word, reason) in EFFECTS {
                if line.contains(word) {
                    found.push(format!("{name}:{number}: `{word}`: {reason}"));
                }
            }
        }
    }
    report("effects in pure rooms", &found);
}

#[test]
fn rooms_name_only_rooms_below_them() {
    let mut found = Vec::new();
    for (name, text) in sources("src") {
        let Some(room) = room_of(&name) else { continue };
        let Some((_, allowed)) = MAY_NAME.iter().find(|(own, _)| *own == room) else { continue };
        if is_test_file(&name) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for part in line.split("crate::").skip(1) {
                let named: String =
                    part.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
                if named != room && PURE.contains(&named.as_str()) && !allowed.contains(&named.as_str()) {
                    found.push(format!("{name}:{number}: {room} names {named}"));
                }
            }
        }
    }
    report("wrong directions", &found);
}

#[test]
fn crates_stay_in_their_homes() {
    let mut found = Vec::new();
    for (name, text) in sources("src") {
        for (number, line) in code_lines(&text) {
            for (word, homes) in CRATE_HOMES {
                let names_it = line.contains(word) && (line.contains("use ") || line.contains("::"));
                if names_it && !homes.iter().any(|home| name.starts_with(home)) {
                    found.push(format!("{name}:{number}: `{word}` belongs to {homes:?}"));
                }
            }
        }
    }
    report("crates outside their homes", &found);
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (name, text) in sources(folder) {
            let lines = text.lines().count();
            if lines > LINES_MAX {
                found.push(format!("{name}: {lines} lines, at most {LINES_MAX}"));
            }
        }
    }
    report("files too long", &found);
}

#[test]
fn nothing_is_left_over() {
    let words = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}", "todo!(", "unimplemented!(", "dbg!("];
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (name, text) in sources(folder) {
            for (place, line) in text.lines().enumerate() {
                let own_list = name == "tests/it/tidy.rs";
                if !own_list && words.iter().any(|word| line.contains(word)) {
                    found.push(format!("{name}:{}: {}", place + 1, line.trim()));
                }
                if line.trim_start().starts_with("matches!(") && line.trim_end().ends_with(");") {
                    found.push(format!("{name}:{}: a bare matches! asserts nothing", place + 1));
                }
            }
        }
    }
    report("leftovers", &found);
}

#[test]
fn unsafe_code_has_one_home() {
    let mut found = Vec::new();
    for (name, text) in sources("src") {
        for (number, line) in code_lines(&text) {
            if name != UNSAFE_HOME && (line.contains("unsafe {") || line.contains("unsafe impl")) {
                found.push(format!("{name}:{number}"));
            }
        }
    }
    report("unsafe code outside its home", &found);
}

#[test]
fn traits_are_few() {
    let mut traits: Vec<String> = sources("src")
        .iter()
        .flat_map(|(_, text)| {
            text.lines()
                .filter_map(|line| line.trim_start().strip_prefix("pub trait "))
                .map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric()).collect())
                .collect::<Vec<String>>()
        })
        .collect();
    traits.sort();
    // The four seams of the runtime, and a store that is read while it is written; where mappings are kept; headers of a
    // record; what takes the values that decoders find; and the value of a path, of an event or of outputs.
    let expected =
        ["Clock", "Finder", "Headers", "MappingLog", "SharedStore", "Sink", "Source", "Store", "Subject"];
    assert_eq!(traits, expected);
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (name, text) in sources(folder) {
            for (place, line) in text.lines().enumerate() {
                for start in ["\"/home/", "\"/root/", "\"/Users/", "\"/work/"] {
                    if line.contains(start) && name != "tests/it/tidy.rs" {
                        found.push(format!("{name}:{}: {}", place + 1, line.trim()));
                    }
                }
            }
        }
    }
    report("absolute paths", &found);
}
