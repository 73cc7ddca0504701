use std::sync::Arc;

use expect_test::expect;

use super::{Harness, Line, run_tests, sources};
use crate::event::Timestamp;
use crate::event::record::to_json;
use crate::intake::text::Scorer;
use crate::rules::{Loaded, Options, load};
use crate::runtime::memory_store::MemoryStore;

const RULES: &str = r#"
version: 1
name: own
rules:
- id: failures
  title: Logins fail
  why: they cannot get in
  status: active
  severity: warning
  family: access
  entity: account
  when: {count: {topic: usage, where: {event: login.failed}, within: 10m, gte: 3}}
  expires_after: 2h
  alert:
    summary: "{{account_id}}: {{value}} failed logins"
    owner: role:support
    playbook: access
    next_step: {text: Call them}
    respond_within: 1h
  policy: {cooldown: 1h, holdout: never, contact_budget: ignore, sequence_gap: ignore, contact_hours: ignore}
  tests:
  - name: the third opens
    given:
    - {at: 0m, every: 1m, times: 3, usage: {event: login.failed, user_id: "u{n}"}}
    - {at: 3h}
    expect:
    - {at: 2m, action: opened, value: 3, entity: acme, severity: warning, owner: role:support, user_id: u3}
    - {at: 2h2m, action: expired}
  - name: two are none
    given: [{at: 0m, every: 1m, times: 2, usage: {event: login.failed}}]
    expect: nothing
  - name: another time
    given: [{at: 0m, every: 1m, times: 3, usage: {event: login.failed}}]
    expect: [{at: 1m, action: opened, value: 4}]
  - name: nobody said so
    given: [{at: 0m, every: 1m, times: 3, usage: {event: login.failed}}]
    expect: [{at: 2m, withheld: cooldown}]
"#;

fn loaded() -> Loaded {
    load(&[("own.yaml", RULES)], Options::default()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn policies_do_over_records_what_their_tests_say() {
    let rules = include_str!("../engine/tests/policies.yaml");
    let loaded = load(&[("policies.yaml", rules)], Options::default()).unwrap();
    let reports = run_tests::<MemoryStore>(&loaded, &Scorer::english, &|_| true);
    let failed: Vec<_> = reports.iter().filter(|report| !report.passed()).collect();
    assert!(reports.len() > 20 && failed.is_empty(), "{failed:#?}");
}

fn harness() -> Harness<MemoryStore> {
    let program = Arc::new(loaded().program);
    Harness::new(program, MemoryStore::new(), (sources(&[]), Scorer::english().unwrap())).unwrap()
}

/// Failed logins of three accounts in bursts, some late, some twice, one of them bad.
fn input() -> Vec<Line> {
    let mut lines = Vec::new();
    for n in 0..200_i64 {
        let time = 1_767_571_200_000 + n * 47_000 + n / 20 * 1_800_000 - (n % 7) * 61_000;
        let (account, id) = (n % 3, if n % 11 == 0 { n / 2 } else { n });
        let text = format!(
            r#"{{"topic":"usage","timestamp":{time},"value":{{"event":"login.failed","event_id":"e{id}","account_id":"a{account}"}}}}"#
        );
        lines.push(Line::parse(&text).unwrap());
    }
    lines.push(Line::parse(r#"{"topic":"usage","timestamp":1767571200000,"value":"junk"}"#).unwrap());
    lines
}

fn until() -> Timestamp {
    Timestamp(1_767_571_200_000 + 10 * 3_600_000)
}

fn output(mut harness: Harness<MemoryStore>, each: impl Fn(usize, &mut Harness<MemoryStore>)) -> String {
    let mut out = String::new();
    let mut take = |harness: &mut Harness<MemoryStore>| {
        let effects = harness.take();
        let alerts = effects.alerts.iter().map(|alert| to_json(&alert.data));
        let decisions = effects.decisions.iter().map(|decision| to_json(&decision.data));
        alerts.chain(decisions).for_each(|line| out.extend([&line, "\n"]));
    };
    for (place, line) in input().iter().enumerate() {
        harness.line(line).unwrap();
        each(place, &mut harness);
        take(&mut harness);
    }
    harness.run_until(until()).unwrap();
    take(&mut harness);
    assert_eq!(harness.report().dead.len(), 1);
    out
}

#[test]
fn the_same_lines_give_the_same_bytes_however_they_are_run() {
    let straight = output(harness(), |_, _| {});
    assert!(straight.matches(r#""action":"opened""#).count() > 3, "{straight}");
    assert_eq!(straight, output(harness(), |_, _| {}), "run again");
    let committed = output(harness(), |place, harness| {
        if place % 5 == 0 {
            harness.commit().unwrap();
        }
    });
    assert_eq!(straight, committed, "with checkpoints");
    let mut twice = harness();
    twice.deliver_twice();
    assert_eq!(straight, output(twice, |_, _| {}), "every frame twice");
}

#[test]
fn a_reopened_store_goes_on_where_it_was() {
    let straight = output(harness(), |_, _| {});
    let reopened = output(harness(), |place, harness| {
        if place % 10 == 3 {
            harness.reopen().unwrap();
        }
    });
    assert_eq!(straight, reopened);
}

#[test]
fn tests_beside_rules_are_run_and_their_differences_told() {
    let reports = run_tests::<MemoryStore>(&loaded(), &Scorer::english, &|_| true);
    let told: Vec<String> =
        reports.iter().map(|report| format!("{}: {:#?}\n", report.name, report.differences)).collect();
    expect![[r#"
        the third opens: []
        two are none: []
        another time: [
            "expected {at: 1m, action: opened, value: 4}, got {at: 2m, action: opened, rule: failures, entity: acme, severity: warning}: at is 2m, value is 3",
        ]
        nobody said so: [
            "got {at: 2m, action: opened, rule: failures, entity: acme, severity: warning}, which is not expected",
            "expected {at: 2m, withheld: cooldown}, but there is {at: 2m, opened: , rule: failures}",
        ]
    "#]].assert_eq(&told.concat());
    assert!(run_tests::<MemoryStore>(&loaded(), &Scorer::english, &|rule| rule == "other").is_empty());
}

#[test]
fn lines_are_read_with_their_defaults() {
    let line = Line::parse(r#"{"topic":"billing","value":{"event_time":"2026-01-05T00:00:01Z"}}"#).unwrap();
    assert_eq!((line.partition, line.offset, line.timestamp), (0, None, Timestamp(1_767_571_201_000)));
    let line = Line::parse(r#"{"topic":"account-profile","key":"acme","timestamp":5,"value":null}"#).unwrap();
    assert_eq!((line.key.as_deref(), line.value), (Some("acme"), None));
    let refused: Vec<String> = [
        "{",
        "[]",
        r#"{"value":{}}"#,
        r#"{"topic":"usage","value":{}}"#,
        r#"{"topic":"usage","timestamp":1,"vaule":{}}"#,
        r#"{"topic":"usage","timestamp":1,"offset":-1}"#,
    ]
    .iter()
    .map(|text| format!("{}\n", Line::parse(text).unwrap_err()))
    .collect();
    expect![[r#"
        this is no JSON: EOF while parsing an object at line 1 column 1
        a line is an object such as {"topic":"usage","value":{…}}
        there is no `topic`
        there is no `timestamp`, and the value has no `event_time` to take in its place
          hint: add the record's timestamp in ms
        unknown key `vaule`
          a line takes topic partition offset timestamp key value
        `offset` is no number from 0
    "#]]
    .assert_eq(&refused.concat());
}

#[test]
fn an_unknown_topic_is_told_with_the_known_ones() {
    let line = Line::parse(r#"{"topic":"clicks","timestamp":1,"value":{}}"#).unwrap();
    let error = harness().line(&line).unwrap_err().to_string();
    assert!(error.starts_with("line 1: topic `clicks` is not known\n  known are usage error-log"), "{error}");
}

/// Declined, paid and declined again within one record, or on two ticks between two lines: each alert has its own id.
#[test]
fn one_record_may_open_a_key_twice() {
    let rules = r"
version: 1
name: own
defaults: {status: shadow, policy: {cooldown: 0s}}
rules:
- id: declined
  title: t
  why: w
  severity: warning
  family: declined
  entity: account
  when: {event: {topic: billing, where: {type: invoice.payment_failed}}}
  clear: {event: {topic: billing, where: {type: invoice.paid}}}
  alert: {summary: s}
";
    let loaded = load(&[("own.yaml", rules)], Options::default()).unwrap();
    let program = Arc::new(loaded.program_of(&["declined"], None).unwrap());
    let inputs = (sources(&[]), Scorer::english().unwrap());
    let mut harness = Harness::new(program, MemoryStore::new(), inputs).unwrap();
    harness.gather(4);
    for (id, name) in ["payment_failed", "paid", "payment_failed", "paid"].into_iter().enumerate() {
        let time = 1_767_571_200_000 + i64::try_from(id).unwrap();
        let text = format!(
            r#"{{"topic":"billing","timestamp":1767571200000,"value":{{"type":"invoice.{name}","event_id":"e{id}","event_time":{time},"account_id":"acme"}}}}"#
        );
        harness.line(&Line::parse(&text).unwrap()).unwrap();
    }
    let said: Vec<(String, String)> = harness
        .take()
        .alerts
        .iter()
        .map(|alert| {
            let text = |name| alert.data.entry(name).unwrap().as_text().unwrap().to_owned();
            (text("action"), text("alert_id"))
        })
        .collect();
    let actions: Vec<&str> = said.iter().map(|(action, _)| &**action).collect();
    assert_eq!(actions, ["opened", "resolved", "opened", "resolved"]);
    assert_eq!((&said[0].1, &said[2].1), (&said[1].1, &said[3].1));
    assert_ne!(said[0].1, said[2].1);
}
