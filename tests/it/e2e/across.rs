//! Across accounts: tasks that are killed under load forward everything once, and what comes of it is what undisturbed ones
//! say.

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use forewarn::engine::rows::key::KeyParts;
use forewarn::engine::rows::row::Row;
use forewarn::engine::series::Span;
use forewarn::engine::store::{RowKey, Store};
use forewarn::runtime::rocks::{RocksMemory, RocksStore};

use super::cluster::{App, until};
use super::crash::{assert_same, by_entity, load, undisturbed};
use super::state::{PARTITIONS, assert_agrees};

const KILLS: usize = 4;
/// Connection failures of one stretch of the load, and whose they are: the same in each.
const FAILURES: usize = 4000;

const RULES: &str = "
version: 1
name: across
defaults: {status: active, timezone: UTC, policy: {cooldown: 0s}}
rules:
- {id: failures, title: t, why: w, severity: info, family: failures, entity: integration, expires_after: 2d,
   when: {count: {topic: error_log, where: {event: connection.failed}, within: 6h,
     ladder: [{gte: 100, severity: info}, {gte: 3000, severity: warning}, {gte: 9000, severity: error}]}},
   alert: {summary: \"{{value}}\", owner: role:x, playbook: p, next_step: {text: x}}}
- {id: accounts, title: t, why: w, severity: warning, family: accounts, entity: integration, expires_after: 2d,
   when: {count: {topic: error_log, where: {event: connection.failed}, measure: {distinct: account_id}, within: 6h, gte: 300}},
   alert: {summary: \"{{value}}\", owner: role:x, playbook: p, next_step: {text: x}}}
- {id: logins, title: t, why: w, severity: warning, family: logins, entity: platform, expires_after: 2d,
   when: {count: {topic: usage, where: {event: login.failed},
     measure: {share_of: {topic: usage, where: {event: [login.failed, login.succeeded]}}}, within: 6h, gte: 80%}},
   alert: {summary: \"{{value}}\", owner: role:x, playbook: p, next_step: {text: x}}}
";

/// What the rules' series in the row of the integration count: matches and accounts.
fn counted(app: &App) -> Vec<i128> {
    let loaded = forewarn::rules::load(&[("r.yaml", RULES)], forewarn::rules::Options::default()).unwrap();
    let key: RowKey = KeyParts { kind: "integration", account: None, part: "slack" }.encode();
    let memory = RocksMemory::new(8 << 20, 8 << 20);
    let rows = (0..PARTITIONS).filter_map(|partition| {
        let own = i32::from(partition);
        let mut store = RocksStore::open(&app.path("state"), own, u32::from(PARTITIONS), &memory).unwrap();
        store.load(std::slice::from_ref(&key)).unwrap().pop().flatten()
    });
    let rows: Vec<Vec<u8>> = rows.collect();
    assert_eq!(rows.len(), 1, "an entity lives in one place");
    let row = Row::decode(&rows[0]).unwrap();
    let values = ["failures", "accounts"].map(|id| {
        let rule = loaded.program.rules.iter().find(|rule| &*rule.id == id).unwrap();
        let detector = &rule.conditions[0].detector;
        let own = &loaded.program.series[usize::from(detector.series().unwrap().0)];
        let state = row.series(own.key).unwrap();
        state.value(own, detector.window().unwrap(), Span::UpTo(state.newest().unwrap())).num
    });
    values.to_vec()
}

#[test]
#[ignore = "skipped: needs a broker, run `make test`"]
fn tasks_that_are_killed_forward_everything_once() {
    let app = App::without_rules("across");
    let rules = app.path("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(rules.join("r.yaml"), RULES).unwrap();
    app.command(&["apply", "--rules", rules.to_str().unwrap()]);
    let (_keep, never) = mpsc::channel::<()>();
    for stretch in 0..KILLS {
        let running = app.run("forewarn.yaml");
        load(&app, i64::try_from(stretch).unwrap());
        let wait = Duration::from_millis(600 + 700 * u64::try_from(stretch).unwrap());
        assert!(never.recv_timeout(wait).is_err());
        running.kill();
        assert_agrees(&app, &app.path("state"));
    }
    let running = app.run("forewarn.yaml");
    app.wait_intake(&app.topic("error-log"));
    app.wait_intake(&app.topic("usage"));
    // The last second is told by the records of a later one, and read by others after that.
    let journal = app.topic("journal");
    for _ in 0..2 {
        let ends = app.ends(&journal, i32::from(PARTITIONS));
        until("every partition ticks on", || {
            let now = app.ends(&journal, i32::from(PARTITIONS));
            now.iter().zip(&ends).all(|(now, end)| *now > end + 2)
        });
    }
    app.wait_detect();
    running.stop();
    // The first twenty accounts and every third of all have failures of their own number.
    let of = |number: usize| if number.is_multiple_of(3) { number % 20 } else { number % 977 };
    let accounts: std::collections::BTreeSet<usize> = (0..FAILURES).map(of).collect();
    let expected = [(KILLS * FAILURES) as i128, accounts.len() as i128];
    assert_eq!(counted(&app), expected, "failures and accounts");
    assert_agrees(&app, &app.path("state"));
    let disturbed = by_entity(app.read_all(&app.topic("alerts")));
    let of_slack = &disturbed[b"integration:slack".as_slice()];
    let opened =
        of_slack.iter().filter(|alert| String::from_utf8_lossy(alert).contains("\"action\":\"opened\""));
    assert_eq!(opened.count(), 2, "one page a family");
    assert_same(&disturbed, &undisturbed(&app));
}
