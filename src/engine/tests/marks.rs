//! When rows are looked at: what is remembered of that must hold after everything that moves it. Unit tests compare each
//! remembered mark with a fresh look.

use crate::event::record::to_json;
use crate::event::{Kind, Timestamp, Value};
use crate::rules::{Options, load};

use super::driver::{World, event_of};

const RULES: &str = "
version: 1
name: marks
defaults: {status: active, timezone: account}
rules:
- id: days
  title: t
  why: w
  severity: warning
  family: days
  entity: [account, integration]
  when: {count: {topic: error_log, within: 2d, lte: 0}}
  clear: {if: {met: false}}
  expires_after: 30d
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
- id: hours
  title: t
  why: w
  severity: warning
  family: hours
  entity: [account, integration]
  when: {absence: {topic: error_log, for: 5h, arm: first_event}}
  clear: {if: {met: false}}
  expires_after: 30d
  alert: {summary: s, owner: role:x, playbook: p, next_step: {text: x}}
";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn line(world: &mut World, kind: Kind, time: &str, fields: &[(&'static str, &str)]) {
    let mut all =
        vec![("account_id".into(), Value::text("acme")), ("event_id".into(), Value::text(time.to_owned()))];
    all.extend(fields.iter().map(|(name, value)| ((*name).into(), Value::text((*value).to_owned()))));
    let event = event_of(kind, &Value::Map(all), at(time));
    world.line(at(time), event);
}

#[test]
fn an_account_that_moves_takes_the_midnights_of_its_other_rows_along() {
    let loaded = load(&[("marks.yaml", RULES)], Options::default());
    let program = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).program;
    let mut world = World::new(program, Timestamp(0));
    let zone = |name| [("type", "account.updated"), ("timezone", name)];
    line(&mut world, Kind::Account, "2026-01-12T09:00:00Z", &zone("Europe/Berlin"));
    let failed = [("event", "connection.failed"), ("integration", "slack")];
    line(&mut world, Kind::ErrorLog, "2026-01-12T10:00:00Z", &failed);
    line(&mut world, Kind::Account, "2026-01-12T12:00:00Z", &zone("America/Los_Angeles"));
    // The absence has the row looked at in between, after five hours.
    world.run_to(at("2026-01-16T00:00:00Z"));
    let opened = world.output.alerts.iter().map(|alert| to_json(&alert.data));
    let days: Vec<String> = opened.filter(|data| data.contains(r#""family":"days""#)).collect();
    assert_eq!(days.len(), 1, "{days:?}");
    // Two days without, complete where the account is now: their end is eight hours later than in UTC.
    assert!(days[0].contains(r#""detected":"2026-01-15T08:1"#), "{}", days[0]);
}
