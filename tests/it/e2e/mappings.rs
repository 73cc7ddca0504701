//! Mappings that are applied while the program runs, and a kill at the switch.

use std::collections::BTreeMap;
use std::fs;

use forewarn::journal::Entry;

use super::cluster::{App, now_ms, until};

/// Writes a folder with one mapping, which takes the account from this key, and applies it.
fn apply(app: &App, account: &str) {
    let folder = app.path(account);
    fs::create_dir_all(&folder).unwrap();
    let topic = app.topic("usage");
    let text = format!(
        "version: 1\nname: usage\ntopic: {topic}\nkind: usage\n\
         set: {{event_id: id, account_id: {account}, event: {{const: login.failed}}}}\n"
    );
    fs::write(folder.join("usage.yaml"), text).unwrap();
    app.command(&["apply", "--mappings", folder.to_str().unwrap()]);
}

fn produce(app: &App, numbers: std::ops::Range<usize>) {
    let now = now_ms();
    let record = |number: usize| {
        let value = format!("{{\"id\":\"e{number}\",\"a\":\"a-{number}\",\"b\":\"b-{number}\"}}");
        (Some(format!("k{number}")), value.into_bytes(), now)
    };
    app.produce(&app.topic("usage"), numbers.map(record));
}

/// What a reader of the journal takes in: accounts, and the version of the frame each came in.
fn events(app: &App) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut covered: BTreeMap<(i32, String, i32), i64> = BTreeMap::new();
    for record in app.read_all(&app.topic("journal")) {
        let value = record.value.unwrap();
        let Entry::Frame(frame) = Entry::parse(&value).unwrap() else { continue };
        let key = |source: usize| {
            let source = &frame.sources[source].source;
            (record.partition, source.topic.to_string(), source.partition)
        };
        for event in frame.events() {
            let event = event.unwrap();
            let last = covered.get(&key(usize::from(event.position.source))).copied().unwrap_or(-1);
            if event.position.offset > last {
                found.entry(event.account.unwrap().into_owned()).or_default().push(frame.mapping);
            }
        }
        for (place, coverage) in frame.sources.iter().enumerate() {
            let last = covered.entry(key(place)).or_insert(-1);
            *last = (*last).max(coverage.to);
        }
    }
    found
}

/// First letters of accounts with the versions they came in.
fn letters(events: &BTreeMap<String, Vec<u64>>) -> BTreeMap<char, Vec<u64>> {
    let mut found: BTreeMap<char, Vec<u64>> = BTreeMap::new();
    for (account, versions) in events {
        found.entry(account.chars().next().unwrap()).or_default().extend(versions);
    }
    found.values_mut().for_each(|versions| versions.dedup());
    found
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn mappings_switch_while_the_program_runs_and_survive_a_kill() {
    let app = App::without_rules("mappings");
    apply(&app, "a");
    let running = app.run("forewarn.yaml");
    produce(&app, 0..500);
    app.wait_intake(&app.topic("usage"));
    apply(&app, "b");
    // A running worker notices: sooner or later a record is decoded with the new version.
    let mut sent = 500;
    until("the new mapping is at work", || {
        produce(&app, sent..sent + 1);
        sent += 1;
        app.wait_intake(&app.topic("usage"));
        letters(&events(&app)).contains_key(&'b')
    });
    produce(&app, sent..sent + 500);
    running.kill();
    produce(&app, sent + 500..sent + 700);
    let running = app.run("forewarn.yaml");
    app.wait_intake(&app.topic("usage"));
    running.stop();

    let events = events(&app);
    assert_eq!(events.len(), sent + 700, "each record once, under one account");
    assert!(events.values().all(|versions| versions.len() == 1), "{events:?}");
    let letters = letters(&events);
    assert_eq!(letters.values().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{letters:?}");
    assert!(letters[&'a'] < letters[&'b']);
}
